"""Interactive segmentation as Gaussian process classification.

Importing this package is fast: PyTorch is imported when a model is loaded, and
napari only by ``napari_gpcis.plugin``.

It sets the environment variable ``OMP_WAIT_POLICY`` to ``PASSIVE`` unless it is set:
OpenMP's threads, those of PyTorch, then sleep between two computations instead of
keeping a core busy, which on a busy machine makes a click several times faster
(``benchmarks/busy.py``). OpenMP reads it once, so it is without effect where PyTorch
was imported before.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_gpcis.checkpoints import list_models
    from napari_gpcis.clicks import Click
    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.inference.segmenter import Segmenter
    from napari_gpcis.inference.tidy import Tidy
    from napari_gpcis.session.session import Session

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

__all__ = [
    "Click",
    "Prediction",
    "Segmenter",
    "Session",
    "Tidy",
    "__version__",
    "list_models",
]

_HOMES = {
    "Click": "napari_gpcis.clicks",
    "Prediction": "napari_gpcis.inference.prediction",
    "Segmenter": "napari_gpcis.inference.segmenter",
    "Session": "napari_gpcis.session.session",
    "Tidy": "napari_gpcis.inference.tidy",
    "list_models": "napari_gpcis.checkpoints",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first asked for."""
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names before they are imported, for completion."""
    return sorted({*globals(), *__all__})
