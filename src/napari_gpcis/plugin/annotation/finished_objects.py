"""Finished objects of one plane, as they are drawn in the labels layer."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import ref

import numpy as np

from napari_gpcis.geometry import placed, slices, union
from napari_gpcis.plugin.annotation.undo.edits import PlaneEdit
from napari_gpcis.plugin.viewer.planes import layer_shape
from napari_gpcis.session.labels import FinishedObject, LabelChange, obeys, redrawn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Box, Mask
    from napari_gpcis.plugin.annotation.context import AnnotationContext
    from napari_gpcis.plugin.annotation.undo.edits import PlaneOfHistory


class FinishedObjects:
    """The finished objects of one plane: asked for, changed by hand, and deleted.

    Parameters
    ----------
    owner
        The plane, whose session has them as steps if it is open.
    context
        What it shares with the other planes.
    """

    def __init__(self, owner: PlaneOfHistory, context: AnnotationContext) -> None:
        self._owner = owner
        self._plane = owner.plane
        self._context = context

    @property
    def _shape(self) -> tuple[int, int]:
        """Rows and columns of the plane."""
        return self._plane.shape(layer_shape(self._context.image))

    def label_at(self, row: int, col: int) -> int:
        """Return the label that is drawn at a pixel; 0 outside the plane."""
        rows, cols = self._shape
        if not (0 <= row < rows and 0 <= col < cols):
            return 0
        if self._context.writer.rest is not None:
            self._context.writer.flush()
        return int(self._plane.take(self._context.layers.labels.data)[row, col])

    def clicks_of(self, label: int) -> tuple[Click, ...]:
        """Return the clicks of a finished object that are known, and that it obeys."""
        steps = self._steps_of(label)
        return self._obeyed(label, [one for step in steps for one in step.clicks])

    def user_clicks_of(self, label: int) -> tuple[Click, ...]:
        """Return those of `clicks_of` that were not placed for the user."""
        steps = self._steps_of(label)
        return self._obeyed(label, [one for step in steps for one in step.user_clicks])

    def _steps_of(self, label: int) -> list[FinishedObject]:
        """Return what is known of how an object was made; nothing of cuts."""
        session = self._owner.session
        steps = () if session is None else session.objects
        return [one for one in steps if one.id == label and one.how != "cut"]

    def _obeyed(self, label: int, clicks: list[Click]) -> tuple[Click, ...]:
        """Return those clicks that an object obeys."""
        found = self._context.writer.masks(self._plane, [label]).get(label)
        if found is None:
            return ()
        return tuple(click for click in clicks if obeys(*found, click))

    def has_room(self, box: Box, mask: Mask) -> bool:
        """Return whether a new object with these pixels would show any of them.

        Parameters
        ----------
        box, mask
            A box of the plane, and pixels of it.
        """
        label, _, overwrite = self._context.writing.target(self._context.writer)
        if label or overwrite:
            return True
        self._context.writer.flush()
        now = self._plane.take(self._context.layers.labels.data)[slices(box)]
        return bool(np.any(mask & (now <= 0)))

    def redraw(self, label: int, box: Box, drawn: Mask, erased: Mask) -> bool:
        """Add pixels to a finished object, and take others from it; one undo step.

        Other objects are protected as they are from masks.

        Parameters
        ----------
        label
            The object.
        box, drawn, erased
            A box of the plane, and pixels of it.

        Returns
        -------
        bool
            ``False`` if nothing is changed: the plane is not open, an object is
            clicked, or nothing would be left of the object.
        """
        self._context.click_layers.settle()
        session, writer = self._owner.session, self._context.writer
        found = writer.masks(self._plane, [label]).get(label)
        if session is None or self._owner.objects.clicks or found is None:
            return False
        overwrite = self._context.writing.overwrite
        now = self._plane.take(self._context.layers.labels.data)[slices(box)]
        taken = drawn & ((now != label) if overwrite else (now <= 0))
        where = taken | (erased & (now == label))
        both = union(found[0], box)
        mask = placed(found[1], found[0], both) | placed(taken, box, both)
        mask &= ~placed(erased, box, both)
        if not where.any() or not mask.any():
            return False
        clicks = self.user_clicks_of(label)
        step = redrawn(label, both, mask, self._shape, clicks, overwrite=overwrite)
        values = np.where(taken, label, 0)[where].astype(now.dtype)
        change = LabelChange(box, where, now[where], values)
        edit = self._context.undo_stack.add_redrawn(self._owner, step, change)
        return edit is not None

    def delete(self, labels: Iterable[int]) -> list[PlaneEdit]:
        """Delete finished objects of this plane.

        Parameters
        ----------
        labels
            Their ids.

        Returns
        -------
        list of PlaneEdit
            What was changed; nothing of an object that is not there, or that is being
            clicked.
        """
        asked = dict.fromkeys(labels)
        if self._owner.objects.clicks:
            asked.pop(self._owner.drawn.live.label, None)
        if not asked:
            return []
        with self._owner.drawn.temporarily_removed():
            found = self._context.writer.masks(self._plane, list(asked))
            parts = [self._deleted(label, *there) for label, there in found.items()]
            self._context.writer.erase(self._plane, list(found.values()))
        return parts

    def _deleted(self, label: int, box: Box, mask: Mask) -> PlaneEdit:
        """Return the edit that deletes an object; it becomes a step of the session."""
        change = LabelChange(box, mask, np.asarray(label), np.asarray(0))
        session = self._owner.session
        if session is None:
            return PlaneEdit(self._plane, label, change)
        step = FinishedObject(label, (), None, 0.5, False, mask.shape, "delete")
        session.note(step, change)
        return PlaneEdit(self._plane, label, change, ref(session), step)
