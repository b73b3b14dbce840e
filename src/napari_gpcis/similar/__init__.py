"""Objects like the accepted ones: a map of similarity, and candidates on it."""

from napari_gpcis.similar.candidates import (
    LEAST_CONFIDENCE,
    Candidate,
    Found,
    resolved,
    search,
)
from napari_gpcis.similar.examples import Examples, collect

__all__ = [
    "LEAST_CONFIDENCE",
    "Candidate",
    "Examples",
    "Found",
    "collect",
    "resolved",
    "search",
]
