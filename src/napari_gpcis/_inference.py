"""Running the network on a crop of the image: where NumPy meets PyTorch."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_gpcis._normalise import to_rgb
from napari_gpcis._resample import mask_to_network, to_network
from napari_gpcis._zoom import network_clicks
from napari_gpcis.clicks import points_tensor
from napari_gpcis.errors import GPCISError, InputError
from napari_gpcis.prediction import GridMaps

if TYPE_CHECKING:
    from torch import Tensor

    from napari_gpcis._normalise import PreparedImage
    from napari_gpcis._zoom import Box
    from napari_gpcis.checkpoints import InferenceSettings
    from napari_gpcis.clicks import Click
    from napari_gpcis.prediction import Prediction

KEPT_ENCODINGS = 4
"""Encoded crops that a segmenter keeps."""


class ClickModel(Protocol):
    """What a segmenter needs of a model; `napari_gpcis.model.GPCIS` has it."""

    epsilon2: float
    gp_stride: int

    def to(self, device: Any) -> Any:
        """Move the weights to a device, in place."""

    def eval(self) -> Any:
        """Switch training behaviour off."""

    def encode(self, rgb: Tensor) -> Any:
        """Compute what depends on the image alone, (1, 3, H, W) in [0, 1]."""

    def predict(
        self, encoded: Any, points: Tensor, previous: Tensor, variance: bool = False
    ) -> tuple[Any, Tensor | None]:
        """Return scores (logits, prior, update) and variance, each (1, 1, H, W)."""


class Engine:
    """A model on its device, with the last encoded crops; shareable between threads.

    Parameters
    ----------
    model
        Switched to evaluation, with the ``epsilon2`` and ``gp_stride`` of `settings`.
    settings
        How the model is run.
    device
        See `Segmenter`.
    """

    def __init__(
        self, model: ClickModel, settings: InferenceSettings, device: str
    ) -> None:
        self.device = find_device(device)
        self._model = model
        self._size, self._half_pixel = settings.infer_size, settings.antialias
        model.to(self.device)
        model.eval()
        model.epsilon2 = settings.epsilon2
        model.gp_stride = settings.gp_stride
        self._encodings: OrderedDict[tuple[int, Box], Any] = OrderedDict()
        self._lock = Lock()

    def infer(
        self,
        prepared: PreparedImage,
        roi: Box,
        clicks: tuple[Click, ...],
        previous: Prediction | None,
    ) -> GridMaps:
        """Run the network on the region of interest.

        Raises
        ------
        InputError
            If the image has NaN values there.
        GPCISError
            If the model returns NaN.
        """
        import torch  # heavy: only when a model is in use

        size, half_pixel = self._size, self._half_pixel
        seen = network_clicks(clicks, roi, size, half_pixel=half_pixel)
        with torch.inference_mode(), self._lock:
            before = torch.zeros(1, size, size)
            if previous is not None:
                before = mask_to_network(previous, roi, size, half_pixel=half_pixel)
            scores, variance = self._model.predict(
                self._encoded(prepared, roi),
                points_tensor(seen).to(self.device),
                before[None].to(self.device),
                variance=True,
            )
            return _grid_maps(scores, variance)

    def _encoded(self, prepared: PreparedImage, roi: Box) -> Any:
        """Encode a crop, or find it among the last ones. The lock is held."""
        key = prepared.token, roi
        if key not in self._encodings:
            channels = to_network(
                prepared, roi, self._size, half_pixel=self._half_pixel
            )
            rgb = to_rgb(channels)[None].to(self.device)
            self._encodings[key] = self._model.encode(rgb)
        self._encodings.move_to_end(key)
        while len(self._encodings) > KEPT_ENCODINGS:
            self._encodings.popitem(last=False)
        return self._encodings[key]


def _grid_maps(scores: Any, variance: Tensor | None) -> GridMaps:
    """Bring the answer of the model to NumPy."""
    maps = (scores.logits.sigmoid(), scores.prior, scores.update, variance)
    arrays = [m[0, 0].float().cpu().numpy().copy() for m in maps if m is not None]
    if len(arrays) < len(maps) or not all(np.isfinite(a).all() for a in arrays):
        msg = (
            "the model did not return finite scores and variances; its weights "
            "are damaged or were trained badly"
        )
        raise GPCISError(msg)
    return GridMaps(*arrays)


def find_device(name: str) -> str:
    """Return the device to use, after a trial."""
    import torch  # heavy: only when a model is in use

    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        msg = f"device must be 'auto' or one PyTorch can use, got {name!r}: {error}"
        raise InputError(msg) from error
    return name
