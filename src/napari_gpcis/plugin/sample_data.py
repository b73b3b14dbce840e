"""Sample images that open without a network: see ``samples/README.md`` for origin."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage import data, io

if TYPE_CHECKING:
    from numpy.typing import NDArray

    LayerData = tuple[NDArray[Any], dict[str, Any], str]


def nuclei_fluorescence() -> list[LayerData]:
    """Return an image layer: nuclei, fluorescence, grey."""
    return [_image(read_sample("nuclei_fluorescence"), "Nuclei, fluorescence")]


def nuclei_stained() -> list[LayerData]:
    """Return an image layer: nuclei in stained tissue, RGB."""
    return [_image(read_sample("nuclei_stained"), "Nuclei, stained tissue")]


def cat() -> list[LayerData]:
    """Return an image layer: a photograph of a cat, RGB."""
    untyped: Any = data
    return [_image(np.asarray(untyped.chelsea()), "Cat")]


def read_sample(name: str) -> NDArray[Any]:
    """Return a picture of the ``samples`` folder, by its name without ``.png``."""
    with as_file(files("napari_gpcis.plugin") / "samples" / f"{name}.png") as path:
        return np.asarray(io.imread(path))


def _image(picture: NDArray[Any], name: str) -> LayerData:
    colour = picture.ndim == 3
    limits = {} if colour else {"contrast_limits": (0, int(picture.max()))}
    return picture, {"name": name, "rgb": colour, **limits}, "image"
