"""Methods of superpixels behind one function."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.errors import InputError
from napari_gpcis.inference.image import prepare_image
from napari_gpcis.superpixels.connectivity import (
    SMALLEST,
    Shrunk,
    connect,
    fit_count,
)
from napari_gpcis.superpixels.slic import COMPACTNESS, slic_of_plane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_gpcis.inference.image import PreparedImage
    from napari_gpcis.inference.tiled import TiledPlane

METHODS = ("cds-lite", "cds", "slic")
BEST = "cds-lite"
"""Method that ``"auto"`` stands for, the one with the best figures."""


def superpixels(
    image: ArrayLike | TiledPlane | PreparedImage,
    n: int = 600,
    *,
    method: str = "auto",
    compactness: float | None = None,
    contrast: Sequence[float] | None = None,
    channels: int | Sequence[int] | None = None,
) -> NDArray[np.int32]:
    """Return superpixels: small connected regions of similar pixels.

    Parameters
    ----------
    image
        Shape (H, W) or (H, W, C), any image that `napari_gpcis.Segmenter` takes; or
        one that is prepared already.
    n
        Wanted number, from 1 to that of the pixels.
    method
        ``"slic"``, ``"cds-lite"``, ``"cds"`` (the published network, whose weights
        are converted first), the path of a checkpoint (``.safetensors``), or
        ``"auto"`` for the one with the best figures.
    compactness
        Of SLIC: the higher, the more regular. 20 by default.
    contrast, channels
        As for `napari_gpcis.Segmenter.prepare`; not for an image that is prepared.

    Returns
    -------
    array
        int32, shape (H, W): ids from 1 to K without gaps, each a 4-connected region,
        in the order of their first pixels. K is within 10 % of ``n``.

    Raises
    ------
    InputError
        If the image cannot be used, ``n`` is out of range, the method is unknown or
        has no compactness.
    CheckpointError
        If the method's weights are not here.
    """
    chosen = checked_method(method, compactness)
    prepared = prepared_plane(image, contrast, channels)
    count = _checked_count(n, prepared.shape)
    raw = _raw_labels(prepared, count, chosen, compactness)
    if not raw.smaller:
        return connected(raw.enlarged(), count)
    # pixels that become larger stay connected, and a large plane is the dearer one
    whole = raw._replace(labels=connected(raw.labels, count)).enlarged()
    return np.asarray(whole, np.int32)


def raw_superpixels(
    image: ArrayLike | TiledPlane | PreparedImage,
    n: int,
    method: str,
    compactness: float | None = None,
    *,
    exact: bool = True,
) -> NDArray[Any]:
    """Return superpixels as the method makes them: they may be in parts.

    Parameters
    ----------
    image, n, method, compactness
        See :func:`superpixels`.
    exact
        Whether SLIC is asked again while their number is not the wanted one.

    Returns
    -------
    array
        Labels, shape (H, W).
    """
    prepared = prepared_plane(image, None, None)
    count = _checked_count(n, prepared.shape)
    chosen = checked_method(method, compactness)
    return _raw_labels(prepared, count, chosen, compactness, exact=exact).enlarged()


def connected(labels: NDArray[np.integer[Any]], n: int) -> NDArray[np.int32]:
    """Return raw superpixels as :func:`superpixels` does: whole, and about ``n``."""
    return fit_count(connect(labels, SMALLEST * labels.size / n), n)


def prepared_plane(
    image: ArrayLike | TiledPlane | PreparedImage,
    contrast: Sequence[float] | None = None,
    channels: int | Sequence[int] | None = None,
) -> PreparedImage:
    """Return an image with its contrast; one that is prepared as it is.

    Parameters
    ----------
    image, contrast, channels
        See :func:`superpixels`.

    Raises
    ------
    InputError
        If the image cannot be used.
    """
    from napari_gpcis.inference.image import PreparedImage

    if not isinstance(image, PreparedImage):
        return prepare_image(image, contrast, channels)
    if contrast is not None or channels is not None:
        msg = "contrast and channels are those of the prepared image"
        raise InputError(msg)
    return image


def _raw_labels(
    prepared: PreparedImage,
    count: int,
    method: str,
    compactness: float | None,
    *,
    exact: bool = True,
) -> Shrunk:
    """Return the labels of a method, not connected yet."""
    if count == 1:
        rows, cols = (np.zeros(length, np.intp) for length in prepared.shape)
        return Shrunk(np.zeros((1, 1), np.int32), rows, cols)
    if method == "slic":
        chosen = COMPACTNESS if compactness is None else float(compactness)
        return slic_of_plane(prepared, count, chosen, *(() if exact else (1,)))
    from napari_gpcis.superpixels.learned import learned_labels

    return learned_labels(prepared, count, method)


def checked_method(method: str, compactness: float | None) -> str:
    """Return the name of a method, or raise `InputError`."""
    best = BEST if compactness is None else "slic"
    chosen = best if method == "auto" else method
    if chosen not in METHODS and not str(chosen).endswith(".safetensors"):
        known = ", ".join(("auto", *METHODS))
        msg = f"method must be one of {known}, got {method!r}"
        raise InputError(msg)
    if compactness is None:
        return chosen
    if chosen != "slic":
        msg = f"compactness is an option of slic, {chosen} has none"
        raise InputError(msg)
    number = isinstance(compactness, (int, float, np.integer, np.floating))
    if not (number and math.isfinite(compactness) and compactness > 0):
        msg = f"compactness must be a number above 0, got {compactness!r}"
        raise InputError(msg)
    return chosen


def _checked_count(n: int, shape: tuple[int, int]) -> int:
    """Return the wanted number, or raise `InputError`."""
    pixels = shape[0] * shape[1]
    try:
        count = operator.index(n)
    except TypeError:
        msg = f"n must be an integer, got {n!r}"
        raise InputError(msg) from None
    if isinstance(n, bool) or not 1 <= count <= pixels:
        msg = f"n must be from 1 to the {pixels} pixels of the image, got {n!r}"
        raise InputError(msg)
    return count
