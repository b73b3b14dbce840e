"""The binding: one viewer, one inference thread, and the image being annotated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, Signal

from napari_gpcis.errors import InputError
from napari_gpcis.plugin.annotation import Annotation
from napari_gpcis.plugin.commands import Keys
from napari_gpcis.plugin.layers import claim_layers
from napari_gpcis.plugin.planes import layer_shape
from napari_gpcis.plugin.work import Models
from napari_gpcis.plugin.worker import InferenceThread

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from napari_gpcis.plugin.work import SegmenterFactory
    from napari_gpcis.plugin.worker import Answer
    from napari_gpcis.session import Session


class Binding(QObject):
    """Starts and ends annotations, watches their layers, and reports errors.

    Parameters
    ----------
    viewer
        The napari viewer.
    factory
        Makes a segmenter of a model's name; called on the inference thread.
    model
        Name of the model to begin with.
    parent
        Qt parent.
    """

    changed = Signal()
    """Emitted when anything a display may show has changed."""

    def __init__(
        self,
        viewer: ViewerModel,
        factory: SegmenterFactory,
        model: str,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.annotation: Annotation | None = None
        self._message = ""
        self._viewer = viewer
        self._models = Models(factory, model)
        self._keys = Keys(viewer, self)
        self._worker = InferenceThread(self)
        self._worker.answered.connect(self._on_answer)
        viewer.layers.events.removed.connect(self._on_removed)

    # What a person can do ---------------------------------------------------------

    def start(self, image: Image, labels: Labels | None = None) -> bool:
        """Annotate an image; return whether that was possible.

        If it was not, one notification says why and what ran before goes on.

        Parameters
        ----------
        image
            The image layer.
        labels
            The labels layer to write into; ``None`` takes the image's earlier one or
            makes a new one.
        """
        try:
            layers = claim_layers(self._viewer, image, labels)
        except InputError as error:
            show_error(str(error))
            return False
        self.stop()
        self.annotation = Annotation(
            self._viewer, image, layers, self._worker, self._models, self
        )
        self.annotation.changed.connect(self.changed)
        layers.labels.events.data.connect(self._on_labels_replaced)
        self._keys.bind(layers)
        self.annotation.prompts.select(self._viewer)
        self.annotation.enter_plane()
        return True

    def stop(self, message: str = "") -> None:
        """End the annotation; all masks drawn so far stay in the labels layer."""
        annotation, self.annotation = self.annotation, None
        if annotation is not None:
            self._keys.unbind()
            annotation.layers.labels.events.data.disconnect(self._on_labels_replaced)
            annotation.close()
            annotation.deleteLater()
        self._message = message
        self.changed.emit()

    def close(self) -> bool:
        """End everything; return whether the inference thread has ended."""
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self.stop()
        self._keys.close()
        return self._worker.close()

    def command(self, name: str) -> None:
        """Run ``accept``, ``undo``, ``redo`` or ``clear`` on the displayed plane."""
        if self.annotation is not None and self.annotation.current is not None:
            getattr(self.annotation.current, name)()

    def ready(self) -> None:
        """Make the points layers ready for clicks again."""
        if self.annotation is not None:
            self.annotation.prompts.select(self._viewer)

    def travel_in_labels(self, direction: str) -> None:
        """Undo or redo what was drawn last: by a click, or in the labels by hand."""
        if self.annotation is None:
            return
        if self.annotation.drawing:
            self.command(direction)
        else:
            getattr(self.annotation.layers.labels, direction)()

    @property
    def model(self) -> str:
        """Name of the model; setting it replays the running clicks with the new one."""
        return self._models.name

    @model.setter
    def model(self, name: str) -> None:
        if name != self._models.name:
            self._models.name = name
            if self.annotation is not None:
                self.annotation.reopen()

    # What a display shows ---------------------------------------------------------

    @property
    def session(self) -> Session | None:
        """The session of the displayed plane, if it is open."""
        current = self.annotation.current if self.annotation is not None else None
        return None if current is None else current.session

    @property
    def end_thread(self) -> Callable[..., None]:
        """Ends the inference thread, even after Qt has deleted this object."""
        return self._worker.end_thread

    @property
    def thread_alive(self) -> bool:
        """Whether the inference thread runs."""
        return self._worker.alive

    @property
    def status(self) -> str:
        """One line on what is going on."""
        annotation = self.annotation
        if annotation is None or annotation.current is None or annotation.message:
            return self._message if annotation is None else annotation.message
        current = annotation.current
        if current.session is None:
            return "Loading the model and the image ..."
        count = len(current.clicks)
        if not count:
            return "Ready: click on an object."
        parts = [f"{count} click{'s' if count > 1 else ''}"]
        if current.held.label:
            parts.append(f"object {current.held.label}")
        if current.busy:
            parts.append("computing ...")
        elif current.seconds is not None:
            parts.append(f"{current.seconds * 1000:.0f} ms")
        return " · ".join(parts)

    # What happens elsewhere -------------------------------------------------------

    def _on_answer(self, answer: Answer) -> None:
        """Pass an answer on; an error becomes one notification."""
        annotation = self.annotation
        if annotation is None:
            return
        if answer.error is None:
            annotation.on_answer(answer)
        else:
            annotation.on_error(answer)
            reason = str(answer.error) or type(answer.error).__name__
            show_error(f"GPCIS could not compute the mask: {reason}")

    def _on_removed(self, event: Any) -> None:
        """End the annotation if the image or one of its layers was deleted."""
        annotation = self.annotation
        if annotation is None:
            return
        names = {"image": annotation.image, **annotation.layers._asdict()}
        for role, layer in names.items():
            if layer == event.value:
                self.stop(_GONE[role])
                return

    def _on_labels_replaced(self) -> None:
        """End the annotation if the labels got another shape."""
        annotation = self.annotation
        if annotation is None:
            return
        if layer_shape(annotation.layers.labels) == layer_shape(annotation.image):
            return
        self.stop("The labels got another shape. Press Start to go on with new ones.")


_GONE = {
    "image": "The image was removed. Its masks are kept in the labels layer.",
    "labels": "The labels layer was removed. Press Start to begin a new one.",
    "positive": "The positive clicks' layer was removed. Masks are kept; press Start.",
    "negative": "The negative clicks' layer was removed. Masks are kept; press Start.",
}
