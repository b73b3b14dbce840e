"""GPCIS: a feature network and a Gaussian process classifier on its features.

Tensors only. Clicks come as points ``(B, 2 N, 3)`` in network pixels (see
:func:`napari_gpcis.clicks.points_tensor`), images as ``(B, 3, H, W)`` in [0, 1].
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn
from torch.nn import functional

from napari_gpcis import gp
from napari_gpcis.backbones.base import create_backbone, initialise
from napari_gpcis.errors import InputError
from napari_gpcis.gp.kernel import RGB_CHANNELS
from napari_gpcis.gp.variational import CLICK_STD
from napari_gpcis.model.base import ClickNetwork, FeatureSource, Learned
from napari_gpcis.model.click_posterior import ClickPosterior, ResidualObservations
from napari_gpcis.model.grid import (
    Observations,
    double,
    lay_out,
    locate,
    patch_mean,
    patch_spread,
    to_network_size,
    to_scores,
)
from napari_gpcis.model.linear import LinearNetwork
from napari_gpcis.model.quality import QualityHead

if TYPE_CHECKING:
    from torch import Tensor

    from napari_gpcis.backbones.base import Backbone
    from napari_gpcis.model.base import Draws, Encoded
    from napari_gpcis.model.grid import Cells, GPScores, Grid

_CLICK_HIDDEN = 96  # width of the network that gives the means at the clicks
_CHUNK = 1024  # pixels of which the basis is evaluated at a time
_NOISE_PATCH = 3


class GPCIS(ClickNetwork):
    """Gaussian process classification on deep features (equation 11).

    The names of its parameters are those of the published checkpoint.

    Parameters
    ----------
    backbone
        Feature network.
    basis
        Number ``l`` of Fourier basis functions; 0 for none, which leaves the linear
        part alone as the prior.
    gp_stride
        Network pixels per pixel of the Gaussian process: 1 is the published way
        (features are upsampled first); the backbone's stride evaluates it on the
        features as they are and upsamples the scores.
    linear_basis
        Add the raw features themselves to the basis of the weight-space prior
        (``Phi(x) w + b.x``); not in the paper. With ``basis=0`` the prior is the
        linear classifier of :class:`napari_gpcis.model.LinearNetwork`.
    paper_init
        Draw ``theta``, ``tau`` and ``mu_w`` as the paper says (N(0, I), U(0, 2 pi),
        N(0, 1/4)); the published code starts from much smaller frequencies.
    learn_kernel
        ``False`` fixes the kernel of the function space at ``eta_0 = 1`` and
        ``eta_t = 1/e`` (variant b of the paper's Table 4).
    learn_basis
        ``False`` fixes ``theta``, ``tau``, ``mu_w`` and ``sigma_w`` of the weight
        space as drawn by ``paper_init``, which it implies (variant c).
    rgb
        ``False`` leaves the colour of the image out of the basis, the kernel and
        the means at the clicks (variant d).
    click_patch
        Side, in pixels of the Gaussian process, of the square over which the
        features of a click are averaged; odd, 1 as published. With a larger one a
        click that is a little off counts for its surroundings, and the logit at the
        clicked pixel is no longer exactly its mean ``m``.
    click_noise
        Noise added to ``epsilon^2`` at a click, times the variance of the features
        in the 3 x 3 pixels about it: a click on a border, whose exact place matters,
        is trusted less than one within a region. 0 as published.
    quality
        Add a :class:`napari_gpcis.model.quality.QualityHead`.

    Raises
    ------
    InputError
        If ``click_patch`` is no odd number from 1, ``click_noise`` or ``basis`` is
        negative, or nothing would be left of the prior or of its fixed basis.
    """

    def __init__(
        self,
        backbone: Backbone,
        basis: int = 256,
        gp_stride: int = 1,
        *,
        linear_basis: bool = False,
        paper_init: bool = False,
        learn_kernel: bool = True,
        learn_basis: bool = True,
        rgb: bool = True,
        click_patch: int = 1,
        click_noise: float = 0.0,
        quality: bool = False,
    ) -> None:
        _check_basis(basis, linear_basis=linear_basis, learn_basis=learn_basis)
        omega = 0.25 * torch.randn(basis, 1)
        super().__init__(backbone, gp_stride)
        self.click_patch, self.click_noise = _checked(click_patch, click_noise)
        dim = backbone.feature_dim
        inputs = dim + RGB_CHANNELS if rgb else dim
        some = basis > 0
        self.omega = nn.Parameter(omega) if some else None
        self.omega_var = nn.Parameter(torch.tensor(0.025)) if some else None
        self.logsigma2 = nn.Parameter(torch.ones(dim))
        self.weights = nn.Parameter(torch.zeros(1)) if rgb else None
        self.theta = nn.Linear(inputs, basis) if some else None
        self.u_mlp = nn.Sequential(
            nn.Linear(inputs, _CLICK_HIDDEN),
            nn.ReLU(inplace=True),
            nn.Linear(_CLICK_HIDDEN, 1),
        )
        self.linear = nn.Linear(dim, 1) if linear_basis else None
        self.quality = QualityHead(dim) if quality else None
        if self.theta is not None:
            initialise(self.theta)
        initialise(self.u_mlp)
        if paper_init or not learn_basis:
            self._draw_basis()
        if not learn_basis:
            _fix(*self._basis_parameters())
        if not learn_kernel:
            self._fix_kernel()

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
            See :meth:`features`.
        variance
            Also return the posterior variance (equation 10), ``(B, 1, H, W)``.
        """
        raw = self.features(encoded, points, previous)
        return self._posterior(raw, encoded.rgb, points, variance=variance)

    def learn(
        self,
        encoded: Encoded,
        points: Tensor,
        previous: Tensor,
        *,
        sample: bool = True,
        draws: Draws | None = None,
    ) -> Learned:
        """Return scores and the variational term (already times 1e-3).

        Parameters
        ----------
        encoded, points, previous
            See :meth:`features`.
        sample
            Draw ``w`` and ``f_n`` (training); their means otherwise.
        draws
            The random numbers to use; by default new ones.
        """
        raw = self.features(encoded, points, previous)
        with torch.autocast(raw.device.type, enabled=False):
            grid = self._lay_out(raw, encoded.rgb)
            observed = self._observe(grid, points, encoded.rgb)
            values: Tensor = observed.mean
            weight: Tensor | None = self.omega
            if sample:
                clicks, basis = draws or (torch.randn_like(values), None)
                values = values + CLICK_STD * clicks
                weight = self._sample_weight(basis)
            prior, given = self._condition(grid, observed, values, weight)
            k_mn = self._cross_kernel(grid, observed)
            update = gp.update_mean(k_mn, given)
            loss = gp.variational_loss(
                values,
                observed.mean,
                observed.cells.labels,
                given.cholesky,
                observed.cells.used,
            )
            scores = to_scores(prior, update, grid, encoded.rgb)
            quality = None
            if self.quality is not None:
                quality = self.quality(raw, scores.logits)
            return Learned(scores, loss.float(), quality)

    def click_posterior(self, encoded: Encoded, raw: Tensor) -> ClickPosterior:
        """Return the posterior of one image's features, given any clicks.

        Parameters
        ----------
        encoded
            From :meth:`encode`, one image.
        raw
            From :meth:`features`, shape ``(1, d, ceil(H/4), ceil(W/4))``.
        """
        grid = self._lay_out(raw, encoded.rgb)
        prior = self._prior(grid, self.omega)
        field = gp.Field(
            grid.pixels[0],
            double(self.logsigma2),
            double(self._rgb_weight()),
            self.epsilon2,
        )

        def observe(points: Tensor) -> ResidualObservations:
            observed = self._observe(grid, points, encoded.rgb)
            known = self._prior_at_clicks(grid, observed, prior, self.omega)
            noise = self._noise(grid, observed.cells)
            return ResidualObservations(
                observed.features, observed.mean - known, noise, observed.cells
            )

        rate = None if self.quality is None else partial(self.quality, raw)
        source = FeatureSource(raw, partial(self.model.context, encoded.features))
        return ClickPosterior(grid, prior, field, encoded.rgb, observe, source, rate)

    surface = click_posterior  # the former name

    def _draw_basis(self) -> None:
        """Draw the basis as the paper says."""
        if self.theta is not None and self.omega is not None:
            nn.init.normal_(self.theta.weight)
            nn.init.uniform_(self.theta.bias, 0, 2 * torch.pi)
            nn.init.normal_(self.omega, std=0.5)

    def _basis_parameters(self) -> list[nn.Parameter]:
        """Return all that belongs to the Fourier basis."""
        found = [p for p in (self.omega, self.omega_var) if p is not None]
        return found if self.theta is None else [*found, *self.theta.parameters()]

    def _fix_kernel(self) -> None:
        """Set the fixed kernel of Table 4: ``eta_0 = 1``, ``eta_t = 1/e``."""
        _fix(self.logsigma2)
        if self.weights is not None:
            nn.init.constant_(self.weights, math.log(math.e - 1))
            _fix(self.weights)

    # -- the Gaussian process --------------------------------------------------

    def _posterior(
        self, raw: Tensor, rgb: Tensor, points: Tensor, *, variance: bool
    ) -> tuple[GPScores, Tensor | None]:
        """Condition on the clicks; no sampling: ``w = mu_w`` and ``f_n = m``."""
        grid = self._lay_out(raw, rgb)
        observed = self._observe(grid, points, rgb)
        prior, given = self._condition(grid, observed, observed.mean, self.omega)
        k_mn = self._cross_kernel(grid, observed)
        update = gp.update_mean(k_mn, given).float()
        scores = to_scores(prior, update, grid, rgb)
        if not variance:
            return scores, None
        diagonal = 1 + self._rgb_weight().to(k_mn)
        spread = gp.variance(k_mn, diagonal, given).float()
        return scores, to_network_size(spread.reshape(len(rgb), 1, *grid.shape), rgb)

    def _lay_out(self, raw: Tensor, rgb: Tensor) -> Grid:
        """Return features, and colour if it is used, on the grid."""
        grid = lay_out(raw.float(), rgb, self.gp_stride, self.linear)
        if self.weights is None:
            grid = grid._replace(pixels=grid.pixels[..., : raw.shape[1]])
        return grid

    def _observe(self, grid: Grid, points: Tensor, rgb: Tensor) -> Observations:
        """Return features and amortised means of the clicks."""
        cells = locate(points, rgb.shape[-2:], grid)
        features = patch_mean(grid.pixels, grid, cells, self.click_patch)
        mean = gp.amortised_mean(self.u_mlp(features).squeeze(-1), cells.labels)
        return Observations(features, mean, cells)

    def _condition(
        self, grid: Grid, observed: Observations, values: Tensor, weight: Tensor | None
    ) -> tuple[Tensor, gp.Conditioned]:
        """Return the prior ``Phi(x) w`` of all pixels and the solved clicks."""
        prior = self._prior(grid, weight)
        residual = values - self._prior_at_clicks(grid, observed, prior, weight)
        k_nn = gp.click_kernel(
            double(observed.features),
            double(self.logsigma2),
            double(self._rgb_weight()),
        )
        if self.click_noise > 0:
            k_nn = k_nn + torch.diag_embed(double(self._noise(grid, observed.cells)))
        used = observed.cells.used.to(k_nn.device)
        return prior, gp.condition(k_nn, double(residual), used, self.epsilon2)

    def _sample_weight(self, draw: Tensor | None) -> Tensor | None:
        """Return a draw of ``w``; ``None`` without basis functions."""
        if self.omega is None or self.omega_var is None:
            return None
        return gp.sample_weight(self.omega, self.omega_var, draw)

    def _fourier(
        self, pixels: Tensor, weight: Tensor | None, chunk: int | None = None
    ) -> Tensor:
        """Return ``Phi(x) w`` of any pixels; 0 without basis functions."""
        if self.theta is None or weight is None:
            return pixels.new_zeros(pixels.shape[:-1])
        return gp.prior_mean(pixels, self.theta.weight, self.theta.bias, weight, chunk)

    def _prior(self, grid: Grid, weight: Tensor | None) -> Tensor:
        """Return ``Phi(x) w`` and the linear part of all pixels, ``(B, m)``."""
        chunk = None if torch.is_grad_enabled() else _CHUNK
        prior = self._fourier(grid.pixels, weight, chunk)
        return prior if grid.linear is None else prior + grid.linear

    def _noise(self, grid: Grid, cells: Cells) -> Tensor:
        """Return what each click adds to ``epsilon^2``, ``(B, n)``."""
        if self.click_noise == 0:
            return torch.zeros_like(cells.labels)
        features = grid.pixels[..., : len(self.logsigma2)]
        return self.click_noise * patch_spread(features, grid, cells, _NOISE_PATCH)

    def _prior_at_clicks(
        self, grid: Grid, observed: Observations, prior: Tensor, weight: Tensor | None
    ) -> Tensor:
        """Return the prior at the features of the clicks, ``(B, n)``."""
        if self.click_patch == 1:
            return prior.gather(1, observed.cells.position)
        own = self._fourier(observed.features, weight)
        if grid.linear is None:
            return own
        linear = grid.linear.unsqueeze(-1)
        return own + patch_mean(linear, grid, observed.cells, self.click_patch).squeeze(
            -1
        )

    def _cross_kernel(self, grid: Grid, observed: Observations) -> Tensor:
        """Return ``K_mn``; float64 unless gradients are wanted."""
        arguments: tuple[Tensor, ...] = (grid.pixels, observed.features)
        arguments += (self.logsigma2, self._rgb_weight())
        if not torch.is_grad_enabled():
            arguments = tuple(double(argument) for argument in arguments)
        return gp.cross_kernel(*arguments)

    def _rgb_weight(self) -> Tensor:
        """``eta_0``, the weight of the colour kernel; 0 without colour."""
        if self.weights is None:
            return self.logsigma2.new_zeros(1)
        return functional.softplus(self.weights)


def _checked(click_patch: int, click_noise: float) -> tuple[int, float]:
    """Return both options if they can be used."""
    if isinstance(click_patch, bool) or click_patch < 1 or click_patch % 2 != 1:
        msg = f"click_patch must be an odd number from 1, got {click_patch!r}"
        raise InputError(msg)
    if not 0 <= click_noise < math.inf:
        msg = f"click_noise must be a number from 0, got {click_noise!r}"
        raise InputError(msg)
    return click_patch, click_noise


def _check_basis(basis: int, *, linear_basis: bool, learn_basis: bool) -> None:
    """Raise `InputError` unless there is a prior, with a basis if one is fixed."""
    if isinstance(basis, bool) or basis < 0:
        msg = f"basis must be a whole number from 0, got {basis!r}"
        raise InputError(msg)
    if basis == 0 and not linear_basis:
        msg = "basis=0 needs linear_basis=True: nothing else is left of the prior"
        raise InputError(msg)
    if basis == 0 and not learn_basis:
        msg = "learn_basis=False fixes basis functions, and basis=0 has none"
        raise InputError(msg)


def _fix(*parameters: nn.Parameter) -> None:
    """Take parameters out of training."""
    for parameter in parameters:
        parameter.requires_grad_(False)


def model_options(backbone: Backbone, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that a network is built with.

    Parameters
    ----------
    backbone
        The feature network; its ``gp_defaults`` hold for a Gaussian process.
    options
        Those asked for; they override.
    """
    if options.get("head", "gp") == "gp":
        return {**backbone.gp_defaults, **options}
    return dict(options)


def build_model(
    name: str, *, head: Literal["gp", "linear"] = "gp", **options: Any
) -> ClickNetwork:
    """Build a network with random weights.

    Parameters
    ----------
    name
        ``"resnet50"`` (the published network), ``"hrnet18s"``, ``"segformer_b0"``,
        ``"mobilenet_v2"`` (small), ``"efficientnet_lite0"``,
        ``"efficientnet_lite0_deep"`` or ``"efficientnet_lite2"`` (these encode an
        image once for all clicks).
    head
        ``"gp"``: a :class:`GPCIS`. ``"linear"``: a :class:`LinearNetwork`, the
        control without a Gaussian process.
    **options
        Options of that class, overriding the defaults of the network.

    Returns
    -------
    ClickNetwork
        In training mode, ``epsilon2 = 1e-2``.

    Raises
    ------
    UnknownModelError
        If no network has that name.
    InputError
        If there is no such head, or an option is out of range.
    TypeError
        If the head has no such option.
    """
    backbone = create_backbone(name)
    if head == "gp":
        return GPCIS(backbone, **model_options(backbone, options))
    if head == "linear":
        return LinearNetwork(backbone, **options)
    msg = f"head must be 'gp' or 'linear', got {head!r}"
    raise InputError(msg)
