"""Takes back what was drawn by hand, and draws it again.

A stroke may be on the object that is being clicked. Then it is part of that, as edits
by hand: its pixels and these go back and forth together. Any other stroke is pixels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_gpcis.geometry import placed, slices

if TYPE_CHECKING:
    from napari_gpcis.geometry import Mask
    from napari_gpcis.plugin.annotation.undo.edit_writer import EditWriter
    from napari_gpcis.plugin.annotation.undo.edits import PlaneOfHistory, StrokeEdit


class StrokeWriter:
    """Takes strokes back and repeats them, in the labels and on the current object.

    Parameters
    ----------
    edit_writer
        Writes the other edits of the same labels.
    """

    def __init__(self, edit_writer: EditWriter) -> None:
        self._edit_writer = edit_writer
        self._writer = edit_writer.labels_writer
        self._labels = self._writer.labels

    def take_back(
        self, edit: StrokeEdit, current: PlaneOfHistory | None
    ) -> StrokeEdit | None:
        """Take back a stroke that was done last.

        Parameters
        ----------
        edit
            The stroke.
        current
            The displayed plane.

        Returns
        -------
        StrokeEdit or None
            What repeats it; ``None`` if it cannot be taken back: the current object is
            not drawn with it any more.
        """
        self._writer.flush()
        if edit.redrawn:
            return self._redraw(edit, current, again=False)
        mine = current is not None and edit.belongs_to(current)
        if current is not None and mine:
            edit = edit.for_mask_of(current)
            if edit.written is None:
                return self._change_beneath(edit, current, again=False)
        there = None
        if current is not None and edit.label:
            there = current.plane.take(self._labels.data) == edit.label
        taken = replace(edit, stroke=edit.stroke.taken_back())
        if current is not None and mine and edit.by_hand is not None:
            before, after = edit.by_hand
            current.drawn.take_hand_edits(after, before)
        if current is not None and there is not None:
            self._remove_ghosts(edit.label, current, there)
        return taken

    def repeat(self, edit: StrokeEdit, current: PlaneOfHistory) -> StrokeEdit | None:
        """Repeat a stroke that was taken back.

        Parameters
        ----------
        edit
            What `take_back` has returned.
        current
            The displayed plane.

        Returns
        -------
        StrokeEdit or None
            What takes it back; ``None`` if it cannot be repeated: the current object is
            another one.
        """
        mine = edit.belongs_to(current, undone=True)
        if edit.redrawn:
            return self._redraw(edit, current, again=True) if mine else None
        self._writer.flush()
        if mine:
            edit = edit.for_mask_of(current)
            if edit.written is None:
                return self._change_beneath(edit, current, again=True)
        stroke = edit.stroke.repeated()
        if mine and edit.by_hand is not None:
            current.drawn.take_hand_edits(*edit.by_hand, stroke)
        return replace(edit, stroke=stroke)

    def _redraw(
        self, edit: StrokeEdit, current: PlaneOfHistory | None, *, again: bool
    ) -> StrokeEdit | None:
        """Take back or repeat edits by hand with which the mask is drawn anew."""
        if current is None or edit.by_hand is None:
            return None
        if not edit.belongs_to(current, undone=again):
            return None
        current.draw_with_hand_edits(edit.by_hand[again])
        return edit

    def _change_beneath(
        self, edit: StrokeEdit, current: PlaneOfHistory, *, again: bool
    ) -> StrokeEdit:
        """Take back or repeat a stroke beneath the live mask, which is drawn anew.

        Parameters
        ----------
        edit
            The stroke, without pixels of the mask, see `StrokeEdit.for_mask_of`.
        current
            The plane, whose object the stroke belongs to.
        again
            Whether the stroke is repeated.

        Returns
        -------
        StrokeEdit
            What takes it back, or repeats it.
        """
        assert edit.by_hand is not None
        with self._edit_writer.written([current.plane]):
            current.drawn.set_hand_edits(edit.by_hand[again])
            stroke = edit.stroke
            stroke = stroke.repeated() if again else stroke.taken_back()
        return replace(edit, stroke=stroke)

    def _remove_ghosts(self, label: int, current: PlaneOfHistory, there: Mask) -> None:
        """Remove pixels that a stroke had covered, of a mask that is not there now.

        Parameters
        ----------
        label, current
            The id of the mask, and its plane.
        there
            Pixels that have the id without the stroke being taken back.
        """
        session, live = current.session, current.drawn.live
        if session is not None and any(step.id == label for step in session.steps):
            return
        ghosts = (current.plane.take(self._labels.data) == label) & ~there
        known = current.objects.first.prediction
        if live.label == label and known is not None:
            box, mask = current.drawn.with_hand_edits(*known.trimmed)
            live.grow(box)
            inside = ghosts[slices(live.box)]
            live.mask |= inside & placed(mask, box, live.box)
            inside &= ~live.mask
        if ghosts.any():
            self._writer.write(current.plane, (0, 0, *ghosts.shape), ghosts, 0)
