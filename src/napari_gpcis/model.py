"""GPCIS: a feature network and a Gaussian process classifier on its features.

Tensors only. Clicks come as points ``(B, 2 N, 3)`` in network pixels (see
:func:`napari_gpcis.clicks.points_tensor`), images as ``(B, 3, H, W)`` in [0, 1].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from napari_gpcis import gp
from napari_gpcis.backbones.base import RGB_MEAN, RGB_STD, Backbone, create_backbone
from napari_gpcis.clicks import disk_maps
from napari_gpcis.gp.variational import CLICK_STD
from napari_gpcis.initialisation import initialise

if TYPE_CHECKING:
    from torch import Tensor

TRAINING_EPSILON2 = 1e-2
PREDICTION_EPSILON2 = 1e-7
_CHUNK = 16384
_CLICK_HIDDEN = 96


class GPScores(NamedTuple):
    """Scores of all pixels, each ``(B, 1, H, W)``; ``logits = prior + update``."""

    logits: Tensor
    prior: Tensor
    update: Tensor


class Encoded(NamedTuple):
    """What depends on the image alone."""

    rgb: Tensor
    """ImageNet-normalised colour, ``(B, 3, H, W)``."""
    features: tuple[Tensor, ...]
    """From the backbone's ``encode``."""


class _Grid(NamedTuple):
    """The pixels of the Gaussian process: ``m = h w`` of each of ``B`` images."""

    pixels: Tensor  # features and colour, (B, m, d + 3)
    linear: Tensor | None  # linear part of the prior, (B, m)
    shape: tuple[int, ...]  # (h, w)
    stride: int


class _Observations(NamedTuple):
    """Clicks as the Gaussian process sees them; ``n`` slots in each image."""

    pixels: Tensor  # (B, n, d + 3)
    mean: Tensor  # m, (B, n)
    labels: Tensor  # +1 or -1, (B, n)
    used: Tensor  # observations after merging, bool, (B, n)
    cells: Tensor  # flat grid index, (B, n)


