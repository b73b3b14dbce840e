"""One image being annotated: clicks, their history and the finished objects."""

from napari_gpcis.session.labels import FinishedObject
from napari_gpcis.session.session import Session

__all__ = ["FinishedObject", "Session"]
