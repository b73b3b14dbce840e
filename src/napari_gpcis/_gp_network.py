"""The parameters and options of the Gaussian process classifier."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_gpcis.backbones.base import initialise
from napari_gpcis.errors import InputError
from napari_gpcis.gp.kernel import RGB_CHANNELS
from napari_gpcis.model.base import ClickNetwork

if TYPE_CHECKING:
    from napari_gpcis.backbones.base import Backbone

_CLICK_HIDDEN = 96


class GPNetwork(ClickNetwork):
    """A feature network with the parameters of a Gaussian process on its features.

    Their names are those of the published checkpoint.

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
        linear classifier of :class:`napari_gpcis.model.gpcis.LinearNetwork`.
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
        if self.theta is not None:
            initialise(self.theta)
        initialise(self.u_mlp)
        if paper_init or not learn_basis:
            self._draw_basis()
        if not learn_basis:
            _fix(*self._basis_parameters())
        if not learn_kernel:
            self._fix_kernel()

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
