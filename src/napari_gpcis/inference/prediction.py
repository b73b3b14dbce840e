"""Prediction: the maps after a click, and a mask that obeys every click."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np

from napari_gpcis.errors import InputError
from napari_gpcis.geometry import EMPTY, box_of, contains, moved, slices
from napari_gpcis.inference.resampling import (
    from_grid,
    interpolate_columns,
    interpolate_rows,
    lines_of,
    samples_between,
    strips,
)
from napari_gpcis.inference.tidy import smooth, tidy_pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Box
    from napari_gpcis.inference.resampling import Floats, Index
    from napari_gpcis.inference.tidy import Tidy

MapName: TypeAlias = Literal["mask", "probability", "variance", "prior", "update"]


@dataclass(frozen=True, eq=False)
class Prediction:
    """The posterior after a sequence of clicks, on one box of the image.

    Only the arrays on the network's grid are kept. Every map of image size is made
    when it is asked for, and made anew each time: keep what you use twice.

    Attributes
    ----------
    shape
        Height and width of the image.
    roi
        The box the network saw, ``(row_min, col_min, row_max, col_max)``, half-open.
    clicks
        All clicks up to this prediction, in order.
    threshold
        The object is where the probability is above it.
    maps
        The maps on the network's grid, read-only.
    half_pixel
        How the grid lies on the roi: ``True`` about pixel centres, ``False`` with
        aligned corners as published.
    seen
        Input of the network; of a preview, that of the prediction before.
    quality
        Expected IoU of the mask with the object meant, in [0, 1]; ``None`` from a
        model that does not predict it.
    tidy
        Rules by which the mask is tidied; ``None``: it is not. The maps never are.
    kept
        Pixels whose pieces tidying keeps like clicked ones, see `StartMask.middles`.
    """

    shape: tuple[int, int]
    roi: Box
    clicks: tuple[Click, ...]
    threshold: float
    maps: GridMaps = field(repr=False)  # pages of numbers in a console
    half_pixel: bool
    seen: NetworkInput | None = field(default=None, repr=False)
    quality: float | None = None
    tidy: Tidy | None = None
    kept: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        """Check the threshold and lock the arrays."""
        check_threshold(self.threshold)
        for values in self.maps:
            values.flags.writeable = False

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The object, bool, shape (H, W): false outside the roi, obeys every click."""
        return self._full(self.crop("mask"), fill=False)

    @cached_property
    def trimmed(self) -> tuple[Box, NDArray[np.bool_]]:
        """The smallest box around the mask, and the mask on it; kept, read-only."""
        mask = self._mask_crop()
        inside = box_of(mask)
        if inside is None:
            return EMPTY, np.zeros((0, 0), dtype=bool)
        part = mask[slices(inside)].copy()
        part.flags.writeable = False
        return moved(inside, self.roi[:2]), part

    @property
    def probability(self) -> Floats:
        """Probability of the object, float32, shape (H, W): 0 outside the roi."""
        return self._full(self.crop("probability"), fill=0)

    @property
    def variance(self) -> Floats:
        """Posterior variance of the logit, shape (H, W): NaN outside the roi."""
        return self._full(self.crop("variance"), fill=np.nan)

    @property
    def prior(self) -> Floats:
        """Share of the prior in the logit, shape (H, W); NaN outside the roi."""
        return self._full(self.crop("prior"), fill=np.nan)

    @property
    def update(self) -> Floats:
        """Share of the clicks in the logit, shape (H, W); NaN outside the roi."""
        return self._full(self.crop("update"), fill=np.nan)

    @property
    def ignored(self) -> tuple[Click, ...]:
        """The clicks that the probability disobeys; only the mask's last step obeys.

        Of clicks on one pixel the last counts. None of them lies outside the roi.
        """
        mask = self._scored_mask()
        inside = [click for click in self.clicks if contains(self.roi, click)]
        last = {in_roi(click, self.roi)[0]: click for click in inside}
        return tuple(c for place, c in last.items() if mask[place] != c.positive)

    def crop(self, name: MapName) -> NDArray[Any]:
        """Return one map on the roi only.

        Parameters
        ----------
        name
            ``"mask"`` (bool) or ``"probability"``, ``"variance"``, ``"prior"``,
            ``"update"`` (float32).

        Returns
        -------
        ndarray
            Array of the roi's height and width, for the caller to keep or change.

        Raises
        ------
        InputError
            If there is no map of that name.

        Notes
        -----
        The Gaussian process interpolates the clicks on the network's grid. On the
        way back to data pixels, and where clicks share a grid pixel, that can be
        lost. So the mask has a last step. Each clicked pixel in turn, if it has not the
        label of the last click on it, gets that label together with the pixels about
        it: half a network pixel in each direction, at least its four neighbours, save
        those as near to a click of the other sign. Afterwards every clicked pixel of
        the roi has the label of the last click on it.
        (Positive clicks are always in the roi; outside it the mask is false, as a
        negative click there wants.)

        With `tidy` the mask is smoothed before that step; after it pieces that
        nobody has clicked are removed and small holes filled, which leaves every
        clicked pixel as it is.
        """
        if name == "mask":
            return self._mask_crop()
        if name not in GridMaps._fields:
            accepted = ", ".join(("mask", *GridMaps._fields))
            msg = f"name must be one of {accepted}, got {name!r}"
            raise InputError(msg)
        values = np.empty(self._size, dtype=np.float32)
        for rows, strip in self._strips(name):
            values[rows] = strip
        return values

    def with_threshold(self, threshold: float) -> Prediction:
        """Return the same prediction with another threshold; nothing is inferred."""
        return replace(self, threshold=threshold)

    def with_tidy(
        self, tidy: Tidy | None, kept: tuple[tuple[int, int], ...] = ()
    ) -> Prediction:
        """Return the same prediction with another tidying; nothing is inferred.

        Parameters
        ----------
        tidy, kept
            See `Prediction`.
        """
        return replace(self, tidy=tidy, kept=kept)

    def outlines(self) -> list[NDArray[np.float64]]:
        """Return the border of the object as closed curves, for drawing.

        Made on the network's grid, so it takes the same short time however large the
        roi is. The step that obeys clicks has no part in it unless it is tidied.

        Returns
        -------
        list of ndarray
            Rows and columns in data pixels, each of shape (k, 2).
        """
        from skimage.measure import find_contours  # slow to import

        padded = np.pad(self._tidied_probability(), 1)
        curves = [curve - 1 for curve in find_contours(padded, self.threshold)]
        for curve in curves:
            for axis, size in enumerate(self.maps.probability.shape):
                length = self._size[axis]
                place = from_grid(
                    curve[:, axis], length, size, half_pixel=self.half_pixel
                )
                curve[:, axis] = self.roi[axis] + np.clip(place, -0.5, length - 0.5)
        return curves

    def extent(self, threshold: float) -> Box | None:
        """Return the box of all pixels with a probability above ``threshold``.

        The step that obeys clicks has no part in it. ``None`` if there are none.
        """
        reach = self._reach(threshold)
        if reach is None:
            return None
        rows = self._ends(threshold, *reach, axis=0)
        cols = rows and self._ends(threshold, slice(*rows), reach[1], axis=1)
        if not rows or not cols:
            return None
        return moved((rows[0], cols[0], rows[1], cols[1]), self.roi[:2])

    def read(self, rows: Index, cols: Index) -> Floats:
        """Return the probability ``(1, rows, cols)``, 0 outside the roi."""
        return self.read_rows(self.read_cols(cols), rows)[None]

    def read_cols(self, cols: Index) -> Floats:
        """Return the grid's rows of the probability at some columns of the image."""
        col, inside = _inside(cols, self.roi[1], self.roi[3])
        if len(col) == len(inside):
            return self._across("probability", col)
        values = np.zeros((len(self.maps.probability), len(inside)), dtype=np.float32)
        values[:, inside] = self._across("probability", col)
        return values

    def read_rows(self, across: Floats, rows: Index) -> Floats:
        """Stretch what `read_cols` returned to some rows of the image."""
        row, inside = _inside(rows, self.roi[0], self.roi[2])
        if len(row) == len(inside):
            return self._down(across, row)
        values = np.zeros((len(inside), across.shape[1]), dtype=np.float32)
        values[inside] = self._down(across, row)
        return values

    @property
    def _size(self) -> tuple[int, int]:
        """Height and width of the roi."""
        return self.roi[2] - self.roi[0], self.roi[3] - self.roi[1]

    def _across(
        self, name: str, cols: NDArray[np.intp], lines: slice | None = None
    ) -> Floats:
        """Return the grid's rows of one map, or some, at some columns of the roi."""
        grid: Floats = getattr(self.maps, name)
        return interpolate_columns(
            grid[lines or slice(None)], self._size[1], cols, half_pixel=self.half_pixel
        )

    def _down(
        self,
        across: Floats,
        rows: NDArray[np.intp],
        lines: slice | None = None,
        size: int | None = None,
    ) -> Floats:
        """Return some rows of the roi; see `interpolate_rows`."""
        return interpolate_rows(
            across,
            self._size[0],
            rows,
            half_pixel=self.half_pixel,
            part=lines,
            size=size,
        )

    def _strips(
        self, name: str, rows: slice | None = None, cols: slice | None = None
    ) -> Iterator[tuple[slice, Floats]]:
        """Return one map on the roi, or some of its rows and columns, in strips."""
        height, width = self._size
        first, last, _ = (rows or slice(None)).indices(height)
        if first >= last:
            return
        size = len(getattr(self.maps, name))
        lines = lines_of(first, last, height, size, half_pixel=self.half_pixel)
        across = self._across(name, np.arange(width)[cols or slice(None)], lines)
        for part in strips(last - first, across.shape[1]):
            place = slice(first + part.start, first + part.stop)
            row = np.arange(place.start, place.stop)
            yield place, self._down(across, row, lines, size)

    def _reach(self, threshold: float) -> tuple[slice, slice] | None:
        """Return rows and columns of the roi beyond which nothing is above a threshold.

        What is interpolated between lower values is lower.
        """
        box = box_of(self.maps.probability > threshold)
        if box is None:
            return None
        rows, cols = (
            samples_between(
                box[axis] - 1,
                box[axis + 2],
                length,
                self.maps.probability.shape[axis],
                half_pixel=self.half_pixel,
            )
            for axis, length in enumerate(self._size)
        )
        return rows, cols

    def _ends(
        self, threshold: float, rows: slice, cols: slice, *, axis: int
    ) -> tuple[int, int] | None:
        """Return where the pixels above a threshold begin and end along an axis.

        Only some rows and columns of the roi are looked at, from both ends until
        there is one.
        """
        whole = (rows, cols)[axis]
        step = 2 * math.ceil(self._pixel_size[axis])
        starts = range(whole.start, whole.stop, step)
        ends: list[int] = []
        for order in (starts, reversed(starts)):
            for start in order:
                part = slice(start, min(start + step, whole.stop))
                seen = (part, cols) if axis == 0 else (rows, part)
                above = self._above(threshold, *seen)
                found = start + np.flatnonzero(above.any(axis=1 - axis))
                if len(found):
                    ends.append(int(found[-1 if ends else 0]))
                    break
            else:
                return None
        return ends[0], ends[1] + 1

    def _above(self, threshold: float, rows: slice, cols: slice) -> NDArray[np.bool_]:
        """Return where the probability is above a threshold, on a part of the roi."""
        strips_above = [
            strip > threshold for _, strip in self._strips("probability", rows, cols)
        ]
        return np.concatenate(strips_above)

    def _scored_mask(self) -> NDArray[np.bool_]:
        """Return where the probability is above the threshold, on the roi."""
        mask = np.zeros(self._size, dtype=bool)
        reach = self._reach(self.threshold)
        if reach is None:
            return mask
        rows, cols = reach
        for place, strip in self._strips("probability", rows, cols):
            np.greater(strip, self.threshold, out=mask[place, cols])
        return mask

    def _mask_crop(self) -> NDArray[np.bool_]:
        """Return the mask on the roi, which obeys every click there."""
        mask = self._scored_mask()
        if self.tidy is not None:
            smooth(mask, self.tidy.smoothing)
        inside = [click for click in self.clicks if contains(self.roi, click)]
        clicks = [in_roi(click, self.roi) for click in inside]
        height, width = self._pixel_size
        obey(mask, clicks, (max(1.0, height / 2), max(1.0, width / 2)))
        if self.tidy is not None:
            top, left = self.roi[:2]
            kept = [(row - top, col - left) for row, col in self.kept]
            tidy_pieces(mask, dict(clicks), self.tidy, kept=kept)
        return mask

    @property
    def _pixel_size(self) -> tuple[float, float]:
        """Height and width of a pixel of the grid, in pixels of the image."""
        rows, cols = self.maps.probability.shape
        return self._size[0] / rows, self._size[1] / cols

    def _tidied_probability(self) -> Floats:
        """Return the probability on the grid, 0 or 1 where tidying changes the mask."""
        probability = self.maps.probability
        if self.tidy is None:
            return probability
        scored = probability > self.threshold
        mask = scored.copy()
        height, width = self._pixel_size
        smooth(mask, self.tidy.smoothing / max(height, width))
        inside = [click for click in self.clicks if contains(self.roi, click)]
        clicks = [(self._on_grid(click.pixel), click.positive) for click in inside]
        obey(mask, clicks, (0.5, 0.5))
        kept = [self._on_grid(place) for place in self.kept]
        area = height * width
        tidy_pieces(mask, dict(clicks), self.tidy, kept=kept, pixel=area)
        values = np.where(scored == mask, probability, mask)
        return values.astype(np.float32, copy=False)

    def _on_grid(self, place: tuple[int, int]) -> tuple[int, int]:
        """Return the pixel of the grid nearest to a pixel of the image."""
        row, col = (
            (index - start + 0.5) / side
            for index, start, side in zip(
                place, self.roi[:2], self._pixel_size, strict=True
            )
        )
        return math.floor(row), math.floor(col)

    def _full(self, crop: NDArray[Any], fill: float) -> NDArray[Any]:
        """Return a map of the roi on the whole image."""
        full = np.full(self.shape, fill, dtype=crop.dtype)
        full[self.roi[0] : self.roi[2], self.roi[1] : self.roi[3]] = crop
        return full


