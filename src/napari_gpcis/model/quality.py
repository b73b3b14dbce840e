"""QualityHead: how good a mask is, as its expected IoU with the object meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

_HIDDEN = 64
_STATISTICS = 3
_EPS = 1e-6


class QualityHead(nn.Module):
    """Predict the IoU of a mask from the features within it, on its border and outside.

    Mean features of the three regions, weighted by ``p``, ``4 p (1 - p)`` and ``1 - p``
    of the mask's probability ``p``, with its area and two measures of its doubt, go
    through a small network. Comparable heads rank the masks of SAM (Kirillov et al.
    2023); it is not in the GPCIS paper.

    Parameters
    ----------
    features
        Number of features of a pixel.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        inputs = 3 * features + _STATISTICS
        self.norm = nn.LayerNorm(inputs)
        self.hidden = nn.Linear(inputs, _HIDDEN)
        self.score = nn.Linear(_HIDDEN, 1)

    def forward(self, raw: Tensor, logits: Tensor) -> Tensor:
        """Return the logit of the expected IoU, shape ``(B,)``.

        Parameters
        ----------
        raw
            Features, shape ``(B, d, h, w)``.
        logits
            Of the mask, shape ``(B, 1, H, W)``; they get no gradients.
        """
        raw = raw.float()
        small = functional.interpolate(
            logits.detach().float(), size=raw.shape[-2:], mode="area"
        )
        inside = small.sigmoid()
        border = 4 * inside * (1 - inside)
        regions = torch.cat([inside, border, 1 - inside], dim=1).flatten(2)
        area = regions.mean(2)
        flat = raw.flatten(2).transpose(1, 2)
        means = (regions @ flat) / (regions.sum(2, keepdim=True) + _EPS)
        statistics = torch.stack(
            [
                (area[:, 0] + _EPS).log(),
                (area[:, 1] + _EPS).log(),
                area[:, 1] / (area[:, 0] + _EPS).sqrt(),
            ],
            dim=1,
        )
        joined = self.norm(torch.cat([means.flatten(1), statistics], dim=1))
        score: Tensor = self.score(functional.relu(self.hidden(joined)))
        return score[:, 0]
