"""Objects like the accepted ones: a map of similarity, and candidates on it."""

from napari_gpcis.similar.candidate import Candidate
from napari_gpcis.similar.examples import Examples, collect
from napari_gpcis.similar.search import LEAST_CONFIDENCE, Found, resolved, search

__all__ = [
    "LEAST_CONFIDENCE",
    "Candidate",
    "Examples",
    "Found",
    "collect",
    "resolved",
    "search",
]
