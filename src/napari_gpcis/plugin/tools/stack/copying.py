"""Copies of an object on the next plane of a stack."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from napari_gpcis.geometry import moved
from napari_gpcis.plugin.annotation.jobs import find_again
from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.propagation import inner_clicks

if TYPE_CHECKING:
    from napari_gpcis.inference.image import PreparedImage
    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.tools.stack.propagation import Propagation
    from napari_gpcis.plugin.tools.stack.stack import Source
    from napari_gpcis.plugin.viewer.planes import Plane


class _Copy(NamedTuple):
    """A copy on its way: the object, the pixels of its plane, the plane it goes to."""

    source: Source
    prepared: PreparedImage
    plane: Plane


class Copying(Tool):
    """Copies of an object: its mask begins an object on the next plane.

    There it is moved to where the pixels around the object are found again.

    Parameters
    ----------
    controller
        Its annotations are followed.
    propagation
        Has the stack.
    """

    def __init__(self, controller: Controller, propagation: Propagation) -> None:
        super().__init__(controller, propagation)
        self._propagation = propagation
        self._pending: _Copy | None = None
        controller.register("accept_next", partial(self.copy, 1))

    def on_attached(self, annotation: Annotation) -> None:
        """Follow whether the plane that is copied to is open."""
        annotation.undo_stack.interrupts.append(self._interrupt)
        self.follow(annotation.events.plane_changed, self._look)
        self.follow(annotation.events.plane_entered, self._on_plane)

    def on_detached(self, annotation: Annotation) -> None:  # noqa: ARG002
        """Forget what is to be copied."""
        self._pending = None

    def copy(self, direction: int) -> None:
        """Accept the current object, and begin with its mask on the next plane.

        Parameters
        ----------
        direction
            1 for the next plane, -1 for the previous one.
        """
        stack, session = self._propagation.stack, self.controller.session
        if stack is None or self._propagation.running:
            return
        source = stack.source()
        if isinstance(source, str):
            self._propagation.say(source)
            return
        plane = stack.beside(source.plane, direction)
        if plane is None:
            self._propagation.say("The stack ends here: there is no such plane.")
        elif session is not None and stack.accept():
            self._pending = _Copy(source, session.prepared, plane)
            stack.show(plane)

    def _on_plane(self) -> None:
        """Forget the copy if the user has gone elsewhere before it was there."""
        current, copy = self.current, self._pending
        if copy is not None and current is not None and current.plane != copy.plane:
            self._pending = None

    def _interrupt(self) -> bool:
        """Give up a copy that is on its way; return whether there was one."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self._propagation.say("The object is not copied.")
        return pending is not None

    def _look(self) -> None:
        """Have the object looked for on the plane it was copied to, once it is open."""
        current, copy = self.current, self._pending
        if copy is None or current is None or current.plane != copy.plane:
            return
        if current.session is not None:
            mask, corner = copy.source.mask, copy.source.box[:2]
            prepared = current.session.prepared
            job = partial(find_again, copy.prepared, mask, corner, prepared)
            self.ask(job, self._begin, self._on_failed)

    def _on_failed(self, error: Exception) -> None:
        self._interrupt()
        if self.annotation is not None:
            self.annotation.worker.report(error)

    def _begin(self, by: tuple[int, int] | None, _seconds: float) -> None:
        """Begin the object on the plane it was copied to, moved by rows and columns."""
        annotation, current, copy = self.annotation, self.current, self._pending
        if annotation is None or copy is None or current is None or by is None:
            return
        if current.plane != copy.plane or current.session is None:
            return
        source = copy.source
        self._pending = None
        annotation.click_layers.settle()
        now = current.plane.take(annotation.layers.labels.data)
        there = bool((now == source.label).any())
        if not there and not current.clicks:
            current.drawn.begin_as(source.label)
        corner = moved(source.box, by)[:2]
        clicks = inner_clicks(source.mask, corner)
        current.begin_with(
            source.mask,
            corner,
            label=source.label if there else None,
            clicks=clicks,
        )
