"""Classical interactive methods for comparison, driven by the same robot user.

All of them take the clicks as disks of seeds, need no training, and obey every click.
While there is no negative click the border of the image serves as background seeds, as
far as no positive disk covers it. The default settings were chosen on training images
of the natural data sets for the fewest clicks; they are no product of a few guesses that
make a comparison easy to win. What is not connected to a positive click is left out.

These are for benchmarks only. GrabCut needs OpenCV, which is imported when it is used.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.color import gray2rgb, rgb2lab
from skimage.draw import disk
from skimage.filters import sobel
from skimage.measure import label as connected_components
from skimage.segmentation import random_walker, watershed
from skimage.transform import resize
from skimage.util import img_as_float

from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from gpcis_training.evaluation.robot import Predictor

OBJECT, BACKGROUND = 1, 2
"""Seed labels; 0 is undecided."""


def as_rgb(image: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return an image as RGB in [0, 1], grey planes repeated."""
    plane = img_as_float(np.asarray(image)[..., :3])
    return gray2rgb(plane) if image.ndim == 2 else plane


def draw_seeds(
    clicks: Sequence[Click], shape: tuple[int, int], radius: float, border: bool
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
            spot = disk(click.pixel, size + 1e-6, shape=shape)
            seeds[spot] = OBJECT if click.positive else BACKGROUND
    return seeds


def keep_clicked_parts(
    mask: NDArray[np.bool_], clicks: Sequence[Click]
) -> NDArray[np.bool_]:
    """Drop the connected parts of a mask that hold no positive click."""
    parts = connected_components(mask, connectivity=1)
    wanted = {int(parts[click.pixel]) for click in clicks if click.positive}
    return np.isin(parts, sorted(wanted - {0}))


@dataclass
class ClassicalMethod(ABC):
    """A method that turns an image and all clicks so far into a mask.

    Parameters
    ----------
    radius
        Radius in pixels of the disk of seeds that a click stands for.
    """

    radius: float = 5.0
    _clicks: list[Click] = field(default_factory=list, init=False, repr=False)

    def start(
        self,
        image: NDArray[np.generic],
        first_view: tuple[int, int, int, int] | None,  # noqa: ARG002
    ) -> None:
        """Begin a new object; these methods always see the whole image."""
        self._clicks = []
        self._shape = image.shape[:2]
        self._prepare(as_rgb(image))

    def click(self, row: int, col: int, positive: bool) -> NDArray[np.bool_]:
        """Add a click and return the mask."""
        self._clicks.append(Click(row, col, positive))
        if not any(click.positive for click in self._clicks):
            return np.zeros(self._shape, dtype=bool)
        seeds = draw_seeds(self._clicks, self._shape, self.radius, border=True)
        mask = self._segment(seeds)
        for click in self._clicks:
            mask[click.pixel] = click.positive
        return keep_clicked_parts(mask, self._clicks)

    @abstractmethod
    def _prepare(self, rgb: NDArray[np.float64]) -> None:
        """Compute what depends on the image alone."""

    @abstractmethod
    def _segment(self, seeds: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Return the mask for the seeds of all clicks so far."""


@dataclass
class Watershed(ClassicalMethod):
    """Seeded watershed on the gradient magnitude in CIELAB.

    Parameters
    ----------
    sigma
        Standard deviation in pixels of the smoothing before the gradient.
    """

    radius: float = 5.0
    sigma: float = 1.0

    def _prepare(self, rgb: NDArray[np.float64]) -> None:
        smooth = gaussian_filter(rgb2lab(rgb), (self.sigma, self.sigma, 0))
        edges = [sobel(smooth[..., channel]) for channel in range(3)]
        self._edges = np.sqrt(np.sum(np.square(edges), axis=0))

    def _segment(self, seeds: NDArray[np.int32]) -> NDArray[np.bool_]:
        mask: NDArray[np.bool_] = watershed(self._edges, seeds) == OBJECT
        return mask


@dataclass
class RandomWalker(ClassicalMethod):
    """Random walker (Grady 2006) on CIELAB colours.

    Parameters
    ----------
    beta
        How much colour differences hinder the walker.
    longest_side
        Larger images are walked at this size and the probability is resized back.
    sigma
        Standard deviation in pixels (of the walked size) of a smoothing before.
    """

    radius: float = 5.0
    beta: float = 300.0
    longest_side: int = 240
    sigma: float = 0.0

    def _prepare(self, rgb: NDArray[np.float64]) -> None:
        self._factor = min(1.0, self.longest_side / max(rgb.shape[:2]))
        height, width = (max(1, round(n * self._factor)) for n in rgb.shape[:2])
        small = resize(rgb, (height, width), order=1, anti_aliasing=True)
        self._lab = gaussian_filter(rgb2lab(small), (self.sigma, self.sigma, 0))

    def _segment(self, seeds: NDArray[np.int32]) -> NDArray[np.bool_]:
        rows, cols = self._lab.shape[:2]
        scale = rows / seeds.shape[0], cols / seeds.shape[1]
        moved = [
            Click(
                min((c.row + 0.5) * scale[0] - 0.5, rows - 1),
                min((c.col + 0.5) * scale[1] - 0.5, cols - 1),
                c.positive,
            )
            for c in self._clicks
        ]
        small = draw_seeds(moved, (rows, cols), self.radius * self._factor, border=True)
        if not (small == OBJECT).any() or not (small == BACKGROUND).any():
            return seeds == OBJECT
        walked = random_walker(
            self._lab,
            small,
            beta=self.beta,
            mode="cg_j",
            tol=1e-3,
            channel_axis=-1,
            return_full_prob=True,
        )
        mask = resize(walked[0], seeds.shape, order=1) > 0.5
        mask[seeds == OBJECT] = True
        mask[seeds == BACKGROUND] = False
        return mask


@dataclass
class GrabCut(ClassicalMethod):
    """GrabCut (Rother et al. 2004) of OpenCV, started from a disk around the clicks.

    Disks of clicks are certain; within ``reach`` of a positive click pixels are at
    first probably object, all others probably background. Each further click starts
    from the mask before it.

    Parameters
    ----------
    reach
        Radius of the probable object, as a fraction of the image's shorter side.
    iterations
        Rounds of fitting colours and cutting, per click.
    restart
        Start each click from the disks again rather than from the last mask.
    """

    radius: float = 5.0
    reach: float = 0.15
    iterations: int = 2
    restart: bool = False

    def _prepare(self, rgb: NDArray[np.float64]) -> None:
        self._bgr = np.ascontiguousarray(np.round(rgb[..., ::-1] * 255), np.uint8)
        self._last: NDArray[np.bool_] | None = None

    def _segment(self, seeds: NDArray[np.int32]) -> NDArray[np.bool_]:
        import cv2

        if self._last is None or self.restart:
            probable = np.zeros(seeds.shape, dtype=bool)
        else:
            probable = self._last.copy()
        near = self.reach * min(seeds.shape)
        for click in self._clicks if self.restart else self._clicks[-1:]:
            if click.positive:
                probable[disk(click.pixel, near, shape=seeds.shape)] = True
        trimap = np.where(probable, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        trimap[seeds == OBJECT] = cv2.GC_FGD
        trimap[seeds == BACKGROUND] = cv2.GC_BGD
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(
            self._bgr, trimap, None, *models, self.iterations, cv2.GC_INIT_WITH_MASK
        )
        self._last = (trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD)
        return self._last.copy()


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
