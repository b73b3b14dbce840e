"""Copying an object to the next plane, for the person to correct and accept."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from napari_gpcis.plugin.labels.live_mask import Painted
from napari_gpcis.propagation import inner_clicks

if TYPE_CHECKING:
    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Binding
    from napari_gpcis.plugin.stack import Source
    from napari_gpcis.plugin.tools.stack import Propagation


class Copying(QObject):
    """Begins objects on the next plane with the mask of this one.

    Parameters
    ----------
    binding
        What it belongs to.
    propagation
        Knows the stack, and tells the person what happens.
    """

    def __init__(self, binding: Binding, propagation: Propagation) -> None:
        super().__init__(propagation)
        self._binding = binding
        self._propagation = propagation
        self._annotation: Annotation | None = None
        self._pending: Source | None = None
        binding.started.connect(self._on_started)
        binding.stopped.connect(self._on_stopped)
        binding.register("accept_next", partial(self.copy, 1))
        binding.register("undo", self._undo)

    def copy(self, direction: int) -> None:
        """Accept what runs, go to the next plane, and begin there with its mask.

        Parameters
        ----------
        direction
            1 for the next plane, -1 for the previous one.
        """
        stack = self._propagation.stack
        if stack is None or self._propagation.running:
            return
        source = stack.source()
        if isinstance(source, str):
            self._propagation.say(source)
            return
        plane = stack.beside(source.plane, direction)
        if plane is None:
            self._propagation.say("The stack ends here: there is no such plane.")
        elif stack.accept():
            self._pending = source._replace(plane=plane)
            stack.show(plane)

    def _on_started(self, annotation: Annotation) -> None:
        self._annotation = annotation
        annotation.changed.connect(self._begin)
        annotation.events.plane_entered.connect(self._on_plane)

    def _on_stopped(self) -> None:
        self._annotation = self._pending = None

    def _on_plane(self) -> None:
        """Forget the copy if the person has gone elsewhere before it was there."""
        annotation, source = self._annotation, self._pending
        current = None if annotation is None else annotation.current
        if source is not None and current is not None and current.plane != source.plane:
            self._pending = None

    def _undo(self) -> None:
        """Do not copy what is to be copied; or else undo what was done last."""
        if self._pending is None:
            self._propagation.undo()
        else:
            self._pending = None
            self._propagation.say("The object is not copied.")

    def _begin(self) -> None:
        """Begin the object on the plane it was copied to, once that is open."""
        annotation, source = self._annotation, self._pending
        current = None if annotation is None else annotation.current
        if annotation is None or source is None or current is None:
            return
        if current.plane != source.plane or current.session is None:
            return
        self._pending = None
        annotation.prompts.settle()
        now = current.plane.take(annotation.layers.labels.data)
        there = bool((now == source.label).any())
        if not there and not current.clicks:
            cover = self._binding.writing.cover
            current.held = Painted(source.label, cover=cover, alone=True)
        corner = source.box[:2]
        clicks = inner_clicks(source.mask, corner)
        current.begin_with(
            source.mask,
            corner,
            label=source.label if there else None,
            clicks=clicks,
        )