class GridMaps(NamedTuple):
    """Maps on the grid of the network: four arrays (h, w), float32.

    Those after the first may have a coarser grid.
    """

    probability: Floats
    prior: Floats
    update: Floats
    variance: Floats


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """Input of one pass of the network, from which its features can be made again.

    Attributes
    ----------
    roi
        The box of the image.
    clicks
        The clicks drawn into the input.
    previous
        Previous mask probability on the network's grid, float32, shape (1, h, w);
        ``None`` for none.
    size
        Side of the square that the box is resized to, in network pixels; ``None``:
        that of the model.
    """

    roi: Box
    clicks: tuple[Click, ...] = ()
    previous: Floats | None = None
    size: int | None = None


def check_threshold(threshold: float) -> None:
    """Raise `InputError` unless the threshold is a number between 0 and 1."""
    number = isinstance(threshold, (int, float, np.number))
    if not (number and 0 < threshold < 1):
        msg = f"threshold must lie between 0 and 1 (both excluded), got {threshold!r}"
        raise InputError(msg)


def obey(
    mask: NDArray[np.bool_],
    clicks: list[tuple[tuple[int, int], bool]],
    reach: tuple[float, float],
) -> None:
    """Set each clicked pixel to the label of its last click, in place.

    Parameters
    ----------
    mask
        Shape (h, w); changed.
    clicks
        Pixel and label of each click, in order; the last on a pixel counts.
    reach
        Half axes of the ellipse that a repaired click sets, in pixels; see
        :meth:`Prediction.crop`.
    """
    wanted = dict(clicks)
    for place, positive in wanted.items():
        if mask[place] != positive:
            others = [other for other, sign in wanted.items() if sign != positive]
            _repair(mask, place, positive, others, reach)


