"""Training crops of superpixels: image, labels and auxiliary modality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from PIL import Image
from skimage.color import rgb2lab
from torch import Tensor
from torch.nn import functional

from gpcis_training.data.folders import draw_pair, read_image
from gpcis_training.seeds import Stream, generator
from napari_gpcis.errors import InputError
from napari_gpcis.superpixels.association import CELL
from napari_gpcis.superpixels.cds import MEAN

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from gpcis_training.data import DataFolder

AUXILIARIES = ("none", "sobel_sum", "sobel_magnitude", "lab", "invert")
"""Auxiliary modalities; the published one is ``sobel_sum``."""
MOST_CLASSES = 50
"""Labels of a crop beyond so many count as the first, as published."""
_LAB_SCALE = (100.0, 128.0, 128.0)


@dataclass(frozen=True)
class CropOptions:
    """Crops of the training images.

    Parameters
    ----------
    size
        Side, a multiple of 16 (published: 208).
    scales
        Factors on the image, one drawn for each crop (published: 0.7 to 1.4 in steps
        of 0.1).
    grey, invert
        Probabilities of a crop without colour, and of a negative one: for microscopy.
    """

    size: int = 208
    scales: tuple[float, ...] = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4)
    grey: float = 0.0
    invert: float = 0.0

    def __post_init__(self) -> None:
        """Check the size."""
        if self.size < CELL or self.size % CELL:
            msg = f"size must be a multiple of {CELL}, got {self.size}"
            raise InputError(msg)
        if not self.scales or min(self.scales) <= 0:
            msg = f"scales must be positive numbers, got {self.scales}"
            raise InputError(msg)


class Crops(NamedTuple):
    """A batch of crops."""

    image: Tensor
    """RGB in [0, 1], shape ``(B, 3, S, S)``."""
    labels: Tensor
    """From 0 to 49, int64, shape ``(B, S, S)``."""


def draw_crops(
    folders: Sequence[DataFolder],
    options: CropOptions,
    count: int,
    seed: int,
    step: int,
) -> Crops:
    """Draw a batch: each crop from one image and one annotation of it.

    Parameters
    ----------
    folders
        Sets of images and labels; each id of a label image is a region, 0 as well.
    options
        Of the crops.
    count
        Their number.
    seed, step
        All that they depend on.
    """
    drawn = [
        _draw(folders, options, generator(seed, Stream.CROP, step, index))
        for index in range(count)
    ]
    images, labels = zip(*drawn, strict=True)
    return Crops(torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(labels)))


def normalise(image: Tensor) -> Tensor:
    """Return RGB in [0, 1] with the published mean subtracted."""
    return image - image.new_tensor(MEAN)[:, None, None]


def auxiliary_modality(image: Tensor, kind: str) -> Tensor:
    """Return the auxiliary modality of normalised images ``(B, 3, H, W)``.

    ``"sobel_sum"``: horizontal and vertical Sobel responses of all channels, summed
    with their signs, three times (published). ``"sobel_magnitude"``: root of the sum
    of their squares. ``"lab"``: CIELAB scaled to about [-1, 1]. ``"invert"``: the
    negative.

    Raises
    ------
    InputError
        If the kind is unknown.
    """
    if kind in ("sobel_sum", "sobel_magnitude"):
        return _sobel(image, signed=kind == "sobel_sum")
    if kind == "lab":
        lab = to_lab(image + image.new_tensor(MEAN)[:, None, None])
        return lab / lab.new_tensor(_LAB_SCALE)[:, None, None]
    if kind == "invert":
        mean = image.new_tensor(MEAN)[:, None, None]
        return 1 - 2 * mean - image  # 1 - (image + mean), less the mean
    msg = f"auxiliary must be one of {', '.join(AUXILIARIES)}, got {kind!r}"
    raise InputError(msg)


def to_lab(image: Tensor) -> Tensor:
    """Return RGB in [0, 1] as CIELAB, shape ``(B, 3, H, W)``."""
    lab = rgb2lab(image.clamp(0, 1).cpu().numpy(), channel_axis=1)
    return torch.from_numpy(lab.astype(np.float32)).to(image.device)


def _sobel(image: Tensor, *, signed: bool) -> Tensor:
    """Return Sobel responses, zero beyond the border, as three equal channels."""
    across = image.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    kernels = torch.stack([across, across.T])
    batch, channels, height, width = image.shape
    flat = image.reshape(batch * channels, 1, height, width)
    responses = functional.conv2d(flat, kernels[:, None], padding=1)
    responses = responses.reshape(batch, channels * 2, height, width)
    if signed:
        one = responses.sum(dim=1, keepdim=True)
    else:
        one = torch.linalg.vector_norm(responses, dim=1, keepdim=True)
    return one.expand(-1, 3, -1, -1)


def _draw(
    folders: Sequence[DataFolder], options: CropOptions, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Draw one crop: image in [0, 1], ``(3, S, S)``, and labels ``(S, S)``."""
    folder, pair = draw_pair(folders, rng)
    image = read_image(pair.image)
    labels = folder.labels(pair.labels[rng.integers(len(pair.labels))])
    if labels.shape != image.shape[:2]:
        msg = (
            f"{pair.image.name} has {image.shape[:2]} pixels, but its labels "
            f"{labels.shape}"
        )
        raise InputError(msg)
    box = _draw_box(labels.shape, options, rng)
    size = (options.size, options.size)
    cut = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC, box)
    regions = Image.fromarray(labels.astype(np.int32))
    regions = regions.resize(size, Image.Resampling.NEAREST, box)
    rgb = np.asarray(cut, np.float32).transpose(2, 0, 1) / 255
    ids = np.unique(np.asarray(regions), return_inverse=True)[1].reshape(size)
    ids = np.where(ids < MOST_CLASSES, ids, 0)
    flips = tuple(slice(None, None, -1 if flip else 1) for flip in rng.random(2) < 0.5)
    rgb, ids = rgb[(slice(None), *flips)], ids[flips]
    if rng.random() < options.grey:
        rgb = np.repeat(rgb.mean(axis=0, keepdims=True), 3, axis=0)
    if rng.random() < options.invert:
        rgb = 1 - rgb
    return np.ascontiguousarray(rgb), np.ascontiguousarray(ids, dtype=np.int64)


def _draw_box(
    shape: tuple[int, ...], options: CropOptions, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a square box within the image."""
    side = options.size / rng.choice(options.scales)
    side = min(side, *shape)
    top, left = (rng.uniform(0, length - side) for length in shape)
    return left, top, left + side, top + side
