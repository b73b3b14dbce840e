"""The former place of predictions: an alias for one release."""

from napari_gpcis.inference.prediction import Prediction

__all__ = ["Prediction"]
