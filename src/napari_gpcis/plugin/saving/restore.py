"""Going on with saved work: from a file the person opens, or after a crash."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_gpcis.plugin.background import InferenceThread
from napari_gpcis.plugin.remaking import Target, read_again, remake_file
from napari_gpcis.plugin.viewer.layers import new_labels
from napari_gpcis.plugin.viewer.planes import Plane, full_resolution, layer_shape
from napari_gpcis.session.saved import prompts_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_gpcis.plugin.annotation.controller import Binding
    from napari_gpcis.plugin.background import Answer, Work
    from napari_gpcis.plugin.keeping import Keeper
    from napari_gpcis.plugin.remaking import LabelArray
    from napari_gpcis.plugin.saving.recovery_file import Recovered
    from napari_gpcis.prompts import SavedAnnotation


class Restorer(QObject):
    """Brings saved work back into the viewer, in a labels layer of its own.

    Parameters
    ----------
    viewer
        Where it is shown.
    binding
        What goes on with it.
    keeper
        What keeps it again.
    parent
        Qt parent.
    """

    said = Signal(str)
    """What is going on, or what went wrong, in words."""
    recovered = Signal(object)
    """This :class:`.Recovered` is in the viewer again."""

    def __init__(
        self,
        viewer: ViewerModel,
        binding: Binding,
        keeper: Keeper,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._binding = binding
        self._keeper = keeper
        self._image: Image | None = None
        self._left: Recovered | None = None
        self._thread = InferenceThread(self, "restoring")
        self._thread.answered.connect(self._on_answer)

    @property
    def end_thread(self) -> Callable[..., None]:
        """Ends the thread, even after Qt has deleted this object."""
        return self._thread.end_thread

    def close(self) -> None:
        """End the thread."""
        self._thread.close()

    def open_file(self, file: Path, image: Image) -> None:
        """Read saved clicks and make their masks again, on a thread."""
        work = partial(remake_file, file, self._binding.models, _target(image))
        self._submit(work, image)
        self.said.emit("Making the masks of the saved clicks ...")

    def recover(self, recovered: Recovered, image: Image) -> None:
        """Bring back work that was left behind; it is read on a thread."""
        self._submit(partial(read_again, recovered, _target(image)), image)
        self._left = recovered
        self.said.emit("Bringing it back ...")

    def _submit(self, work: Work, image: Image) -> None:
        """Do one thing at a time; the latest is what the person wants."""
        self._image, self._left = image, None
        self._thread.submit("open", work)

    def _on_answer(self, answer: Answer) -> None:
        image, found, left = self._image, answer.value, self._left
        self._image = self._left = None
        if answer.error is not None:
            self.said.emit(str(answer.error) or type(answer.error).__name__)
        elif image is not None and found is not None:
            if not self._bring_back(found.saved, found.labels, image):
                return
            self.said.emit(found.note)
            if left is not None:
                self.recovered.emit(left)

    def _bring_back(
        self, saved: SavedAnnotation, labels: LabelArray, image: Image
    ) -> bool:
        """Show the labels in a layer of their own, and go on with what was running."""
        if image not in self._viewer.layers:
            self.said.emit(f"The image {image.name!r} is no longer in the viewer.")
            return False
        layer = new_labels(self._viewer, image, labels)
        if not self._binding.start(image, layer):
            return False
        annotation = self._binding.annotation
        if annotation is None or self._keeper.record is None:
            return False
        self._keeper.record.add_earlier(saved, clicks=True)
        for plane in saved.planes:
            running = plane.sessions[-1].current if plane.sessions else None
            if running is not None and running.clicks:
                shape = plane.sessions[-1].shape
                prompts = prompts_of(running, shape)
                place = Plane(plane.axes, plane.steps)
                annotation.recall(place, prompts, running.threshold)
        annotation.enter_plane()
        self._keeper.record.changed.emit()
        return True


def _target(image: Image) -> Target:
    """Return what the thread needs of an image."""
    shape, data = layer_shape(image), full_resolution(image)
    return Target(image.name, shape, data, bool(image.rgb))
