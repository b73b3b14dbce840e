"""Restoring saved clicks from a file, or unsaved work after a crash."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from napari.layers import Labels
from napari.utils.notifications import show_info
from qtpy.QtCore import QObject, Signal

from napari_gpcis.checkpoints import find_checkpoint
from napari_gpcis.errors import CheckpointError, InputError, UnknownModelError
from napari_gpcis.geometry import clip_box, mask_of_runs
from napari_gpcis.plugin.annotation.object_queue import Recalled
from napari_gpcis.plugin.background import BackgroundThread
from napari_gpcis.plugin.labels.hand_edits import NONE, HandEdits
from napari_gpcis.plugin.saving.identity import (
    ImageIdentity,
    contradicts,
    identity_of,
    is_called,
)
from napari_gpcis.plugin.saving.work import LEFT, Removed
from napari_gpcis.plugin.viewer.layers import (
    adopt_layers,
    annotated_labels,
    new_labels,
    replace_layer,
)
from napari_gpcis.plugin.viewer.planes import (
    Plane,
    bring_into_view,
    displayed_plane,
    full_resolution,
    layer_shape,
)
from napari_gpcis.prompts import SavedAnnotation, read_prompts, replay, with_digests
from napari_gpcis.session.saved import is_made_with, prompts_of
from napari_gpcis.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image
    from numpy.typing import NDArray

    from napari_gpcis.checkpoints import ModelInfo
    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.annotation.jobs import Models
    from napari_gpcis.plugin.background import Job
    from napari_gpcis.plugin.saving.autosave import Autosaver
    from napari_gpcis.plugin.saving.recovery_file import Recovered
    from napari_gpcis.session.saved import SavedObject

    LabelArray = NDArray[np.int32]


class Restorer(QObject):
    """Restores saved work, in a labels layer of its own.

    Parameters
    ----------
    viewer
        The viewer that gets the layer.
    controller
        Annotates the restored work.
    autosaver
        Records it.
    parent
        Qt parent.

    Attributes
    ----------
    confirm
        Asks the user a question, whose second argument is what is done then; ``True``
        if that is wanted. Without a window nobody is asked.
    """

    said = Signal(str)
    """Emitted with a message: progress, result or error."""
    hinted = Signal(str)
    """Emitted with what of it is about unsaved work: how far it is, or why not."""
    recovered = Signal(object)
    """Emitted with :class:`.Recovered` or :class:`.Removed` work that goes on again."""

    def __init__(
        self,
        viewer: ViewerModel,
        controller: Controller,
        autosaver: Autosaver,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._controller = controller
        self._autosaver = autosaver
        self._image: Image | None = None
        self._recovered: Recovered | Removed | None = None
        self._from_file = False
        self.confirm: Callable[[str, str], bool] = lambda *_: True
        self._thread = BackgroundThread(self, "restoring")
        autosaver.gone_on.connect(self._on_gone_on)

    @property
    def end_thread(self) -> Callable[..., None]:
        """Ends the thread, even after Qt has deleted this object."""
        return self._thread.end_thread

    def close(self) -> None:
        """End the thread."""
        self._thread.close()

    def open_file(self, file: Path, image: Image) -> None:
        """Restore saved clicks of an image; their masks are replayed on the thread.

        Where the file is of another image the user is asked first.
        """
        read = partial(_read_file, file, _target(image))
        found = partial(self._on_read, file, image)
        self._recovered = None
        self._thread.submit("open", read, found, self._on_failed)
        self.said.emit(REPLAYING)

    def _on_read(
        self, file: Path, image: Image, saved: SavedAnnotation, _seconds: float
    ) -> None:
        """Make the masks of clicks that were read, unless they are not wanted."""
        here = identity_of(image)
        there = ImageIdentity(saved.image, digest=saved.image_digest)
        other = contradicts(there, here)
        if other:
            alike = not there.name or is_called(here, there.name)
            why = OTHER_PIXELS if alike else OTHER_NAME
            words = why.format(file.name, here=here.in_words, there=there.name)
            if not self.confirm(words, OPEN):
                self.said.emit(NOT_OPENED.format(file.name))
                return
        models, target = self._controller.models, _target(image)
        self._submit(
            partial(_replay_file, saved, file, models, target, other=other), image
        )
        self._from_file = True

    def recover(self, recovered: Recovered | Removed, image: Image) -> None:
        """Restore unsaved work of an image; it is read on the thread.

        Where a closed widget has left it in labels that are still there, it goes on in
        them as they are now.
        """
        file = None if isinstance(recovered, Removed) else recovered.file
        for layer in self._viewer.layers if file is not None else ():
            left = LEFT.get(layer) if isinstance(layer, Labels) else None
            if left is not None and left.file == file and left.state.is_on(image):
                if self._controller.start(image, layer):
                    self._tell(RESTORED.format(recovered.amount), recovered.saved)
                    self._show_unfinished(left.state.saved, layer, image)
                return
        self._submit(partial(restore_unsaved, recovered, _target(image)), image)
        self._recovered = recovered
        self._hint("Restoring ...")

    def go_on(self, removed: Removed, image: Image) -> None:
        """Go on with work that has lost a layer, in its labels if these are there."""
        adopt_layers(self._viewer, removed.image_id, image)
        labels = removed.layer
        if labels is None or labels not in self._viewer.layers:
            self.recover(removed, image)
        elif self._controller.start(image, labels):
            self._tell(RESTORED.format(removed.amount), removed.saved)
            self.recovered.emit(removed)

    def _submit(self, job: Job, image: Image) -> None:
        """Do one thing at a time: the latest is wanted."""
        self._image, self._recovered, self._from_file = image, None, False
        self._thread.submit("open", job, self._on_found, self._on_failed)

    def _hint(self, words: str) -> None:
        """Say something about the unsaved work that is being restored, if any is."""
        self.said.emit(words)
        if self._recovered is not None:
            self.hinted.emit(words)

    def _on_failed(self, error: Exception) -> None:
        self._hint(str(error) or type(error).__name__)
        self._image = self._recovered = None

    def _on_found(self, found: Restored | None, _seconds: float) -> None:
        image, recovered = self._image, self._recovered
        if image is not None and found is not None and image not in self._viewer.layers:
            self._hint(IMAGE_GONE.format(image.name))
            image = None
        self._image = self._recovered = None
        if image is None or found is None:
            return
        stays = self._staying(image)
        if not self.show(found, image, from_file=self._from_file):
            return
        note, annotation = found.note, self._controller.annotation
        if stays is not None and annotation is not None:
            beside = BESIDE.format(annotation.layers.labels.name, stays.name)
            note = f"{note} {beside}"
        self._tell(note, found.saved, everywhere=recovered is not None)
        if recovered is not None:
            self._autosaver.take_over(recovered)
            self.recovered.emit(recovered)

    def _tell(
        self, note: str, saved: SavedAnnotation, *, everywhere: bool = True
    ) -> None:
        """Say what was restored; ``everywhere``: on whatever page the user is."""
        words = " ".join(filter(None, (note, _unfinished_on(saved))))
        self.said.emit(words)
        annotation = self._controller.annotation
        if annotation is not None:
            annotation.say_once_open(words)
        if everywhere:
            show_info(note)

    def show(self, found: Restored, image: Image, *, from_file: bool) -> bool:
        """Show restored labels in a layer of their own; go on with unfinished objects.

        It takes the place of the layer that was annotated, unless that has work that is
        not saved: then both are there, and what was being clicked is accepted.

        Parameters
        ----------
        found, image
            What was restored, and for which image.
        from_file
            Whether it is saved already: nothing of it is new.

        Returns
        -------
        bool
            ``False`` if that was not possible.
        """
        saved, labels = found.saved, found.labels
        before, stays = self._layer_before(image), self._staying(image)
        now = self._controller.annotation
        layer = new_labels(self._viewer, image, labels)
        others = now is None or now.image != image  # whose layers stay
        accepts = others or stays is not None
        if not self._controller.start(image, layer, accepts=accepts):
            self._viewer.layers.remove(layer)
            return False
        if before is not None and stays is None:
            replace_layer(self._viewer, before, layer)
        if found.name:
            layer.name = found.name
        annotation = self._controller.annotation
        if annotation is None or self._autosaver.record is None:
            return False
        self._autosaver.record.add_earlier(saved, clicks=True)
        planes = _recall(annotation, saved)
        self._show_unfinished(saved, layer, image)
        annotation.enter_plane()
        self._autosaver.record.note_drawing()
        if from_file:
            self._autosaver.record.settle_opened(planes)
        return True

    def _layer_before(self, image: Image) -> Labels | None:
        """Return the labels layer that was annotated; ``None`` without one."""
        now = self._controller.annotation
        if now is not None and now.image == image:
            return now.layers.labels
        return annotated_labels(self._viewer, image)

    def _staying(self, image: Image) -> Labels | None:
        """Return that layer if it has work that is not saved."""
        before = self._layer_before(image)
        if before is None or not self._autosaver.holds_unsaved(before):
            return None
        return before

    def _on_gone_on(self, annotation: Annotation, saved: SavedAnnotation) -> None:
        """Go on with objects that were being clicked when the annotation ended.

        Masks that are in the labels are taken out, and drawn again.
        """
        layer = annotation.layers.labels
        for plane in saved.planes:
            if plane.running:
                part = layer.data[plane.index]
                part[...] = plane.without_unfinished(part)
        layer.refresh()
        _recall(annotation, saved, again=True)

    def _show_unfinished(
        self, saved: SavedAnnotation, labels: Labels, image: Image
    ) -> None:
        """Show a plane with an unfinished object, unless one is shown already."""
        try:
            shown = displayed_plane(self._viewer, image)
        except InputError:  # in 3-D
            return
        planes = [Plane(one.axes, one.steps) for one in saved.unfinished]
        there = [one for one in planes if one.axes == shown.axes]
        if there and shown not in planes:
            place = planes.index(there[0])
            clicks = saved.unfinished[place].unfinished[0].clicks
            rows, cols = zip(*(click.pixel for click in clicks), strict=True)
            box = min(rows), min(cols), max(rows) + 1, max(cols) + 1
            bring_into_view(
                self._viewer, image, labels, there[0], box, centred=False, zooms=False
            )


def _recall(
    annotation: Annotation, saved: SavedAnnotation, *, again: bool = False
) -> list[Plane]:
    """Go on with unfinished objects, and return their planes.

    Parameters
    ----------
    annotation, saved
        What goes on, and the prompts.
    again
        Whether the masks were in the labels before.
    """
    planes = [Plane(one.axes, one.steps) for one in saved.unfinished]
    for place, plane in zip(planes, saved.unfinished, strict=True):
        shape = plane.sessions[-1].shape
        objects = [
            Recalled(
                prompts_of(one, shape),
                one.threshold,
                one.target or 0,
                "add" if one.how == "delete" else one.how,
                one.overwrite,
                _edits_of(one, shape),
                _class_of(one, saved),
            )
            for one in (plane.sessions[-1].current, *plane.following)
        ]
        annotation.recall(place, objects, plane.running if again else 0)
    return planes


def _class_of(one: SavedObject, saved: SavedAnnotation) -> int | None:
    """Return the class of an object that was accepted without a mask, by its number."""
    known, number = range(len(saved.classes.classes)), one.class_number
    return number if number in known else None


def _edits_of(one: SavedObject, shape: tuple[int, int]) -> HandEdits:
    """Return what was drawn and erased on an unfinished object by hand.

    Raises
    ------
    InputError
        If it lies outside the image.
    """
    if one.by_hand is None:
        return NONE
    box = one.by_hand.box
    size = box[2] - box[0], box[3] - box[1]
    if clip_box(box, shape, "what was drawn by hand") != box:
        msg = f"what was drawn by hand must lie inside the image {shape}, got {box}"
        raise InputError(msg)
    drawn, erased = (
        mask_of_runs(runs, size) for runs in (one.by_hand.drawn, one.by_hand.erased)
    )
    return HandEdits(box, drawn, erased, (one.clicks,), np.zeros(size, np.uint16))


def _unfinished_on(saved: SavedAnnotation) -> str:
    """Return on which planes of a stack unfinished objects are; else nothing."""
    found = saved.unfinished
    if len(saved.shape) < 3 or not found:
        return ""
    names = [
        ", ".join(
            str(step) for axis, step in enumerate(one.steps) if axis not in one.axes
        )
        for one in found
    ]
    if len(names) == 1:
        return UNFINISHED_ON.format(names[0])
    return UNFINISHED_ON_ALL.format("; ".join(names))


def _target(image: Image) -> Target:
    """Return an image as the thread needs it."""
    shape, data = layer_shape(image), full_resolution(image)
    return Target(image.name, shape, data, bool(image.rgb))


SHOWN_IDS = 8
REPLAYING = "Making the masks of the saved clicks ..."
OPEN = "Open"
OTHER_NAME = (
    "The clicks in {} are of another image, {there!r}.\nThe chosen image is {here}.\n\n"
    "Open them on it all the same?"
)
OTHER_PIXELS = (
    "The clicks in {} are of an image that has this name, but other pixels.\n"
    "The chosen image is {here}.\n\nOpen them on it all the same?"
)
NOT_OPENED = "{} was not opened: it is of another image."
EDITED, ON_OTHER = "edited by hand, or another model", "it is another image"
RESTORED = "Restored: {}."
IMAGE_GONE = "The image {!r} is no longer in the viewer."
BESIDE = "They are in {!r}, beside {!r}, which is not saved yet."
UNFINISHED_ON = "An object is unfinished on plane {}."
UNFINISHED_ON_ALL = "Objects are unfinished on the planes {}."


class Target(NamedTuple):
    """The image that saved work is restored for, as the thread needs it.

    Attributes
    ----------
    name, shape
        Its name, and its shape without colours.
    data, colour
        Its pixels at full resolution, and whether the last axis holds colours.
    """

    name: str
    shape: tuple[int, ...]
    data: Any
    colour: bool


@dataclass(frozen=True)
class Restored:
    """Restored labels and their prompts.

    Attributes
    ----------
    saved
        The prompts.
    labels
        The labels to show, without unfinished objects: those of the labels file if
        there is one, else the replayed masks.
    note
        Message for the user that compares both.
    name
        Name that the labels layer had, if it is known.
    """

    saved: SavedAnnotation
    labels: LabelArray
    note: str
    name: str = ""


def without_unfinished(saved: SavedAnnotation, labels: LabelArray) -> LabelArray:
    """Return labels without unfinished objects; corrected ones are as before."""
    kept = np.array(labels)
    for plane in saved.planes:
        kept[plane.index] = plane.without_unfinished(kept[plane.index])
    return kept


def _check_shape(saved: SavedAnnotation, image: Target) -> None:
    if image.shape != saved.shape:
        msg = (
            f"These clicks belong to an image of shape {saved.shape} "
            f"({saved.image or 'without a name'}); {image.name!r} has {image.shape}."
        )
        raise InputError(msg)


def restore_unsaved(
    recovered: Recovered | Removed, image: Target, _cancelled: Callable[[], bool]
) -> Restored:
    """Read unsaved work from its recovery file (on the thread)."""
    _check_shape(recovered.saved, image)
    labels = without_unfinished(recovered.saved, recovered.labels())
    note = RESTORED.format(recovered.amount)
    return Restored(recovered.saved, labels, note, recovered.name)


def restore_file(
    file: Path,
    models: Models,
    image: Target,
    cancelled: Callable[[], bool],
    *,
    compare: bool = True,
) -> Restored | None:
    """Read saved prompts and replay their masks (on the thread).

    Without ``compare`` nothing is replayed where the labels were saved as well.
    """
    saved = _read_file(file, image, cancelled)
    labels = _labels_beside(file, saved)
    if not compare and labels is not None:
        kept = without_unfinished(saved, _read_labels(labels, saved.shape))
        return Restored(saved, kept, "")
    return _replay_file(saved, file, models, image, cancelled)


def _read_file(
    file: Path, image: Target, _cancelled: Callable[[], bool]
) -> SavedAnnotation:
    """Read saved prompts of an image of this shape (on the thread)."""
    saved = read_prompts(file)
    _check_shape(saved, image)
    return saved


def _labels_beside(file: Path, saved: SavedAnnotation) -> Path | None:
    """Return the labels that were saved with the clicks; ``None`` without them."""
    labels = None if saved.labels_file is None else file.parent / saved.labels_file
    return labels if labels is not None and labels.is_file() else None


def _replay_file(
    saved: SavedAnnotation,
    file: Path,
    models: Models,
    image: Target,
    cancelled: Callable[[], bool],
    *,
    other: bool = False,
) -> Restored | None:
    """Replay the masks of saved prompts, and compare them with saved labels.

    ``other`` tells that they are of another image.
    """
    labels = _labels_beside(file, saved)
    kept = None if labels is None else _read_labels(labels, saved.shape)
    try:
        segmenter = models.get()
    except (CheckpointError, UnknownModelError) as error:
        msg = (
            f"The clicks need a model: {error}. Choose another model and open them "
            "again."
        )
        raise InputError(msg) from error
    made = replay(
        saved,
        segmenter,
        image.data,
        labels=kept,
        colour=image.colour,
        any_model=True,
        cancelled=cancelled,
    )
    if cancelled():
        return None
    again = without_unfinished(saved, made)
    finished = None if kept is None else without_unfinished(saved, kept)
    note = _note(saved, finished, again, segmenter.info, other=other)
    shown = again if finished is None else finished
    told = with_digests(saved, again, shown, anew=finished is None)
    return Restored(told, shown, note)


def _read_labels(file: Path, shape: tuple[int, ...]) -> LabelArray:
    from tifffile import imread

    try:
        labels = np.asarray(imread(file)).reshape(shape)
    except Exception as error:  # decoders of damaged files raise what they like
        msg = f"the labels {file.name} cannot be read: {error}"
        raise InputError(msg) from error
    return labels.astype(np.int32)


def _note(
    saved: SavedAnnotation,
    finished: LabelArray | None,
    again: LabelArray,
    model: ModelInfo,
    *,
    other: bool = False,
) -> str:
    """Return a message that compares replayed masks with the saved ones.

    ``other`` tells that they are of another image, which is named.
    """
    count = len(saved.ids)
    opened = f"Opened the clicks of {counted(count, 'object')}"
    drawn = 0
    if finished is not None:
        drawn = saved.count_objects(np.unique(finished)) - count
        if drawn:
            opened += f", and {drawn} more without clicks"
    if not count:
        opened = f"Opened: {saved.in_words(drawn)}"
    others = _other_models(saved, model)
    if others:
        opened += f", made with {others}; {model.name} is in use and may differ"
    if other:
        opened += f", of another image{f', {saved.image!r}' if saved.image else ''}"
    if not count and not drawn:
        return f"{opened}."
    if finished is None:
        return f"{opened}. The masks were made again."
    differ = np.union1d(finished[finished != again], again[finished != again])
    ids = [str(number) for number in differ if number]
    if not ids:
        return f"{opened}. All masks are as they were saved."
    named = ", ".join(ids[:SHOWN_IDS]) + (" ..." if len(ids) > SHOWN_IDS else "")
    why = ON_OTHER if other else EDITED
    return (
        f"{opened}. Their clicks now give other masks for the objects {named} ({why}); "
        "all are shown as they were saved."
    )


def _other_models(saved: SavedAnnotation, model: ModelInfo) -> str:
    """Return the names of models whose masks may differ from those in use.

    Those that are no longer on this computer are said to be so.
    """
    names = {
        one.model
        for plane in saved.planes
        for one in plane.sessions
        if one.model and not is_made_with(one, model)
    }
    return ", ".join(
        name if _is_known(name) else f"{name} (no longer here)"
        for name in sorted(names)
    )


def _is_known(model: str) -> bool:
    """Return whether there is a model of this name, here or to be downloaded."""
    try:
        find_checkpoint(model)
    except UnknownModelError:
        return False
    except CheckpointError:  # it is to be downloaded first
        return True
    return True
