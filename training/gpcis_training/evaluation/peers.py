"""Classical interactive methods for comparison: watershed, random walker, GrabCut.

Driven by the same robot user, they take the clicks as disks of seeds, need no training,
and obey every click. While there is no negative click, the border of the image serves
as background seeds where no positive disk covers it. Parts without a positive click are
left out.

The default settings come from small samples (21 to 24 objects) of the training images
of the natural sets: for the watershed the best of six settings, for GrabCut the best of
three reaches and of two image sizes (full size), for the random walker a beta between
the two best of four tried at a smaller size.

These are for benchmarks only. GrabCut needs OpenCV, which is imported when it is used.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter, label, sobel, zoom
from skimage.color import rgb2lab
from skimage.segmentation import random_walker, watershed

from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from gpcis_training.evaluation.robot import Predictor

OBJECT, BACKGROUND = 1, 2
"""Seed labels; 0 is undecided."""
_flood: Callable[..., NDArray[np.int32]] = watershed  # which declares no types
_walk: Callable[..., NDArray[np.float64]] = random_walker


@dataclass
class ClassicalMethod(ABC):
    """A method that turns an image and all clicks so far into a mask.

    Parameters
    ----------
    radius
        Radius in image pixels of the disk of seeds that a click stands for.
    longest_side
        Larger images are worked on at this size, and the answer is resized back.
    """

    radius: float = 5.0
    longest_side: int = 100_000
    _clicks: list[Click] = field(default_factory=list, init=False, repr=False)
    _image: NDArray[np.generic] | None = field(
        default=None, init=False, repr=False, compare=False
    )

    def start(
        self,
        image: NDArray[np.generic],
        first_view: tuple[int, int, int, int] | None,
    ) -> None:
        """Begin a new object; these methods always see the whole image.

        What depends on the image alone is kept for its next object.
        """
        del first_view
        self._clicks = []
        if image is not self._image:
            self._open(image)
            self._image = image
        self._begin()

    def _open(self, image: NDArray[np.generic]) -> None:
        """Prepare an image at the size at which it is worked on."""
        self._shape: tuple[int, int] = (image.shape[0], image.shape[1])
        self._factor = min(1.0, self.longest_side / max(self._shape))
        height, width = (max(1, round(size * self._factor)) for size in self._shape)
        self._grid = height, width
        planes = np.moveaxis(as_rgb(image), -1, 0)
        self._prepare(np.stack([rescale(plane, self._grid) for plane in planes], -1))

    def click(self, row: int, col: int, positive: bool) -> NDArray[np.bool_]:
        """Add a click and return the mask."""
        self._clicks.append(Click(row, col, positive))
        moved = [self._moved(click) for click in self._clicks]
        seeds = draw_seeds(moved, self._grid, self.radius * self._factor)
        if not (seeds == OBJECT).any() or not (seeds == BACKGROUND).any():
            mask = np.zeros(self._shape, dtype=bool)
        else:
            mask = rescale(self._segment(seeds, moved), self._shape) > 0.5
        certain = draw_seeds(self._clicks, self._shape, self.radius, border=False)
        mask[certain != 0] = certain[certain != 0] == OBJECT
        return keep_clicked_parts(mask, self._clicks)

    def _moved(self, click: Click) -> Click:
        """Return a click in pixels of the grid that is worked on."""
        row, col = (
            min((place + 0.5) * small / size - 0.5, small - 1)
            for place, small, size in zip(
                click.pixel, self._grid, self._shape, strict=True
            )
        )
        return Click(row, col, click.positive)

    def _begin(self) -> None:  # noqa: B027 - most methods keep nothing of an object
        """Forget the object before."""

    @abstractmethod
    def _prepare(self, rgb: NDArray[np.float64]) -> None:
        """Compute what only depends on the image."""

    @abstractmethod
    def _segment(
        self, seeds: NDArray[np.int32], clicks: Sequence[Click]
    ) -> NDArray[np.float64]:
        """Return the object's probability, on the grid of the seeds."""


@dataclass
class Watershed(ClassicalMethod):
    """Seeded watershed on the gradient magnitude in CIELAB.

    Parameters
    ----------
    radius, longest_side
        See :class:`ClassicalMethod`.
    sigma
        Standard deviation in pixels of the smoothing before the gradient.
    """

    sigma: float = 1.0

    def _prepare(self, rgb: NDArray[np.float64]) -> None:
        smooth = gaussian_filter(rgb2lab(rgb), (self.sigma, self.sigma, 0))
        gradients = np.stack([sobel(smooth, axis=axis) for axis in (0, 1)])
        self._edges = np.sqrt(np.square(gradients).sum(axis=(0, 3)))

    def _segment(
        self, seeds: NDArray[np.int32], clicks: Sequence[Click]
    ) -> NDArray[np.float64]:
        del clicks
        found = _flood(self._edges, seeds)
        return np.asarray(found == OBJECT, dtype=np.float64)


