"""The base of tools: behaviours that follow one annotation after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtCore import QObject

from napari_gpcis.plugin.connections import Connections

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from napari.layers import Points

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.annotation.plane import PlaneAnnotation
    from napari_gpcis.plugin.background import Deliver, Failed, Job
    from napari_gpcis.plugin.connections import Connectable


class TemporaryKeys:
    """Keys of the click layers while a tool needs them; the user's own stay."""

    def __init__(self) -> None:
        self._taken: list[tuple[Points, str]] = []

    def bind(
        self, annotation: Annotation, actions: Mapping[str, Callable[[], object]]
    ) -> None:
        """Bind keys, by their names, in place of those that are bound."""
        self.clear()
        layers = annotation.layers
        for key, action in actions.items():
            for layer in (layers.positive, layers.negative):
                if coerce_keybinding(key) not in layer.keymap:
                    layer.bind_key(key, _named(action))
                    self._taken.append((layer, key))

    def clear(self) -> None:
        """Give all keys back."""
        while self._taken:
            layer, key = self._taken.pop()
            layer.bind_key(key, None)


def _named(action: Callable[[], object]) -> Callable[[Points], None]:
    """Return a function with a name, which napari asks for."""

    def run(_layer: Points) -> None:
        action()

    return run


class Tool(QObject):
    """A behaviour that follows one annotation after the other.

    Subclasses override :meth:`on_attached` and :meth:`on_detached`. Before the latter
    is called, what they connected by :meth:`follow` has ended, and what they asked for
    by :meth:`ask` is given up.

    Parameters
    ----------
    controller
        Its annotations are followed.
    parent
        Qt parent, by default the controller.

    Attributes
    ----------
    controller
        The controller.
    annotation
        The annotation that is followed, ``None`` while there is none.
    """

    def __init__(self, controller: Controller, parent: QObject | None = None) -> None:
        super().__init__(controller if parent is None else parent)
        self.controller = controller
        self.annotation: Annotation | None = None
        self._connections = Connections()
        self._lifelong = Connections()
        self._lifelong.connect(controller.started, self.attach)
        self._lifelong.connect(controller.stopped, self.detach)

    def attach(self, annotation: Annotation) -> None:
        """Follow an annotation, and the one before no more."""
        self.detach()
        self.annotation = annotation
        self.on_attached(annotation)

    def detach(self) -> None:
        """Follow no annotation."""
        annotation, self.annotation = self.annotation, None
        if annotation is not None:
            self._connections.end()
            annotation.worker.cancel(self.key)
            self.on_detached(annotation)

    def close(self) -> None:
        """Let go of everything that outlives the tool; it is of no more use."""
        self._lifelong.end()
        self.detach()

    def on_attached(self, annotation: Annotation) -> None:
        """Begin with an annotation; called after it has become :attr:`annotation`."""

    def on_detached(self, annotation: Annotation) -> None:
        """End with an annotation; called when :attr:`annotation` is ``None`` again."""

    def follow(self, signal: Connectable, slot: Callable[..., object]) -> None:
        """Connect a signal to a slot until the tool is detached."""
        self._connections.connect(signal, slot)

    def ask(
        self,
        job: Job,
        deliver: Deliver,
        failed: Failed | None = None,
        *,
        awaited: bool = False,
    ) -> None:
        """Ask the inference thread for a job; the one before is given up.

        Parameters
        ----------
        job, deliver, failed, awaited
            See :meth:`.BackgroundThread.submit`. Nothing is asked for while there is
            no annotation.
        """
        if self.annotation is not None:
            self.annotation.worker.submit(
                self.key, job, deliver, failed, awaited=awaited
            )

    def cancel_job(self) -> None:
        """Give up the job that was asked for."""
        if self.annotation is not None:
            self.annotation.worker.cancel(self.key)

    @property
    def key(self) -> Hashable:
        """Key of its requests to the inference thread."""
        return type(self).__name__, id(self)

    @property
    def current(self) -> PlaneAnnotation | None:
        """The displayed plane, ``None`` if there is none."""
        return None if self.annotation is None else self.annotation.current

    def say(self, message: str) -> None:
        """Tell the user something, in the status line."""
        if self.annotation is not None:
            self.annotation.say(message)


class MouseTool(Tool):
    """A tool that watches the mouse over the layers of the clicks.

    Subclasses override :meth:`on_mouse_moved`; where they override :meth:`on_attached`
    or :meth:`on_detached`, they call those of this class.
    """

    def on_attached(self, annotation: Annotation) -> None:
        """Watch the mouse over the clicks."""
        for layer in annotation.click_layers.layers.values():
            layer.mouse_move_callbacks.append(self._on_move)

    def on_detached(self, annotation: Annotation) -> None:
        """Watch the mouse no more."""
        for layer in annotation.click_layers.layers.values():
            if self._on_move in layer.mouse_move_callbacks:
                layer.mouse_move_callbacks.remove(self._on_move)

    def on_mouse_moved(self, event: Any) -> None:
        """Answer a movement of the mouse, an event of napari."""

    def _on_move(self, _layer: Any, event: Any) -> None:
        self.on_mouse_moved(event)
