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
from napari_gpcis.backbones.base import (
    Backbone,
    ColourNormalisation,
    create_backbone,
)
from napari_gpcis.clicks import disk_maps
from napari_gpcis.gp.kernel import RGB_CHANNELS
from napari_gpcis.gp.variational import CLICK_STD
from napari_gpcis.grid import (
    Cells,
    GPScores,
    Grid,
    double,
    lay_out,
    locate,
    to_network_size,
    to_scores,
)
from napari_gpcis.initialisation import initialise

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["GPCIS", "Encoded", "GPScores", "build_model"]

TRAINING_EPSILON2 = 1e-2
_CHUNK = 16384
_CLICK_HIDDEN = 96


class Encoded(NamedTuple):
    """What depends on the image alone."""

    rgb: Tensor
    """ImageNet-normalised colour, ``(B, 3, H, W)``."""
    features: tuple[Tensor, ...]
    """From the backbone's ``encode``."""


class _Observations(NamedTuple):
    """Clicks as the Gaussian process sees them; ``n`` slots in each image."""

    pixels: Tensor  # (B, n, d + 3)
    mean: Tensor  # m, (B, n)
    cells: Cells


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
        inputs = dim + RGB_CHANNELS
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
        self.normalise = ColourNormalisation()

    # -- the three steps -------------------------------------------------------

    def encode(self, rgb: Tensor) -> Encoded:
        """Compute what depends on the image alone.

        Parameters
        ----------
        rgb
            Shape ``(B, 3, H, W)`` in [0, 1].
        """
        return Encoded(self.normalise(rgb), self.model.encode(rgb))

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
        return self.predict(self.encode(x[:, :3]), points, x[:, 3:])[0]

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
            grid = lay_out(raw.float(), encoded.rgb, self.gp_stride, self.linear)
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
                values, seen.mean, seen.cells.labels, given.cholesky, seen.cells.used
            )
            return to_scores(prior, update, grid, encoded.rgb), loss.float()

    # -- the Gaussian process --------------------------------------------------

    def _posterior(
        self, raw: Tensor, rgb: Tensor, points: Tensor, *, variance: bool
    ) -> tuple[GPScores, Tensor | None]:
        """Condition on the clicks; no sampling: ``w = mu_w`` and ``f_n = m``."""
        grid = lay_out(raw.float(), rgb, self.gp_stride, self.linear)
        seen = self._observe(grid, points, rgb)
        prior, given = self._condition(grid, seen, seen.mean, self.omega)
        k_mn = self._cross_kernel(grid, seen)
        update = gp.update_mean(k_mn, given).float()
        scores = to_scores(prior, update, grid, rgb)
        if not variance:
            return scores, None
        diagonal = 1 + self._rgb_weight().to(k_mn)
        spread = gp.variance(k_mn, diagonal, given).float()
        return scores, to_network_size(spread.reshape(len(rgb), 1, *grid.shape), rgb)

    def _observe(self, grid: Grid, points: Tensor, rgb: Tensor) -> _Observations:
        """Look features and amortised means of the clicks up."""
        cells = locate(points, rgb.shape[-2:], grid)
        index = cells.position.unsqueeze(-1).expand(-1, -1, grid.pixels.shape[-1])
        pixels = grid.pixels.gather(1, index)
        mean = gp.amortised_mean(self.u_mlp(pixels).squeeze(-1), cells.labels)
        return _Observations(pixels, mean, cells)

    def _condition(
        self, grid: Grid, seen: _Observations, values: Tensor, weight: Tensor
    ) -> tuple[Tensor, gp.Conditioned]:
        """Return the prior ``Phi(x) w`` of all pixels and the solved clicks."""
        chunk = None if torch.is_grad_enabled() else _CHUNK
        prior = gp.prior_mean(
            grid.pixels, self.theta.weight, self.theta.bias, weight, chunk
        )
        if grid.linear is not None:
            prior = prior + grid.linear
        residual = values - prior.gather(1, seen.cells.position)
        k_nn = gp.click_kernel(
            double(seen.pixels), double(self.logsigma2), double(self._rgb_weight())
        )
        used = seen.cells.used.to(k_nn.device)
        return prior, gp.condition(k_nn, double(residual), used, self.epsilon2)

    def _cross_kernel(self, grid: Grid, seen: _Observations) -> Tensor:
        """Return ``K_mn``; float64 unless gradients are wanted."""
        arguments: tuple[Tensor, ...] = (grid.pixels, seen.pixels)
        arguments += (self.logsigma2, self._rgb_weight())
        if not torch.is_grad_enabled():
            arguments = tuple(double(argument) for argument in arguments)
        return gp.cross_kernel(*arguments)

    def _rgb_weight(self) -> Tensor:
        """``eta_0``, the weight of the colour kernel."""
        return functional.softplus(self.weights)


def build_model(name: str, **options: Any) -> GPCIS:
    """Build a network with random weights.

    Parameters
    ----------
    name
        ``"resnet50"`` (the published network), ``"hrnet18s"``, ``"segformer_b0"`` or
        ``"mobilenet_v2"`` (small; the default of the plugin).
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
