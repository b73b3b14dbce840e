"""The object whose mask is computed, as it is drawn in the labels layer."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from napari_gpcis.geometry import EMPTY, moved, slices, union
from napari_gpcis.plugin.labels.hand_edits import NONE, HandEdits
from napari_gpcis.plugin.labels.live_mask import LiveMask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_gpcis.geometry import Mask
    from napari_gpcis.plugin.annotation.object_queue import ObjectQueue
    from napari_gpcis.plugin.labels.strokes import Stroke
    from napari_gpcis.plugin.labels.write_mode import WriteOptions
    from napari_gpcis.plugin.labels.writer import LabelsWriter
    from napari_gpcis.plugin.viewer.planes import Box, Plane
    from napari_gpcis.session.current import CurrentObject
    from napari_gpcis.session.labels import FinishedObject, LabelChange, WriteMode
    from napari_gpcis.session.session import Session


class DrawnObject:
    """The first object of a plane that is not finished, as the labels layer shows it.

    It has pixels of the layer, a label that they are written to, and what the user has
    drawn and erased by hand. An object may begin anew, with other clicks: what undo may
    bring back is kept for each beginning.

    Parameters
    ----------
    plane
        The plane.
    objects
        The objects being clicked there.
    writer
        Writes into the labels layer.
    writing
        What the user has chosen about writing.

    Attributes
    ----------
    live
        What the object shows and hides in the labels layer.
    """

    def __init__(
        self,
        plane: Plane,
        objects: ObjectQueue,
        writer: LabelsWriter,
        writing: WriteOptions,
    ) -> None:
        self._plane = plane
        self._objects = objects
        self._writer = writer
        self._writing = writing
        self.live = LiveMask()
        # both by the step with which the clicks began: an object may begin anew
        self._targets: WeakKeyDictionary[CurrentObject, dict[int, _Target]] = (
            WeakKeyDictionary()
        )
        self._by_hand: WeakKeyDictionary[CurrentObject, dict[int, HandEdits]] = (
            WeakKeyDictionary()
        )
        self._by_hand_of_step: dict[int, tuple[FinishedObject, HandEdits]] = {}
        self._note_drawn()

    def _note_drawn(self) -> None:
        """Take note of what the live mask is of from now on."""
        first = self._objects.first
        self._drawn = first, first.began

    # The mask ---------------------------------------------------------------------

    @property
    def seen(self) -> tuple[Box, Mask] | None:
        """Pixels that are drawn, ``None`` while some are not."""
        if self._writer.rest is not None:
            return None
        return self._writer.seen(self._plane, self.live)

    @property
    def is_shown(self) -> bool:
        """True if any pixel is drawn."""
        return self._writer.shows(self._plane, self.live)

    def draw(self, box: Box, mask: Mask) -> None:
        """Draw a mask, with what was drawn and erased by hand.

        Raises
        ------
        InputError
            If there is no id for the object.
        """
        self._choose_target()
        box, mask = self.with_hand_edits(box, mask)
        self._writer.paint(self._plane, self.live, box, mask)

    def let_go(self) -> None:
        """Take the mask off the labels; an object that was corrected is as before."""
        live, self.live = self.live, LiveMask()
        self._writer.take_off(self._plane, live)
        if live.label:  # its clicks may be redone: they are written as they were
            drawn, began = self._drawn
            self._targets.setdefault(drawn, {})[began] = _Target.of(live)
        if live.new:
            self._writer.release(live.label)

    def leave(self) -> None:
        """Leave the mask where it is drawn: it is not of a current object any more."""
        self.live = LiveMask()

    @contextmanager
    def temporarily_removed(self) -> Iterator[None]:
        """Take the mask off the labels while what is under it is changed.

        Afterwards it is there again, as far as it may be.
        """
        live, writer = self.live, self._writer
        if not live.label:
            yield
            return
        box, mask = writer.seen(self._plane, live)
        writer.take_off(self._plane, live)
        try:
            yield
        finally:
            known = self._objects.first.prediction
            if known is not None:
                box, mask = self.with_hand_edits(*known.trimmed)
            if live.how == "replace":  # the object may be another one now
                self.live = writer.replaced(
                    self._plane, live.label, overwrite=live.overwrite
                )
            writer.paint(self._plane, self.live, box, mask)

    def written(self, masks: Sequence[tuple[Box, Mask]]) -> list[tuple[Box, Mask]]:
        """Return the pixels that the object would have of other masks in its place.

        Pixels of finished objects that are protected are none of it. Without a mask
        the object is written as is chosen now.

        Parameters
        ----------
        masks
            Box of the plane and mask of each, as they are without edits by hand.
        """
        live = self.live
        if not live.label:
            label, how, overwrite, *_ = self._chosen_target()
            live = LiveMask(label, how, overwrite)
        edited = [self.with_hand_edits(*one) for one in masks]
        frame = EMPTY
        for box, _ in edited:
            frame = union(frame, box)
        before = self._writer.others(self._plane, live, frame)
        free = live.may_take(before)
        if live.how == "replace":
            free |= before == live.label
        inner = -frame[0], -frame[1]
        return [(box, mask & free[slices(moved(box, inner))]) for box, mask in edited]

    def change(self) -> LabelChange:
        """Return the pixels that accepting the object changes."""
        return self._writer.change(self._plane, self.live)

    # What it is written to --------------------------------------------------------

    def _choose_target(self) -> None:
        """Decide once what the live mask does to the labels."""
        if not self.live.label:
            self._note_drawn()
            first, began = self._drawn
            target = self._targets.get(first, {}).pop(began, None)
            target = target or self._chosen_target()
            self.live = target.fresh(self._writer, self._plane)

    def _chosen_target(self) -> _Target:
        """Return what the current object would be written to now."""
        start = self._objects.current.start
        if start is not None and start.label is not None:
            return _Target(start.label, "replace", self._writing.overwrite)
        return _Target(*self._writing.target(self._writer))

    def keep_target(self) -> None:
        """Let the current object be written as is chosen now, whatever comes later."""
        current = self._objects.current
        if self._objects.waiting or not self.live.label:
            targets = self._targets.setdefault(current, {})
            targets.setdefault(current.began, self._chosen_target())

    def target_of(self, one: CurrentObject) -> tuple[int, WriteMode, bool] | None:
        """Return what an object is to be written to, if that is decided.

        Returns
        -------
        tuple or None
            Id of the object that is there already, 0 for a new one, and how it is
            changed: `Session.accept` has `how` and `overwrite`.
        """
        target = self._targets.get(one, {}).get(one.began)
        if one is self._objects.first and self.live.label:
            target = _Target.of(self.live)
        if target is None:
            return None
        return 0 if target.new else target.label, target.how, target.overwrite

    def recall_target(
        self, one: CurrentObject, label: int, how: WriteMode, *, overwrite: bool
    ) -> None:
        """Let an object be written as was decided, see `target_of`."""
        self._targets[one] = {one.began: _Target(label, how, overwrite)}

    def choose_target_anew(self) -> bool:
        """Let the current object be written as is chosen now.

        One that is corrected is written as before.

        Returns
        -------
        bool
            Whether the mask is to be drawn anew, as it was taken off.
        """
        current = self._objects.current
        if current.start is not None and current.start.label is not None:
            return False
        self._targets.get(current, {}).pop(current.began, None)
        if self._objects.waiting:
            return False
        self._writer.take_off(self._plane, self.live)
        self.live = LiveMask()
        return True

    def write_as(
        self, label: int | None, how: WriteMode | None, overwrite: bool | None
    ) -> None:
        """Write the mask otherwise than was chosen, see `Session.accept`."""
        before, writer = self.live, self._writer
        self._note_drawn()
        writer.take_off(self._plane, before)
        number = label or before.label or writer.new_label(self._plane)
        way = how or before.how
        (writer.share if label else writer.reserve)(number)
        found = writer.find(self._plane, number) if way == "replace" else None
        self.live = found or LiveMask(number, way, new=before.new and not label)
        self.live.overwrite = before.overwrite if overwrite is None else overwrite

    def begin_as(self, label: int) -> None:
        """Let the next object be one that other planes have, and this one has not.

        Parameters
        ----------
        label
            Its id.
        """
        self._writer.share(label)
        self.live = LiveMask(label, overwrite=self._writing.overwrite, alone=True)
        self._note_drawn()

    def reopen(
        self, label: int, how: WriteMode, change: LabelChange, *, overwrite: bool
    ) -> None:
        """Hold the pixels of a finished object, which is the current one again.

        Parameters
        ----------
        label, how, overwrite
            Its id, and how it was accepted, see `Session.accept`.
        change
            The pixels that were changed then.
        """
        self.live = self._writer.reopened(self._plane, label, how, change)
        self._note_drawn()
        self.live.overwrite = overwrite
        self.live.new = self.live.alone  # without clicks its id is free again

    def forget_before(self, current: CurrentObject) -> None:
        """Let clicks begin with nothing of those that were there before.

        What was drawn and erased on clicks that undo brings back is kept.
        """
        for kept in (self._targets.get(current, {}), self._by_hand.get(current, {})):
            for began in [began for began in kept if began >= current.began]:
                del kept[began]

    # By hand ----------------------------------------------------------------------

    @property
    def hand_edits(self) -> HandEdits:
        """Pixels of the object that were drawn and erased by hand."""
        if not self._by_hand:
            return NONE
        first = self._objects.first
        return self._by_hand.get(first, {}).get(first.began, NONE)

    def hand_edits_of(self, one: CurrentObject) -> HandEdits:
        """Return those that are left of an object being clicked, after its clicks."""
        edits = self._by_hand.get(one, {}).get(one.began, NONE)
        return edits if edits is NONE else edits.settled(one.clicks)

    def recall_hand_edits(self, one: CurrentObject, edits: HandEdits) -> None:
        """Let an object being clicked have edits by hand, see `hand_edits_of`."""
        self._by_hand[one] = {one.began: edits}

    def set_hand_edits(self, edits: HandEdits) -> None:
        """Let the object have other edits by hand; nothing is drawn."""
        first = self._objects.first
        self._by_hand.setdefault(first, {})[first.began] = edits

    def with_hand_edits(self, box: Box, mask: Mask) -> tuple[Box, Mask]:
        """Return a mask as it is with what was drawn and erased by hand."""
        edits = self.hand_edits
        if edits is NONE:
            return box, mask
        return edits.applied(box, mask, self._objects.first.clicks)

    def note_stroke(self, stroke: Stroke) -> tuple[HandEdits, HandEdits] | None:
        """Make what was drawn or erased by hand part of the object.

        Further masks of the object keep it: what was drawn with its label, and what
        was taken from its mask.

        Returns
        -------
        tuple of HandEdits, or None
            The edits before and after; ``None`` if the stroke has no part in it.
        """
        live = self.live
        if self._objects.waiting or not live.label or live.how == "cut":
            return None
        self._writer.flush()
        known = edits = self.hand_edits
        for rows, cols, before, after in stroke.on_plane(self._plane):
            gained = (after == live.value) & (before != live.value)
            lost = (after != live.value) & live.holds(rows, cols)
            live.draw(rows[gained], cols[gained], before[gained])
            if lost.any():
                live.mask[rows[lost] - live.box[0], cols[lost] - live.box[1]] = False
            for where, is_drawn in ((gained, True), (lost, False)):
                edits = edits.with_stroke(
                    rows[where],
                    cols[where],
                    drawn=is_drawn,
                    clicks=self._objects.first.clicks,
                )
        if edits is known:
            return None
        self.set_hand_edits(edits)
        return known, edits

    def take_hand_edits(
        self, before: HandEdits, after: HandEdits, stroke: Stroke | None = None
    ) -> None:
        """Take over other edits by hand, whose pixels are there already.

        Parameters
        ----------
        before, after
            The edits.
        stroke
            The stroke that was repeated: what it has covered is to be given back.
        """
        self.set_hand_edits(after)
        box, where = after.differing(before)
        live = self.live
        if where.any() and live.label and live.how != "cut":
            live.grow(box)
            now = self._plane.take(self._writer.labels.data)[slices(box)]
            inner = slices(moved(box, (-live.box[0], -live.box[1])))
            live.mask[inner][where] = (now == live.value)[where]
            for rows, cols, covered, drawn in (
                stroke.on_plane(self._plane) if stroke else ()
            ):
                gained = (drawn == live.value) & (covered != live.value)
                live.draw(rows[gained], cols[gained], covered[gained])

    def keep_hand_edits(self, session: Session, edits: HandEdits) -> None:
        """Keep edits by hand with the step that their object has become."""
        self._by_hand_of_step[len(session.steps)] = session.steps[-1], edits

    def hand_edits_of_last_step(self, session: Session) -> HandEdits:
        """Return the edits by hand of the object that was accepted last."""
        step, edits = self._by_hand_of_step.pop(len(session.steps), (None, NONE))
        return edits if step is session.steps[-1] else NONE


class _Target(NamedTuple):
    """The object that a mask is written to, and how.

    Attributes
    ----------
    label
        Its id; 0 for a new one.
    how, overwrite
        See `Session.accept`.
    new
        Whether the id was given to this object: no other has it.
    alone
        Whether no other pixel of the plane had the id.
    """

    label: int
    how: WriteMode
    overwrite: bool
    new: bool = False
    alone: bool = False

    @classmethod
    def of(cls, live: LiveMask) -> _Target:
        """Return that of a live mask."""
        return cls(live.label, live.how, live.overwrite, live.new, live.alone)

    def fresh(self, writer: LabelsWriter, plane: Plane) -> LiveMask:
        """Return a live mask that shows nothing yet."""
        if self.new:
            label = self.label if writer.reclaim(self.label) else 0
            alone = bool(label)
            return LiveMask(label, "add", self.overwrite, new=alone, alone=alone)
        if self.label:
            writer.reserve(self.label)
        if self.how == "replace":
            return writer.replaced(plane, self.label, overwrite=self.overwrite)
        if self.how == "add" and self.label:
            writer.share(self.label)
        alone = self.alone and not writer.masks(plane, [self.label])
        return LiveMask(self.label, self.how, self.overwrite, alone=alone)