@dataclass
class RandomWalker(ClassicalMethod):
    """Random walker (Grady 2006) on CIELAB colours.

    Parameters
    ----------
    radius, longest_side
        See :class:`ClassicalMethod`.
    beta
        How much colour differences hinder the walker.
    """

    longest_side: int = 240
    beta: float = 60.0

    def _prepare(self, rgb: NDArray[np.float64]) -> None:
        self._lab = rgb2lab(rgb)

    def _segment(
        self, seeds: NDArray[np.int32], clicks: Sequence[Click]
    ) -> NDArray[np.float64]:
        del clicks
        probability = _walk(
            self._lab,
            seeds,
            beta=self.beta,
            mode="bf",
            channel_axis=-1,
            return_full_prob=True,
        )
        return np.asarray(probability[0])


@dataclass
class GrabCut(ClassicalMethod):
    """GrabCut (Rother et al. 2004) of OpenCV, started from a disk around the clicks.

    Disks of clicks are certain; within ``reach`` of a positive click pixels are at
    first probably object, all others probably background. Each further click starts
    from the mask before it.

    Parameters
    ----------
    radius, longest_side
        See :class:`ClassicalMethod`.
    reach
        Radius of the probable object, as a fraction of the image's shorter side.
    iterations
        Rounds of fitting colours and cutting, per click.
    restart
        Start each click from the disks again rather than from the last mask.
    """

    longest_side: int = 640
    reach: float = 0.15
    iterations: int = 2
    restart: bool = False

    def _prepare(self, rgb: NDArray[np.float64]) -> None:
        self._bgr = np.ascontiguousarray(np.round(rgb[..., ::-1] * 255), np.uint8)

    def _begin(self) -> None:
        self._probable = np.zeros(self._grid, dtype=bool)

    def _segment(
        self, seeds: NDArray[np.int32], clicks: Sequence[Click]
    ) -> NDArray[np.float64]:
        import cv2

        if self.restart:
            self._probable[:] = False
        near = self.reach * min(self._grid)
        for click in clicks if self.restart else clicks[-1:]:
            if click.positive:
                self._probable[disk(click, near, self._grid)] = True
        trimap = np.where(self._probable, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        trimap[seeds == OBJECT] = cv2.GC_FGD
        trimap[seeds == BACKGROUND] = cv2.GC_BGD
        cv2.grabCut(
            self._bgr,
            trimap,
            (0, 0, 0, 0),
            np.zeros((1, 65)),
            np.zeros((1, 65)),
            self.iterations,
            cv2.GC_INIT_WITH_MASK,
        )
        self._probable = (trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD)
        return np.asarray(self._probable, dtype=np.float64)


PEERS: dict[str, Callable[[], ClassicalMethod]] = {
    "watershed": Watershed,
    "random_walker": RandomWalker,
    "grabcut": GrabCut,
}


def create_peer(name: str) -> Predictor:
    """Return a classical method by its name.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in PEERS:
        msg = f"peer must be one of {', '.join(sorted(PEERS))}; got {name!r}"
        raise InputError(msg)
    return PEERS[name]()


def as_rgb(image: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return an image as RGB in [0, 1], grey planes repeated."""
    colours = image[..., :3] if image.ndim == 3 else np.stack([image] * 3, axis=-1)
    integers = np.issubdtype(image.dtype, np.integer)
    top = np.iinfo(image.dtype.name).max if integers else 1
    return colours.astype(np.float64) / top


def disk(
    click: Click, radius: float, shape: tuple[int, int]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pixels of an image no further from a click than ``radius``."""
    row, col = click.pixel
    reach = int(radius)
    rows = np.arange(max(row - reach, 0), min(row + reach + 1, shape[0]))
    cols = np.arange(max(col - reach, 0), min(col + reach + 1, shape[1]))
    square = (rows[:, None] - row) ** 2 + (cols - col) ** 2
    inside = np.nonzero(square <= radius**2)
    return rows[inside[0]], cols[inside[1]]


def rescale(plane: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Resize a plane, linearly between pixel centres; it is smoothed if it shrinks."""
    factors = [new / old for new, old in zip(shape, plane.shape, strict=True)]
    sigma = [max(0.0, (1 / factor - 1) / 2) for factor in factors]
    smooth = gaussian_filter(plane, sigma, mode="nearest")
    resized: NDArray[np.float64] = zoom(
        smooth, factors, order=1, mode="nearest", grid_mode=True
    )
    return resized


def draw_seeds(
    clicks: Sequence[Click],
    shape: tuple[int, int],
    radius: float,
    border: bool = True,
) -> NDArray[np.int32]:
    """Draw the seeds: disks in the order of the clicks, their centres last.

    Parameters
    ----------
    clicks
        The clicks so far.
    shape
        Height and width of the seed image.
    radius
        Radius of the disks in pixels; a pixel at that distance belongs to the disk.
    border
        Whether the image's border is background as long as no click is negative.
    """
    seeds = np.zeros(shape, dtype=np.int32)
    if border and all(click.positive for click in clicks):
        seeds[[0, -1], :] = seeds[:, [0, -1]] = BACKGROUND
    for size in (radius, 0.0):
        for click in clicks:
            spot = disk(click, size, shape)
            seeds[spot] = OBJECT if click.positive else BACKGROUND
    return seeds


def keep_clicked_parts(
    mask: NDArray[np.bool_], clicks: Sequence[Click]
) -> NDArray[np.bool_]:
    """Drop the connected parts of a mask that hold no positive click."""
    parts, _ = label(mask)
    wanted = {int(parts[click.pixel]) for click in clicks if click.positive}
    return np.isin(parts, sorted(wanted - {0}))
