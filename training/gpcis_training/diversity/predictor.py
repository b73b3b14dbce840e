"""Predictor for the robot user: clicks in, the selected mask and all others out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from gpcis_training.data.folders import network_colours
from gpcis_training.diversity.guidance import clicked, guidance
from gpcis_training.diversity.network import enlarge
from gpcis_training.diversity.training import to_tensor
from gpcis_training.diversity.visits import reduced_image
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from gpcis_training.diversity.checkpoint import TrainedDiversity
    from gpcis_training.diversity.vgg19 import VGG19

THRESHOLD = 0.5


class DiversityPredictor:
    """Both networks on one image at a time.

    Parameters
    ----------
    trained
        The networks.
    vgg
        VGG-19 with the weights they were trained with; ``None`` for networks that see
        no features.
    size
        Longer side to which images are reduced, pixels; 0: never; by default that of
        the training.
    device
        Where to compute.

    Attributes
    ----------
    masks
        All masks after the last click, shape ``(M, H, W)``.
    chosen
        Index of the selected one.

    Raises
    ------
    InputError
        If the weights of VGG-19 are not those of the training.
    """

    masks: NDArray[np.bool_]
    chosen: int

    def __init__(
        self,
        trained: TrainedDiversity,
        vgg: VGG19 | None = None,
        size: int | None = None,
        device: str = "cpu",
    ) -> None:
        given = None if vgg is None else vgg.source
        if given != trained.vgg:
            msg = (
                f"weights of VGG-19 must be those of the training ({trained.vgg}), got "
                f"{given}"
            )
            raise InputError(msg)
        self.trained, self.device = trained, torch.device(device)
        self.size = trained.size if size is None else size
        self._vgg = None if vgg is None else vgg.to(self.device)
        self._proposals = trained.proposals.to(self.device).eval()
        self._selector = trained.selector
        if self._selector is not None:
            self._selector = self._selector.to(self.device).eval()
        self._image: NDArray[np.generic] | None = None
        self._colours: Tensor | None = None
        self._projected: Tensor | None = None
        self._clicks: dict[bool, list[tuple[int, int]]] = {True: [], False: []}

    @torch.inference_mode()
    def start(
        self,
        image: NDArray[np.generic],
        first_view: tuple[int, int, int, int] | None = None,
    ) -> None:
        """Begin a new object of ``image``; its features are kept while it is the same.

        Parameters
        ----------
        image
            Shape ``(H, W)`` or ``(H, W, C)``.
        first_view
            Not used: the networks see the whole image.
        """
        del first_view
        self._clicks = {True: [], False: []}
        if image is self._image:
            return
        plain = image.dtype == np.uint8 and image.ndim == 3 and image.shape[-1] == 3
        colours = np.asarray(image, np.uint8) if plain else network_colours(image)
        small = to_tensor(reduced_image(colours, self.size)).to(self.device)
        taps = () if self._vgg is None else self._vgg(small)
        self._projected = self._proposals.project(small / 255, taps)
        self._image, self._colours = image, small / 255

    @torch.inference_mode()
    def click(self, row: int, col: int, positive: bool) -> NDArray[np.bool_]:
        """Add one click and return the selected mask, shape ``(H, W)``.

        Raises
        ------
        RuntimeError
            If :meth:`start` was not called before.
        """
        if self._image is None or self._projected is None or self._colours is None:
            msg = "start must be called before click"
            raise RuntimeError(msg)
        whole, shape = self._image.shape[:2], self._colours.shape[-2:]
        pixel = (
            min(int((row + 0.5) * shape[0] / whole[0]), shape[0] - 1),
            min(int((col + 0.5) * shape[1] / whole[1]), shape[1] - 1),
        )
        self._clicks[not positive] = [
            p for p in self._clicks[not positive] if p != pixel
        ]
        self._clicks[positive].append(pixel)
        design = self._proposals.design
        size = (int(shape[0]), int(shape[1]))
        maps = guidance(
            clicked(size, self._clicks[True]),
            clicked(size, self._clicks[False]),
            distances=design.distances,
            clicks=design.clicks,
            far=design.far,
        )
        shown = torch.from_numpy(maps)[None].to(self.device)
        found = self._proposals(self._projected, shown)
        self.chosen = 0
        if self._selector is not None:
            self.chosen = int(self._selector(self._colours, shown, found)[0].argmax())
        large = enlarge(found, whole)[0] if size != whole else found[0]
        self.masks = (large > THRESHOLD).cpu().numpy()
        chosen: NDArray[np.bool_] = self.masks[self.chosen]
        return chosen
