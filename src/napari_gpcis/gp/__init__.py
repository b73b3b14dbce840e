"""Gaussian process classification on the pixels of an image; knows no images."""

from napari_gpcis.gp.incremental import Columns, Field
from napari_gpcis.gp.kernel import click_kernel, cross_kernel
from napari_gpcis.gp.posterior import (
    Conditioned,
    condition,
    observed,
    update_mean,
    variance,
)
from napari_gpcis.gp.prior import fourier_basis, prior_mean, sample_weight
from napari_gpcis.gp.variational import amortised_mean, variational_loss

__all__ = [
    "Columns",
    "Conditioned",
    "Field",
    "amortised_mean",
    "click_kernel",
    "condition",
    "cross_kernel",
    "fourier_basis",
    "observed",
    "prior_mean",
    "sample_weight",
    "update_mean",
    "variance",
    "variational_loss",
]
