"""SuperpixelGP: the Gaussian process of the clicks on superpixels instead of pixels.

A plane of 16 megapixels has some ten thousand superpixels, on which the process takes
milliseconds. Its features depend on no click, so that a click adds one kernel column
and one row of a Cholesky factor (:mod:`napari_gpcis.gp.incremental`)::

    k(a, b) = k_p(a, b) (k_x(a, b) + w k_c(a, b))
    logit(a) = m + K_an (K_nn + noise)^-1 (t y_n - m)

with RBF kernels ``k_x`` of the features of the network without clicks, ``k_c`` of the
colour, ``k_p`` of the place, and ``y`` the labels of the clicks. It is a preview: the
network of the clicks, which knows what objects look like, has the last word.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.errors import InputError
from napari_gpcis.geometry import (
    check_clicks,
    clip_box,
    contains,
    row_strips,
    slices,
    whole_image,
)
from napari_gpcis.inference.image import to_rgb
from napari_gpcis.inference.prediction import obey
from napari_gpcis.superpixels.methods import prepared_plane, superpixels
from napari_gpcis.superpixels.region_features import region_features

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Box
    from napari_gpcis.gp import Columns, Field
    from napari_gpcis.inference.image import PreparedImage
    from napari_gpcis.inference.resampling import Floats
    from napari_gpcis.inference.segmenter import Segmenter
    from napari_gpcis.inference.tiled import TiledPlane
    from napari_gpcis.superpixels.region_features import FeatureSource

    Mask = NDArray[np.bool_]

DEEP = 0.85
"""Length scale of deep features, which are vectors of length 1."""
COLOUR = 0.17
"""Length scale of colour, RGB in [0, 1]."""
COLOUR_WEIGHT = 0.5
"""Weight of the colour kernel; that of the deep one is 1."""
REACH = 6.0
"""Length scale of places, in sides of a mean superpixel."""
PRIOR = -2.0
"""Logit without any click: what nobody clicked is background."""
TARGET = 3.0
"""Logit at a click, times its label."""
NOISE = 0.3
"""Variance of the noise of a click."""
UNSURE = (0.2, 0.8)
"""Superpixels whose probability lies between these are refined."""
_PIXELS = 1 << 15  # refined at once
_COLOUR_PART = 5  # colour and place


class SuperpixelGP:
    """The superpixels of a plane, ready to be conditioned on clicks.

    Superpixels and features are made once, which takes a pass of the network over the
    plane; a click then takes milliseconds whatever the size of the plane.

    Parameters
    ----------
    image
        Shape (H, W) or (H, W, C), any image that `napari_gpcis.Segmenter` takes; or
        one that is prepared already.
    source
        The model whose features without clicks are used: a `napari_gpcis.Segmenter`,
        or a `napari_gpcis.superpixels.learned.ContentFeatures`. ``None``: colour and
        place alone, which takes no network.
    labels
        Superpixels, integers from 0, shape (H, W), as `superpixels` makes them; by
        default those of ``n`` and ``method``. Objects should have about ten.
    n, method
        See `superpixels`.
    contrast, channels
        As for `napari_gpcis.Segmenter.prepare`; not for an image that is prepared.
    progress
        Called with the frames that the network has seen, and their number.

    Raises
    ------
    InputError
        If the image or an argument cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_gpcis import Click
    >>> image = np.zeros((60, 60), np.uint8)
    >>> image[20:40, 20:40] = 200
    >>> process = SuperpixelGP(image, n=36)
    >>> found = process.predict([Click(30, 30), Click(5, 5, positive=False)])
    >>> bool(found.mask()[22, 37]), bool(found.mask()[50, 50])
    (True, False)
    """

    def __init__(
        self,
        image: ArrayLike | TiledPlane | PreparedImage,
        source: Segmenter | FeatureSource | None = None,
        labels: NDArray[np.integer[Any]] | None = None,
        *,
        n: int = 600,
        method: str = "auto",
        contrast: Sequence[float] | None = None,
        channels: int | Sequence[int] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._prepared = prepared_plane(image, contrast, channels)
        if labels is None:
            labels = superpixels(self._prepared, n, method=method)
        self.features = region_features(
            self._prepared, np.asarray(labels), source, progress
        )
        self._last: Columns | None = None

    @property
    def labels(self) -> NDArray[np.integer[Any]]:
        """Superpixels, shape (H, W)."""
        return self.features.labels

    def predict(
        self, clicks: Iterable[Click], *, everywhere: bool = False
    ) -> SuperpixelPrediction:
        """Return what the clicks say of all superpixels.

        A pure function of the clicks; those that it has in common with the call
        before cost nothing.

        Parameters
        ----------
        clicks
            At least one, in the order in which they were made. Of clicks on one pixel
            the last counts.
        everywhere
            The mask has all that resembles the object, not only what is joined to a
            positive click.

        Raises
        ------
        InputError
            If there is no click, or one is outside the image.
        """
        asked = check_clicks(clicks, self._prepared.shape)
        if not asked:
            msg = "clicks must hold at least one click, got none"
            raise InputError(msg)
        columns, weights = self._condition(asked)
        logits = PRIOR + (weights @ columns.k_nm).numpy()
        split = self._obey_clicks(logits, asked)
        above = (logits > 0) | split
        if not everywhere:
            above = self._joined(above, [c.pixel for c in asked if c.positive])
        return SuperpixelPrediction(
            clicks=asked,
            regions=_sigmoid(logits).astype(np.float32),
            inside=above,
            split=split,
            process=self,
            columns=columns,
            weights=weights,
        )

    def pixel_logits(
        self,
        rows: NDArray[np.intp],
        cols: NDArray[np.intp],
        clicked: Tensor,
        weights: Tensor,
    ) -> NDArray[np.float64]:
        """Return the posterior mean at single pixels, with their own features.

        Parameters
        ----------
        rows, cols
            Shape ``(n,)``.
        clicked, weights
            Of a prediction: features of its clicks, and ``A^-1 r``.
        """
        import torch

        logits = np.empty(len(rows))
        for start in range(0, len(rows), _PIXELS):
            part = slice(start, start + _PIXELS)
            pixels = torch.from_numpy(self._pixel_vectors(rows[part], cols[part]))
            k_nm = _field(pixels).against_all(clicked)
            logits[part] = PRIOR + (weights @ k_nm).numpy()
        return logits

    @cached_property
    def _start(self) -> Columns:
        """The process without clicks."""
        import torch

        from napari_gpcis.gp import Columns

        found = self.features
        vectors = self._vectors(found.deep, found.colour, found.centres)
        return Columns.none(_field(torch.from_numpy(vectors)))

    def _condition(self, clicks: tuple[Click, ...]) -> tuple[Columns, Tensor]:
        """Return the conditioned columns and ``A^-1 r`` of clicks."""
        import torch

        signs = {click.pixel: 1.0 if click.positive else -1.0 for click in clicks}
        before = self._start if self._last is None else self._last
        known = dict(zip(before.keys, before.clicked, strict=True))
        keys, vectors = [], []
        for row, col in signs:
            keys.append(row * self.labels.shape[1] + col)
            if keys[-1] not in known:
                vector = self._pixel_vectors(np.array([row]), np.array([col]))
                known[keys[-1]] = torch.from_numpy(vector[0]).double()
            vectors.append(known[keys[-1]])
        none = torch.zeros(len(keys), dtype=torch.float64)  # beside that of the field
        columns = before.observing(keys, torch.stack(vectors), none)
        self._last = columns
        residual = TARGET * torch.tensor(list(signs.values())).double() - PRIOR
        weights = torch.cholesky_solve(residual[:, None], columns.cholesky)[:, 0]
        return columns, weights

    def _obey_clicks(
        self, logits: NDArray[np.float64], clicks: tuple[Click, ...]
    ) -> Mask:
        """Set the logits of clicked superpixels; return those with both signs."""
        asked = {click.pixel: click.positive for click in clicks}
        sides: list[set[int]] = [set(), set()]
        for pixel, positive in asked.items():
            sides[positive].add(int(self.labels[pixel]))
        for ids, sign in zip(sides, (-1, 1), strict=True):
            alone = list(ids - sides[sign < 0])
            logits[alone] = sign * np.maximum(sign * logits[alone], TARGET)
        split = np.zeros(len(logits), bool)
        split[list(sides[0] & sides[1])] = True
        return split

    def _joined(self, above: Mask, pixels: list[tuple[int, int]]) -> Mask:
        """Return the superpixels that a chain of others joins to a positive click."""
        from scipy import sparse
        from scipy.sparse.csgraph import connected_components

        if not pixels:
            return np.zeros_like(above)
        one, two = self.features.borders
        both = above[one] & above[two]
        ones = np.ones(np.count_nonzero(both), np.int8)
        graph = sparse.coo_matrix(
            (ones, (one[both], two[both])), shape=(above.size,) * 2
        )
        parts = connected_components(graph, directed=False)[1]
        wanted = np.zeros(above.size, bool)
        wanted[parts[[int(self.labels[pixel]) for pixel in pixels]]] = True
        return above & wanted[parts]

    def _pixel_vectors(self, rows: NDArray[np.intp], cols: NDArray[np.intp]) -> Floats:
        """Return the features of pixels: deep ones interpolated, colour of 3 x 3."""
        from scipy.ndimage import uniform_filter

        deep = self.features.cells.deep_at(rows, cols)
        top, left = max(int(rows.min()) - 1, 0), max(int(cols.min()) - 1, 0)
        box = slice(top, int(rows.max()) + 2), slice(left, int(cols.max()) + 2)
        rgb = uniform_filter(
            to_rgb(self._prepared.read(*box)), (0, 3, 3), mode="nearest"
        )
        colour = rgb[:, rows - top, cols - left].T
        return self._vectors(deep, colour, np.stack([rows, cols], axis=1))

    def _vectors(self, deep: Floats, colour: Floats, places: NDArray[Any]) -> Floats:
        """Return deep features with places, then colour with places, float32.

        In units of their length scales. Without deep features, colour with places.
        """
        near = places / (REACH * self.features.side)
        parts = [colour / COLOUR, near]
        if deep.shape[1]:
            parts = [deep / DEEP, near, *parts]
        return np.concatenate(parts, axis=1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class SuperpixelPrediction:
    """Answer to clicks on the superpixels of a plane: a preview.

    Pixels get their values when they are asked for, on a box of the plane.

    Attributes
    ----------
    clicks
        All clicks, in order.
    regions
        Probability of the object for each superpixel, indexed by its id, float32.
    inside
        Superpixels that the mask has, bool, indexed by id.
    split
        Superpixels with clicks of both signs, whose pixels are decided one by one.
    process
        Whose superpixels these are.
    columns, weights
        The conditioned process, and its ``A^-1 r``.
    """

    clicks: tuple[Click, ...]
    regions: Floats
    inside: Mask
    split: Mask
    process: SuperpixelGP
    columns: Columns
    weights: Tensor

    @cached_property
    def variances(self) -> Floats:
        """Posterior variance of the logit of each superpixel, float32."""
        return np.asarray(self.columns.variance().numpy(), np.float32)

    @cached_property
    def unsure(self) -> Mask:
        """Superpixels to refine, bool, indexed by id.

        Those whose probability lies between 0.2 and 0.8, and those on either side of
        the mask's border; of the ones away from the mask none, which stay outside.
        """
        one, two = self.process.features.borders
        across = self.inside[one] != self.inside[two]
        frontier = np.zeros_like(self.inside)
        frontier[one[across]] = True
        frontier[two[across]] = True
        middle = (self.regions > UNSURE[0]) & (self.regions < UNSURE[1])
        return frontier | (middle & self.inside)

    def probability(
        self, box: Sequence[float] | None = None, *, refine: bool = False
    ) -> Floats:
        """Return the probability of the object on a box.

        Parameters
        ----------
        box
            Half-open ``(row_min, col_min, row_max, col_max)``; by default the plane.
        refine
            The pixels of `unsure` superpixels are decided one by one, by their own
            colour, which takes longer.

        Returns
        -------
        array
            Float32, of the box's height and width.

        Raises
        ------
        InputError
            If no pixel of the box is inside the plane.
        """
        inner = self._clipped(box)
        return self._on_box(inner, refine, self.regions, _sigmoid)

    def mask(self, box: Sequence[float] | None = None, *, refine: bool = False) -> Mask:
        """Return the object on a box; every click is obeyed.

        Parameters
        ----------
        box, refine
            See `probability`.

        Returns
        -------
        array
            Bool, of the box's height and width.

        Raises
        ------
        InputError
            If no pixel of the box is inside the plane.
        """
        inner = self._clipped(box)
        shape = self.process.labels.shape
        reach = max(1.0, self.process.features.cells.side / 2)
        rim = math.ceil(2 * reach) + 2  # clicks beyond may reach into the box
        outer = (
            max(inner[0] - rim, 0),
            max(inner[1] - rim, 0),
            min(inner[2] + rim, shape[0]),
            min(inner[3] + rim, shape[1]),
        )
        mask = self._on_box(outer, refine, self.inside, lambda logits: logits > 0)
        top, left = outer[:2]
        seen = [click for click in self.clicks if contains(outer, click)]
        places = [(c.pixel[0] - top, c.pixel[1] - left) for c in seen]
        signs = [click.positive for click in seen]
        obey(mask, list(zip(places, signs, strict=True)), (reach, reach))
        height, width = inner[2] - inner[0], inner[3] - inner[1]
        down, over = inner[0] - top, inner[1] - left
        return mask[down : down + height, over : over + width]

    def _clipped(self, box: Sequence[float] | None) -> Box:
        """Return a box of the plane."""
        shape = self.process.features.cells.shape
        return whole_image(shape) if box is None else clip_box(box, shape, "box")

    def _on_box(
        self,
        box: Box,
        refine: bool,
        regions: NDArray[Any],
        of_logits: Callable[[NDArray[np.float64]], NDArray[Any]],
    ) -> NDArray[Any]:
        """Return values of superpixels on a box, those of single pixels where needed.

        No click is obeyed yet.
        """
        labels = self.process.labels[slices(box)]
        values: NDArray[Any] = regions[labels]
        single = self.split | self.unsure if refine else self.split
        if not single.any():
            return values
        for strip in row_strips(labels.shape):
            rows, cols = np.nonzero(single[labels[strip]])
            if rows.size == 0:
                continue
            logits = self.process.pixel_logits(
                rows + strip.start + box[0],
                cols + box[1],
                self.columns.clicked,
                self.weights,
            )
            values[strip][rows, cols] = of_logits(logits)
        return values


def _field(vectors: Tensor) -> Field:
    """Return the kernel on some vectors."""
    import torch

    from napari_gpcis.gp import Field

    alone = vectors.shape[1] == _COLOUR_PART  # there are no deep features
    first = vectors.shape[1] if alone else vectors.shape[1] - _COLOUR_PART
    flat = torch.zeros(first, dtype=torch.float64)
    weight = torch.full((1,), 0.0 if alone else COLOUR_WEIGHT, dtype=torch.float64)
    return Field(vectors, flat, weight, NOISE)


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities."""
    return 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
