"""ProposalHead: other masks that the same clicks may mean, learned on a frozen network.

A small network sees the features of a frozen GPCIS network and its posterior, and gives
a residual of the logit for each proposal, in the spirit of latent diversity [1]_. The
residuals are prior samples of the Gaussian process: conditioning them on the clicks by
Matheron's rule [2]_ (see :meth:`.GridPosterior.correction`) makes every proposal obey
what the posterior obeys.

A proposal has a *kind*. One that is ``"larger"`` is trained on objects larger than the
mask itself alone, so that it means the same in all images, and a user can learn it.

References
----------
.. [1] Li et al., "Interactive image segmentation with latent diversity", CVPR 2018.
.. [2] Wilson et al., "Efficiently sampling functions from Gaussian process posteriors",
   ICML 2020.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_gpcis.backbones.efficientnet_lite import ResidualBlock
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

LARGER, SMALLER, ANY = "larger", "smaller", "any"
KINDS = (LARGER, SMALLER, ANY)
"""Kinds of proposals."""
DEFAULT_KINDS = (LARGER, SMALLER, LARGER, SMALLER, ANY)
GUIDES = 9
"""Maps of the posterior and the clicks, see :meth:`.GridPosterior.guides`."""
_SHIFTS = {LARGER: 1.5, SMALLER: -1.5, ANY: 0.0}
_SLOT = 16
_HIDDEN = 64
_STATISTICS = 4
_EPS = 1e-6


class ProposalInput(NamedTuple):
    """Answer of a frozen network to clicks, from which a head proposes masks."""

    raw: Tensor
    """Features, shape ``(B, d, h, w)``."""
    context: tuple[Tensor, ...]
    """Further features, each ``(B, c, h', w')`` on a grid of its own, finest first."""
    guides: Tensor
    """From :meth:`.GridPosterior.guides`, shape ``(B, 9, h, w)``."""


class ProposalHead(nn.Module):
    """Residuals of the posterior logit, and how good each mask is.

    Parameters
    ----------
    features
        Number ``d`` of features of a pixel.
    context
        Channels of the further features.
    kinds
        Kind of each proposal; slot 0, the mask itself, is not among them.
    width, fine_width
        Channels at half and a quarter of the grid's resolution, and at the grid's.
    dilations
        Of the depthwise convolutions at a quarter of the resolution.

    Raises
    ------
    InputError
        If there is no proposal, or one of an unknown kind.
    """

    def __init__(
        self,
        features: int,
        context: Sequence[int] = (),
        kinds: Sequence[str] = DEFAULT_KINDS,
        width: int = 96,
        fine_width: int = 32,
        dilations: Sequence[int] = (1, 2, 2, 1),
    ) -> None:
        super().__init__()
        if not kinds or not set(kinds) <= set(KINDS):
            msg = f"kinds must be at least one of {', '.join(KINDS)}, got {kinds!r}"
            raise InputError(msg)
        self.kinds = tuple(kinds)
        inputs = (features, GUIDES, *context)
        self.wide = _Joined(inputs, width)
        self.regions = nn.ModuleList(_RegionMeans(width) for _ in range(2))
        self.before, self.after = ResidualBlock(width), ResidualBlock(width)
        self.blocks = nn.ModuleList(ResidualBlock(width, d) for d in dilations)
        self.fine = _Joined((features, GUIDES, *context[:1], width), fine_width)
        self.last = ResidualBlock(fine_width)
        self.residuals = nn.Conv2d(fine_width, len(kinds), 1)
        rated = 3 * width + _STATISTICS + _SLOT
        self.slots = nn.Parameter(0.1 * torch.randn(1 + len(kinds), _SLOT))
        self.norm = nn.LayerNorm(rated)
        self.hidden = nn.Linear(rated, _HIDDEN)
        self.score = nn.Linear(_HIDDEN, 1)
        self._start()
        # faster on a CPU
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def folded(self) -> ProposalHead:
        """Return a copy that is faster and cannot be trained.

        Its batch norms are multiplied into the convolutions before them.
        """
        other = copy.deepcopy(self).eval().requires_grad_(False)
        for part in list(other.modules()):
            if isinstance(part, ResidualBlock | _Joined):
                part.fold()
        return other.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def forward(self, given: ProposalInput) -> tuple[Tensor, Tensor]:
        """Return residuals of the logit and the features that rate masks.

        Parameters
        ----------
        given
            Features and guides.

        Returns
        -------
        residuals : Tensor
            Not conditioned on the clicks, shape ``(B, K, h, w)``.
        wide : Tensor
            Shape ``(B, width, h / 2, w / 2)``, rounded up.
        """
        height, width = given.guides.shape[-2:]
        half = -(-height // 2), -(-width // 2)
        raw, guides, *context = (
            maps.float().contiguous(memory_format=torch.channels_last)
            for maps in (given.raw, given.guides, *given.context)
        )
        maps = self.wide((raw, guides, *context), half)
        inside = functional.interpolate(guides[:, 1:2], size=half, mode="area")
        maps = self.before(self.regions[0](maps, inside))
        quarter = functional.avg_pool2d(maps, 2, ceil_mode=True)
        for block in self.blocks:
            quarter = block(quarter)
        back = functional.interpolate(quarter, size=half, mode="bilinear")
        maps = self.after(self.regions[1](maps + back, inside))
        fine = self.fine((raw, guides, *context[:1], maps), (height, width))
        residuals: Tensor = self.residuals(self.last(fine))
        return residuals, maps

    def rate(self, wide: Tensor, logits: Tensor) -> Tensor:
        """Return the logit of the expected IoU of each mask, shape ``(B, 1 + K)``.

        Parameters
        ----------
        wide
            From :meth:`forward`.
        logits
            Of the mask itself and of all proposals, ``(B, 1 + K, h, w)``; they get no
            gradients.
        """
        inside = functional.interpolate(
            logits.detach().float().sigmoid(), size=wide.shape[-2:], mode="area"
        )
        border = 4 * inside * (1 - inside)
        regions = torch.stack([inside, border, 1 - inside], dim=2).flatten(3)
        flat = wide.flatten(2).transpose(1, 2)
        sums = regions.sum(3, keepdim=True)
        means = (regions.flatten(1, 2) @ flat).reshape(*regions.shape[:3], -1)
        means = (means / (sums + _EPS)).flatten(2)
        area = regions.mean(3)
        plain = inside[:, :1]
        both, either = torch.minimum(inside, plain), torch.maximum(inside, plain)
        statistics = torch.stack(
            [
                (area[..., 0] + _EPS).log(),
                (area[..., 1] + _EPS).log(),
                area[..., 1] / (area[..., 0] + _EPS).sqrt(),
                both.mean((2, 3)) / (either.mean((2, 3)) + _EPS),
            ],
            dim=2,
        )
        slots = self.slots.expand(len(logits), -1, -1)
        joined = self.norm(torch.cat([means, statistics, slots], dim=2))
        score: Tensor = self.score(functional.relu(self.hidden(joined)))
        return score[..., 0]

    def _start(self) -> None:
        """Start from shifted copies of the mask itself, one of a kind stronger."""
        nn.init.normal_(self.residuals.weight, std=0.02)
        seen: dict[str, int] = {}
        shifts = []
        for kind in self.kinds:
            seen[kind] = seen.get(kind, 0) + 1
            shifts.append(_SHIFTS[kind] * seen[kind])
        self.residuals.bias = nn.Parameter(torch.tensor(shifts))


class _Joined(nn.Module):
    """Maps of several resolutions, projected each at its own, summed at one.

    Projecting before resizing gives the same as after it, and costs less.
    """

    def __init__(self, inputs: Sequence[int], width: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(
            nn.Conv2d(channels, width, 1, bias=False) for channels in inputs
        )
        self.norm: nn.Module = nn.BatchNorm2d(width)

    def forward(self, inputs: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        total: Tensor | None = None
        for maps, project in zip(inputs, self.projections, strict=True):
            shrunk = maps
            if maps.shape[-2] > size[0]:
                shrunk = functional.interpolate(maps, size=size, mode="area")
            part = project(shrunk)
            if part.shape[-2:] != size:
                part = functional.interpolate(part, size=size, mode="bilinear")
            total = part if total is None else total + part
        return functional.relu(self.norm(total))

    def fold(self) -> None:
        """Multiply the batch norm into the projections, whose sum it takes."""
        if not isinstance(self.norm, nn.BatchNorm2d):
            return
        for k, project in enumerate(self.projections):
            if isinstance(project, nn.Conv2d):
                self.projections[k] = fused = fuse_conv_bn_eval(project, self.norm)
                if k:  # the first alone gets what the norm adds
                    fused.bias = None
        self.norm = nn.Identity()


class _RegionMeans(nn.Module):
    """Mean features of the mask and of the whole image, told to every pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.told = nn.Linear(2 * width, width)

    def forward(self, maps: Tensor, inside: Tensor) -> Tensor:
        within = (maps * inside).sum((2, 3)) / (inside.sum((2, 3)) + _EPS)
        means = torch.cat([within, maps.mean((2, 3))], dim=1)
        return functional.relu(maps + self.told(means)[..., None, None])