class GPCIS(nn.Module):
    """Gaussian process classification on deep features (equation 11).

    Attribute names of parameters are those of the published checkpoint.

    Parameters
    ----------
    backbone
        Feature network.
    basis
        Number ``l`` of Fourier basis functions.
    gp_stride
        Network pixels per pixel of the Gaussian process: 1 is the published way
        (features are upsampled first); the backbone's stride evaluates it on the
        features as they are and upsamples the scores.
    linear_basis
        Add the raw features themselves to the basis of the weight-space prior
        (``Phi(x) w + b.x``); not in the paper.
    paper_init
        Draw ``theta``, ``tau`` and ``mu_w`` as the paper says (N(0, I), U(0, 2 pi),
        N(0, 1/4)); the published code starts from much smaller frequencies.

    Attributes
    ----------
    epsilon2 : float
        Noise added to ``K_nn``: 1e-2 for training (the default), 1e-7 to predict.
    """

    def __init__(
        self,
        backbone: Backbone,
        basis: int = 256,
        gp_stride: int = 1,
        *,
        linear_basis: bool = False,
        paper_init: bool = False,
    ) -> None:
        super().__init__()
        self.epsilon2 = TRAINING_EPSILON2
        self.gp_stride = gp_stride
        dim = backbone.feature_dim
        inputs = dim + len(RGB_MEAN)
        self.omega = nn.Parameter(0.25 * torch.randn(basis, 1))
        self.omega_var = nn.Parameter(torch.tensor(0.025))
        self.logsigma2 = nn.Parameter(torch.ones(dim))
        self.weights = nn.Parameter(torch.zeros(1))
        self.model = backbone
        self.maps_transform = backbone.make_maps_transform()
        self.theta = nn.Linear(inputs, basis)
        self.u_mlp = nn.Sequential(
            nn.Linear(inputs, _CLICK_HIDDEN),
            nn.ReLU(inplace=True),
            nn.Linear(_CLICK_HIDDEN, 1),
        )
        self.linear = nn.Linear(dim, 1) if linear_basis else None
        initialise(self.theta)
        initialise(self.u_mlp)
        if paper_init:
            nn.init.normal_(self.theta.weight)
            nn.init.uniform_(self.theta.bias, 0, 2 * torch.pi)
            nn.init.normal_(self.omega, std=0.5)
        self.register_buffer("_mean", _channel(RGB_MEAN), persistent=False)
        self.register_buffer("_std", _channel(RGB_STD), persistent=False)
        self._mean: Tensor
        self._std: Tensor

    # -- the three steps -------------------------------------------------------

    def encode(self, rgb: Tensor) -> Encoded:
        """Compute what depends on the image alone.

        Parameters
        ----------
        rgb
            Shape ``(B, 3, H, W)`` in [0, 1].
        """
        return Encoded((rgb - self._mean) / self._std, self.model.encode(rgb))

    def pixels(self, encoded: Encoded, points: Tensor, previous: Tensor) -> Tensor:
        """Return the raw features of the clicks, previous mask and image.

        Parameters
        ----------
        encoded
            From :meth:`encode`.
        points
            Clicks, shape ``(B, 2 N, 3)``.
        previous
            Previous mask probability, shape ``(B, 1, H, W)``.

        Returns
        -------
        Tensor
            Shape ``(B, d, ceil(H/4), ceil(W/4))``.
        """
        height, width = encoded.rgb.shape[-2:]
        disks = disk_maps(points, (height, width))
        guidance = self.maps_transform(torch.cat([previous, disks], dim=1))
        return self.model.fuse(encoded.features, guidance)

    def predict(
        self,
        encoded: Encoded,
        points: Tensor,
        previous: Tensor,
        variance: bool = False,
    ) -> tuple[GPScores, Tensor | None]:
        """Return the posterior given clicks and previous mask.

        Parameters
        ----------
        encoded, points, previous
            See :meth:`pixels`.
        variance
            Also return the posterior variance (equation 10), ``(B, 1, H, W)``.
        """
        raw = self.pixels(encoded, points, previous)
        return self._posterior(raw, encoded.rgb, points, variance=variance)

    def forward(self, x: Tensor, points: Tensor) -> GPScores:
        """Return scores for image and previous mask in one tensor.

        Parameters
        ----------
        x
            Shape ``(B, 4, H, W)``: RGB in [0, 1], previous mask probability.
        points
            Clicks, shape ``(B, 2 N, 3)``.
        """
        scores, _ = self.predict(self.encode(x[:, :3]), points, x[:, 3:])
        return scores

    def forward_train(
        self, x: Tensor, points: Tensor, *, sample: bool = True
    ) -> tuple[GPScores, Tensor]:
        """Return scores and the variational term (already times 1e-3).

        Parameters
        ----------
        x, points
            See :meth:`forward`.
        sample
            Draw ``w`` and ``f_n`` (training); their means otherwise.
        """
        encoded = self.encode(x[:, :3])
        raw = self.pixels(encoded, points, x[:, 3:])
        with torch.autocast(raw.device.type, enabled=False):
            grid = self._grid(raw.float(), encoded.rgb)
            seen = self._observe(grid, points, encoded.rgb)
            values: Tensor = seen.mean
            weight: Tensor = self.omega
            if sample:
                values = values + CLICK_STD * torch.randn_like(values)
                weight = gp.sample_weight(self.omega, self.omega_var)
            prior, given = self._condition(grid, seen, values, weight)
            k_mn = self._cross_kernel(grid, seen)
            update = gp.update_mean(k_mn, given)
            loss = gp.variational_loss(
                values, seen.mean, seen.labels, given.cholesky, seen.used
            )
            return self._scores(prior, update, grid, encoded.rgb), loss.float()

    # -- the Gaussian process --------------------------------------------------

    def _posterior(
        self, raw: Tensor, rgb: Tensor, points: Tensor, *, variance: bool
    ) -> tuple[GPScores, Tensor | None]:
        """Condition on the clicks; no sampling: ``w = mu_w`` and ``f_n = m``."""
        grid = self._grid(raw.float(), rgb)
        seen = self._observe(grid, points, rgb)
        prior, given = self._condition(grid, seen, seen.mean, self.omega)
        k_mn = self._cross_kernel(grid, seen)
        update = gp.update_mean(k_mn, given).float()
        scores = self._scores(prior, update, grid, rgb)
        if not variance:
            return scores, None
        diagonal = 1 + self._rgb_weight().to(k_mn)
        spread = gp.variance(k_mn, diagonal, given).float()
        return scores, _resize(spread.reshape(len(rgb), 1, *grid.shape), rgb)

    def _grid(self, raw: Tensor, rgb: Tensor) -> _Grid:
        """Lay L2-normalised features and colour on the process's grid."""
        stride = self.gp_stride
        shape = tuple(-(-size // stride) for size in rgb.shape[-2:])
        features = functional.normalize(raw, dim=1, eps=1e-12)
        linear = None
        if self.linear is not None:
            score = functional.linear(
                raw.movedim(1, -1), self.linear.weight, self.linear.bias
            ).movedim(-1, 1)
            linear = _to_shape(score, shape, stride).flatten(1)
        colour = rgb
        if stride > 1:
            colour = functional.interpolate(rgb, size=shape, mode="area")
        stacked = torch.cat([_to_shape(features, shape, stride), colour], dim=1)
        return _Grid(stacked.flatten(2).transpose(1, 2), linear, shape, stride)

    def _observe(self, grid: _Grid, points: Tensor, rgb: Tensor) -> _Observations:
        """Look the clicks up on the grid; clicks outside are no observations."""
        height, width = rgb.shape[-2:]
        rows, cols, order = points.unbind(-1)
        inside = (rows >= 0) & (cols >= 0) & (rows < height) & (cols < width)
        cells = (rows.long() // grid.stride) * grid.shape[1]
        cells = (cells + cols.long() // grid.stride) * inside
        used = gp.observed(cells, order, inside)
        index = cells.unsqueeze(-1).expand(-1, -1, grid.pixels.shape[-1])
        pixels = grid.pixels.gather(1, index)
        labels = torch.ones_like(rows)
        labels[:, labels.shape[1] // 2 :] = -1
        mean = gp.amortised_mean(self.u_mlp(pixels).squeeze(-1), labels)
        return _Observations(pixels, mean, labels, used, cells)

    def _condition(
        self, grid: _Grid, seen: _Observations, values: Tensor, weight: Tensor
    ) -> tuple[Tensor, gp.Conditioned]:
        """Return the prior ``Phi(x) w`` of all pixels and the solved clicks."""
        chunk = None if torch.is_grad_enabled() else _CHUNK
        prior = gp.prior_mean(
            grid.pixels, self.theta.weight, self.theta.bias, weight, chunk
        )
        if grid.linear is not None:
            prior = prior + grid.linear
        residual = values - prior.gather(1, seen.cells)
        k_nn = gp.click_kernel(
            _double(seen.pixels), _double(self.logsigma2), _double(self._rgb_weight())
        )
        used = seen.used.to(k_nn.device)
        return prior, gp.condition(k_nn, _double(residual), used, self.epsilon2)

    def _cross_kernel(self, grid: _Grid, seen: _Observations) -> Tensor:
        """Return ``K_mn``; float64 unless gradients are wanted."""
        arguments: tuple[Tensor, ...] = (grid.pixels, seen.pixels)
        arguments += (self.logsigma2, self._rgb_weight())
        if not torch.is_grad_enabled():
            arguments = tuple(_double(argument) for argument in arguments)
        return gp.cross_kernel(*arguments)

    def _rgb_weight(self) -> Tensor:
        """``eta_0``, the weight of the colour kernel."""
        return functional.softplus(self.weights)

    @staticmethod
    def _scores(prior: Tensor, update: Tensor, grid: _Grid, rgb: Tensor) -> GPScores:
        """Lay flat scores out as images of the network's size."""
        both = torch.stack([prior, update.to(prior)], dim=1)
        maps = _resize(both.reshape(len(rgb), 2, *grid.shape), rgb)
        prior_map, update_map = maps[:, :1], maps[:, 1:]
        return GPScores(prior_map + update_map, prior_map, update_map)


def _channel(values: tuple[float, ...]) -> Tensor:
    """Return a constant per channel, shape ``(1, C, 1, 1)``."""
    return torch.tensor(values).reshape(1, -1, 1, 1)


def _to_shape(maps: Tensor, shape: tuple[int, ...], stride: int) -> Tensor:
    """Resize features to the grid; the published way aligns corners."""
    if tuple(maps.shape[-2:]) == shape:
        return maps
    return functional.interpolate(
        maps, size=shape, mode="bilinear", align_corners=stride == 1
    )


def _resize(maps: Tensor, like: Tensor) -> Tensor:
    """Bring scores of the grid to the size of the network input."""
    if maps.shape[-2:] == like.shape[-2:]:
        return maps
    return functional.interpolate(maps, size=like.shape[-2:], mode="bilinear")


def _double(values: Tensor) -> Tensor:
    """Return float64, on the CPU where the device has none (MPS)."""
    if values.device.type == "mps":
        values = values.cpu()
    return values.double()


def build_model(name: str, **options: Any) -> GPCIS:
    """Build a network with random weights.

    Parameters
    ----------
    name
        ``"resnet50"`` (the published network) or ``"mobilenet_v2"`` (small; the
        default of the plugin).
    **options
        Options of :class:`GPCIS`, overriding the defaults of that network.

    Returns
    -------
    GPCIS
        In training mode, ``epsilon2 = 1e-2``.

    Raises
    ------
    UnknownModelError
        If no network has that name.
    """
    backbone = create_backbone(name)
    return GPCIS(backbone, **{**backbone.gp_defaults, **options})
