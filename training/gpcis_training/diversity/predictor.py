"""A trained system as a method that the robot user drives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from skimage.transform import resize

from gpcis_training.data.folders import network_colours
from gpcis_training.diversity.maps import click_maps
from gpcis_training.diversity.network import enlarged
from gpcis_training.diversity.training import smaller_shape
from napari_gpcis.clicks import Click

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from gpcis_training.diversity.system import System

THRESHOLD = 0.5


class DiversityPredictor:
    """Masks of a system for one object at a time.

    What depends on the image alone is kept until another image comes.

    Parameters
    ----------
    system
        The networks.
    side
        Images are made smaller so that their longer side is at most so many pixels;
        by default as in the training.
    """

    def __init__(self, system: System, side: int | None = None) -> None:
        self.system = system
        self.side = system.config.side if side is None else side
        self.masks = np.zeros((system.config.masks, 0, 0), dtype=bool)
        """All masks for the clicks so far, shape ``(M, H, W)``."""
        self.shown = 0
        """Index of the mask that is shown."""
        self._clicks: list[Click] = []
        self._image: NDArray[np.generic] | None = None
        self._pixels = self._encoded = torch.zeros(0)

    def start(
        self,
        image: NDArray[np.generic],
        first_view: tuple[int, int, int, int] | None = None,
    ) -> None:
        """Begin a new object; the whole image is seen, whatever the first view."""
        del first_view
        self._clicks = []
        if image is self._image:
            return
        colours = _colours(image).astype(np.float32)
        if self.side is not None and max(colours.shape[:2]) > self.side:
            shape = smaller_shape(colours.shape[:2], self.side)
            colours = resize(colours, shape, anti_aliasing=True).astype(np.float32)
        pixels = torch.from_numpy(colours).permute(2, 0, 1)[None].contiguous()
        self._pixels = pixels.to(self.system.device)
        with torch.no_grad():
            self._encoded = self.system.encode(self._pixels)
        self._image = image

    @torch.no_grad()
    def click(self, row: int, col: int, positive: bool) -> NDArray[np.bool_]:
        """Add a click and return the mask that is shown, shape ``(H, W)``."""
        assert self._image is not None
        shape = self._image.shape[:2]
        small = (int(self._pixels.shape[-2]), int(self._pixels.shape[-1]))
        down, right = (
            int((k + 0.5) * new / old)
            for k, new, old in zip((row, col), small, shape, strict=True)
        )
        self._clicks.append(Click(down, right, positive))
        guidance = click_maps(self._clicks, small).to(self.system.device)
        found: Tensor = self.system.proposals(self._encoded, guidance)
        self.shown = self.system.chosen(self._pixels, guidance, found)
        self.masks = (enlarged(found, shape)[0] > THRESHOLD).cpu().numpy()
        shown: NDArray[np.bool_] = self.masks[self.shown]
        return shown


def _colours(image: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return red, green and blue from 0 to 255; 8-bit colour as it is."""
    if image.dtype == np.uint8 and image.ndim == 3 and image.shape[-1] in (3, 4):
        return np.asarray(image[..., :3], dtype=np.uint8)
    return network_colours(image)
