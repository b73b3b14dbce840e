"""Stroke: pixels that the user has changed by hand, to be taken back and repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_gpcis.geometry import slices
from napari_gpcis.plugin.viewer.planes import Plane

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_gpcis.geometry import Box, Mask


class _Pixels(NamedTuple):
    """Pixels that were changed at once.

    Attributes
    ----------
    place
        Index into the array of labels.
    where
        Which of these pixels, bool; ``None`` for all.
    before, after
        Their values, or one value.
    """

    place: Any
    where: NDArray[np.bool_] | None
    before: Any
    after: Any

    @property
    def reversed(self) -> _Pixels:
        """The change that takes this one back."""
        return _Pixels(self.place, self.where, self.after, self.before)

    def places(self, shape: tuple[int, ...]) -> tuple[NDArray[np.intp], ...]:
        """Return the indices of the pixels on each axis of an array of a shape."""
        if any(isinstance(one, slice) for one in self.place):
            sides = [
                np.atleast_1d(np.arange(size)[one])
                for one, size in zip(self.place, shape, strict=True)
            ]
            grid = np.meshgrid(*sides, indexing="ij")
            flat = [axis.ravel() for axis in grid]
            where = None if self.where is None else self.where.ravel()
        else:
            flat = [np.ravel(one) for one in np.broadcast_arrays(*self.place)]
            where = None if self.where is None else np.ravel(self.where)
        return tuple(axis if where is None else axis[where] for axis in flat)

    def flat(self, values: Any) -> NDArray[Any]:
        """Return the values of the pixels in the order of `places`, or the one."""
        if np.ndim(values) > 1:
            values = np.asarray(values)
            values = values[... if self.where is None else self.where]
        return np.ravel(values) if np.ndim(values) else np.asarray(values)

    def made(self, data: Any) -> _Pixels:
        """Change the pixels that are as they were before; return those alone."""
        region = np.array(data[self.place])
        where = np.ones(region.shape, bool) if self.where is None else self.where.copy()
        now = region[where]
        before, after = (
            np.broadcast_to(value if np.ndim(value) < 2 else value[where], now.shape)
            for value in (self.before, self.after)
        )
        same = now == before
        where[where] = same
        region[where] = after[same]
        data[self.place] = region
        return _Pixels(self.place, where, before[same], after[same])


class Stroke:
    """Pixels that the user has changed by hand, as one step.

    Parameters
    ----------
    labels
        The labels layer.
    parts
        The pixels, in the order in which they were changed.
    """

    def __init__(self, labels: Labels, parts: Iterable[_Pixels]) -> None:
        self._labels = labels
        self._parts = tuple(parts)

    @classmethod
    def of(cls, labels: Labels, item: Iterable[Any]) -> Stroke:
        """Return a step as the layer's history tells it."""
        return cls(labels, map(_pixels, item))

    def planes(self, axes: tuple[int, int]) -> frozenset[Plane]:
        """Return the planes along two axes that pixels are of."""
        shape = self._labels.data.shape
        rest = [axis for axis in range(len(shape)) if axis not in axes]
        found = set()
        for part in self._parts if rest else ():
            places = part.places(shape)
            sizes = [shape[axis] for axis in rest]
            flat = np.ravel_multi_index([places[axis] for axis in rest], sizes)
            for steps in np.transpose(np.unravel_index(np.unique(flat), sizes)):
                step = dict(zip(rest, map(int, steps), strict=True))
                place = tuple(step.get(axis, 0) for axis in range(len(shape)))
                found.add(Plane(axes, place))
        return frozenset(found)

    def on_plane(self, plane: Plane) -> Iterator[tuple[NDArray[Any], ...]]:
        """Yield rows, columns, and labels before and after, of pixels of a plane."""
        for part in self._parts:
            places = part.places(self._labels.data.shape)
            here = np.ones(len(places[0]), dtype=bool)
            for axis, step in enumerate(plane.steps):
                if axis not in plane.axes:
                    here &= places[axis] == step
            rows, cols = (places[axis][here] for axis in plane.axes)
            before, after = (
                np.broadcast_to(part.flat(values), here.shape)[here]
                for values in (part.before, part.after)
            )
            yield rows, cols, before, after

    def beneath(self, plane: Plane, box: Box, own: Mask, label: int) -> Stroke:
        """Return the stroke as it is beneath a mask that is drawn anew.

        Where it has drawn the mask, nothing is left of it; where it has covered the
        mask, background was there.

        Parameters
        ----------
        plane, box, own
            A box of a plane, and the pixels of it where the stroke has changed the
            mask.
        label
            The value that the mask had.
        """
        changed = np.zeros(plane.shape(self._labels.data.shape), dtype=bool)
        changed[slices(box)] = own
        parts = []
        for part in self._parts:
            places = part.places(self._labels.data.shape)
            mine = changed[places[plane.axes[0]], places[plane.axes[1]]]
            for axis, step in enumerate(plane.steps):
                if axis not in plane.axes:
                    mine &= places[axis] == step
            before, after = (
                np.broadcast_to(part.flat(one), mine.shape)
                for one in (part.before, part.after)
            )
            kept = ~mine | (after != label)
            before = np.where(mine & (before == label), 0, before)
            at = tuple(axis[kept] for axis in places)
            parts.append(_Pixels(at, None, before[kept], after[kept]))
        return Stroke(self._labels, parts)

    def taken_back(self) -> Stroke:
        """Give the pixels the values they had before, if nobody has changed them.

        Returns
        -------
        Stroke
            What is to be repeated to have them as they were.
        """
        parts = [part.reversed.made(self._labels.data) for part in self._parts[::-1]]
        self._draw()
        return Stroke(self._labels, [part.reversed for part in parts[::-1]])

    def repeated(self) -> Stroke:
        """Give the pixels the values they were given, if they are as before.

        Returns
        -------
        Stroke
            What is to be taken back to have them as they were.
        """
        parts = [part.made(self._labels.data) for part in self._parts]
        self._draw()
        return Stroke(self._labels, parts)

    def _draw(self) -> None:
        self._labels.refresh(thumbnail=False, highlight=False, extent=False)


def _pixels(atom: Any) -> _Pixels:
    """Return the pixels of one change, as napari's history has them."""
    if len(atom) == 3:  # indices, values before, values after
        return _Pixels(atom[0], None, atom[1], atom[2])
    return _Pixels(atom.slice_key, atom.mask, atom.old_values, atom.new_value)