def _repair(
    mask: NDArray[np.bool_],
    place: tuple[int, int],
    positive: bool,
    others: list[tuple[int, int]],
    reach: tuple[float, float],
) -> None:
    """Set the ellipse about a click to its label, in place.

    Pixels as near to one of the ``others`` are left.
    """
    box = tuple(
        slice(max(0, math.ceil(centre - half)), math.floor(centre + half) + 1)
        for centre, half in zip(place, reach, strict=True)
    )
    part = mask[box]
    rows = np.arange(part.shape[0])[:, None] + box[0].start
    cols = np.arange(part.shape[1])[None, :] + box[1].start
    down, right = rows - place[0], cols - place[1]
    taken = (down / reach[0]) ** 2 + (right / reach[1]) ** 2 <= 1
    for row, col in others:
        taken &= down**2 + right**2 < (rows - row) ** 2 + (cols - col) ** 2
    part[taken] = positive


def in_roi(click: Click, roi: Box) -> tuple[tuple[int, int], bool]:
    """Return the pixel of a click, counted from the roi's corner, and its label."""
    row, col = click.pixel
    return (row - roi[0], col - roi[1]), click.positive


def _inside(
    index: Index, start: int, stop: int
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return which of the pixels lie in the range, and where in it."""
    if isinstance(index, slice):
        index = np.arange(index.start, index.stop)
    inside: NDArray[np.bool_] = np.logical_and(index >= start, index < stop)
    return index[inside] - start, inside
