"""The loss on the coarse guess of a network with an object-contextual head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from napari_gpcis.backbones._ocr import OCRHead

if TYPE_CHECKING:
    from torch import Tensor, nn


class AuxiliaryLoss:
    """Binary cross-entropy on the guess from which the region is gathered (RITM).

    Without it the guess is trained only through the region's feature, which may turn
    out to be that of anything. A network without such a head has a loss of 0.

    Parameters
    ----------
    model
        The network. Its forward pass is watched: call the loss once after each.
    weight
        Factor on the loss.
    """

    def __init__(self, model: nn.Module, weight: float) -> None:
        self.weight = weight
        self._guess: Tensor | None = None
        heads = [part for part in model.modules() if isinstance(part, OCRHead)]
        if weight > 0 and heads:
            heads[0].aux_head.register_forward_hook(self._keep)

    def __call__(self, target: Tensor, ignore: float = -1.0) -> Tensor:
        """Return the weighted loss of the last forward pass.

        Parameters
        ----------
        target
            Shape ``(B, 1, H, W)``: 1 object, 0 background, ``ignore`` neither.
        ignore
            Value of pixels without a label.

        Returns
        -------
        Tensor
            Scalar: the mean over pixels with a label.
        """
        if self._guess is None:
            return target.new_zeros(())
        guess, self._guess = self._guess.float(), None
        logits = functional.interpolate(
            guess, size=target.shape[-2:], mode="bilinear", align_corners=True
        )
        valid = (target != ignore).to(logits)
        entropy = functional.binary_cross_entropy_with_logits(
            logits, target.clamp(min=0), weight=valid, reduction="sum"
        )
        return self.weight * entropy / valid.sum().clamp(min=1)

    def _keep(self, module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        del module, inputs
        self._guess = out if torch.is_grad_enabled() else None
