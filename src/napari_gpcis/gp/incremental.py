"""Kernel columns and Cholesky rows that grow with the clicks of one image.

On fixed features one more observation adds one column ``k(X, x)`` to ``K_mn`` and one
row to the Cholesky factor of ``A = K_nn + epsilon^2 I``::

    L l = k_n    (forward substitution)    d^2 = k(x, x) + epsilon^2 - l.l

so it costs ``O(m d + n^2)`` instead of ``O(m n d + n^3)``; taking the last one back
drops both. Several new observations are appended in blocks of rows by the same
equations, with matrices in place of ``l`` and ``d``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

from napari_gpcis.gp.kernel import click_kernel, scaled_features
from napari_gpcis.gp.posterior import CLICK_VARIANCE, factorise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


_CHUNK = 8192
"""Pixels handled at once; larger fields are scaled anew for each click."""
_BLOCK = 64
"""New observations whose rows are made at once."""


class _Scaled(NamedTuple):
    """Vectors in units of the kernel, and half their squared lengths."""

    deep: Tensor
    rgb: Tensor
    deep_half: Tensor
    rgb_half: Tensor


@dataclass(frozen=True, eq=False)
class Field:
    """The pixels of one image and the kernel on them.

    Attributes
    ----------
    pixels
        Deep features, then colour, shape ``(m, d + 3)``.
    log_precision, rgb_weight
        See :func:`napari_gpcis.gp.click_kernel`; float64.
    epsilon2
        ``epsilon^2 >= 0``.
    """

    pixels: Tensor
    log_precision: Tensor
    rgb_weight: Tensor
    epsilon2: float

    @property
    def diagonal(self) -> float:
        """``k(x, x)``, the prior variance of a pixel."""
        return 1 + float(self.rgb_weight)

    def against_all(self, clicked: Tensor) -> Tensor:
        """Return ``K_nm`` of observed vectors and all pixels, shape ``(n, m)``."""
        left = self._scale(clicked)
        if len(self.pixels) <= _CHUNK:
            return self._kernel(left, self._scaled)
        chunks = torch.split(self.pixels, _CHUNK)
        return torch.cat([self._kernel(left, self._scale(c)) for c in chunks], dim=1)

    @cached_property
    def _scaled(self) -> _Scaled:
        """All pixels, ready for the next click; only kept of small fields."""
        return self._scale(self.pixels)

    def _scale(self, pixels: Tensor) -> _Scaled:
        deep, rgb = scaled_features(_as(pixels, self.log_precision), self.log_precision)
        halves = (0.5 * part.square().sum(-1) for part in (deep, rgb))
        return _Scaled(deep, rgb, *halves)

    def _kernel(self, left: _Scaled, right: _Scaled) -> Tensor:
        """Return the kernel by expanded squares, shape ``(n, m)``."""
        deep = _rbf(left.deep, right.deep, left.deep_half, right.deep_half)
        if not right.rgb.shape[1]:
            return deep
        rgb = _rbf(left.rgb, right.rgb, left.rgb_half, right.rgb_half)
        return deep.add_(rgb.mul_(self.rgb_weight))

    def between(self, clicked: Tensor) -> Tensor:
        """Return ``K_nn`` by direct differences, shape ``(n, n)``."""
        return click_kernel(clicked, self.log_precision, self.rgb_weight)

    def last_rows(self, clicked: Tensor, first: int) -> Tensor:
        """Return the rows of ``K_nn`` from the first on, shape ``(n - first, n)``."""
        return click_kernel(clicked, self.log_precision, self.rgb_weight, first)


@dataclass(frozen=True, eq=False)
class Columns:
    """``K_nm`` and the Cholesky factor of ``A`` for some observations of a field.

    Immutable: every method returns a new object, which shares what it can.

    Attributes
    ----------
    field
        The pixels.
    keys
        What tells the ``n`` observations apart (the index of the pixel).
    clicked
        Their feature vectors, float64, shape ``(n, d + 3)``.
    noise
        What each adds to ``epsilon^2``, float64, shape ``(n,)``.
    k_nm
        Float64, shape ``(n, m)``.
    cholesky
        Lower factor, float64, shape ``(n, n)``.
    jitter
        ``epsilon^2``, or more if that did not suffice.
    """

    field: Field
    keys: tuple[int, ...]
    clicked: Tensor
    noise: Tensor
    k_nm: Tensor
    cholesky: Tensor
    jitter: float

    @classmethod
    def none(cls, field: Field) -> Columns:
        """Return the state without observations."""
        like, (size, width) = field.log_precision, field.pixels.shape
        return cls(
            field,
            keys=(),
            clicked=like.new_zeros(0, width),
            noise=like.new_zeros(0),
            k_nm=like.new_zeros(0, size),
            cholesky=like.new_zeros(0, 0),
            jitter=field.epsilon2,
        )

    def observing(self, keys: Sequence[int], clicked: Tensor, noise: Tensor) -> Columns:
        """Return the state of exactly these observations.

        Rows and columns of the common beginning are kept, the others are dropped or
        appended.

        Parameters
        ----------
        keys
            One for each observation, all different; equal keys stand for equal
            vectors and noise as long as the field is the same.
        clicked, noise
            Float64, shapes ``(n, d + 3)`` and ``(n,)``.
        """
        wanted = tuple(keys)
        shared = _common(self.keys, wanted)
        state = self.first(shared)
        if shared == len(wanted):
            return state
        fresh = self.field.against_all(clicked[shared:])
        state = replace(state, k_nm=torch.cat([state.k_nm, fresh]))
        for start in range(shared, len(wanted), _BLOCK):
            stop = min(start + _BLOCK, len(wanted))
            state = state._with_rows(wanted[:stop], clicked[:stop], noise[:stop])
        return state

    def first(self, count: int) -> Columns:
        """Return the state of the first ``count`` observations."""
        if count == len(self.keys):
            return self
        return replace(
            self,
            keys=self.keys[:count],
            clicked=self.clicked[:count],
            noise=self.noise[:count],
            k_nm=self.k_nm[:count],
            cholesky=self.cholesky[:count, :count],
        )

    def _with_rows(
        self, keys: tuple[int, ...], clicked: Tensor, noise: Tensor
    ) -> Columns:
        """Append the rows of further observations, whose columns are there."""
        first, last = len(self.keys), len(keys)
        longer = replace(self, keys=keys, clicked=clicked, noise=noise)
        if last - first > 1:
            factor = longer._with_block(first)
            if factor is not None:
                return replace(longer, cholesky=factor)
        state = self
        for count, row in enumerate(self.field.last_rows(clicked, first), first + 1):
            state = replace(
                state,
                keys=keys[:count],
                clicked=clicked[:count],
                noise=noise[:count],
            )._with_row(row[:count])
        return state

    def _with_block(self, first: int) -> Tensor | None:
        """Return the factor with the rows from the first on, ``None`` if it fails."""
        rows = self.field.last_rows(self.clicked, first)
        known, new = rows[:, :first], rows[:, first:]
        below = torch.linalg.solve_triangular(self.cholesky, known.T, upper=False).T
        added = torch.diag(self.noise[first:] + self.jitter)
        corner, info = torch.linalg.cholesky_ex(new + added - below @ below.T)
        if bool(info > 0):
            return None
        factor = functional.pad(self.cholesky, (0, len(rows), 0, len(rows)))
        factor[first:, :first] = below
        factor[first:, first:] = corner
        return factor

    def _with_row(self, covariance: Tensor) -> Columns:
        """Append the row of the last observation to the factor."""
        row = torch.linalg.solve_triangular(
            self.cholesky, covariance[:-1, None], upper=False
        )[:, 0]
        diagonal = covariance[-1] + self.noise[-1] + self.jitter
        pivot = float(diagonal - row.square().sum())
        if pivot <= 0:
            return self._refactorised()
        factor = functional.pad(self.cholesky, (0, 1, 0, 1))
        factor[-1, :-1] = row
        factor[-1, -1] = pivot**0.5
        return replace(self, cholesky=factor)

    def _refactorised(self) -> Columns:
        """Factorise anew, with as much jitter as that needs."""
        matrix = self.field.between(self.clicked) + torch.diag(self.noise)
        everywhere = torch.ones_like(self.noise)[None]
        factor, jitter = factorise(matrix[None], everywhere, self.field.epsilon2)
        return replace(self, cholesky=factor[0], jitter=float(jitter))

    def update(self, residual: Tensor) -> Tensor:
        """Return ``K_mn A^-1 r``, float64, shape ``(m,)``.

        Parameters
        ----------
        residual
            ``r = f_n - Phi(X_n) w`` of the observations, float64, shape ``(n,)``.
        """
        return self.updates(residual[None])[0]

    def updates(self, residuals: Tensor) -> Tensor:
        """Return the update of each of several residuals, float64, shape ``(k, m)``.

        Parameters
        ----------
        residuals
            Float64, shape ``(k, n)``; gradients go through.
        """
        weights = torch.cholesky_solve(residuals.T, self.cholesky)
        return weights.T @ self.k_nm

    def variance(self) -> Tensor:
        """Return the posterior variance of equation 10, float64, shape ``(m,)``."""
        inverse = torch.linalg.solve_triangular(
            self.cholesky, torch.eye(len(self.keys)).to(self.cholesky), upper=False
        )
        chunks = torch.split(self.k_nm, _CHUNK, dim=1)
        explained = torch.cat([_explained(inverse, chunk) for chunk in chunks])
        return (1 + self.field.rgb_weight - explained).clamp_(min=0)


def _explained(inverse: Tensor, k_nm: Tensor) -> Tensor:
    """Return the diagonal of ``K_mn A^-1 (I - sigma^2 A^-1) K_nm``; ``L^-1`` given."""
    whitened = inverse @ k_nm
    solved = inverse.T @ whitened
    noise = CLICK_VARIANCE * solved.square_().sum(0)
    return whitened.square_().sum(0) - noise


def _rbf(left: Tensor, right: Tensor, left_half: Tensor, right_half: Tensor) -> Tensor:
    """Return ``exp(a.b - |a|^2 / 2 - |b|^2 / 2)``, shape ``(n, m)``."""
    exponent = left @ right.T
    exponent -= right_half
    exponent -= left_half[:, None]
    return exponent.clamp_(max=0).exp_()


def _as(values: Tensor, like: Tensor) -> Tensor:
    """Return values on the device of another tensor, then in its precision (MPS)."""
    return values.to(like.device).to(like.dtype)


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """Return the length of the common beginning."""
    for index, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return index
    return min(len(left), len(right))
