"""The segmenter: a model with its settings, from an image and clicks to a mask."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_gpcis._normalise import PreparedImage, prepare_image, to_rgb
from napari_gpcis._resample import to_network
from napari_gpcis._zoom import (
    Box,
    around_clicks,
    check_clicks,
    clip_box,
    network_clicks,
    target_box,
    whole_image,
)
from napari_gpcis.clicks import points_tensor
from napari_gpcis.errors import GPCISError, InputError
from napari_gpcis.prediction import GridMaps, Prediction

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import ArrayLike
    from torch import Tensor

    from napari_gpcis.checkpoints import ModelInfo
    from napari_gpcis.clicks import Click

__all__ = ["Box", "ClickModel", "PreparedImage", "Request", "Segmenter"]

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


@dataclass(frozen=True, eq=False)
class Request:
    """A snapshot of what there is to predict; may cross threads.

    Attributes
    ----------
    prepared
        The image.
    clicks
        All clicks of the object, in order.
    done
        The predictions known already, of the first ``len(done)`` clicks.
    view
        What the first click is zoomed to; ``None`` for the whole image.
    generation
        State of the session that asked; larger is later.
    """

    prepared: PreparedImage
    clicks: tuple[Click, ...]
    done: tuple[Prediction, ...] = ()
    view: Box | None = None
    generation: int = 0


class Segmenter:
    """A model with its settings: no image, no history, shareable between threads.

    Parameters
    ----------
    model
        A `napari_gpcis.model.GPCIS`, or anything with its ``encode`` and
        ``predict``. It is switched to evaluation, and its ``epsilon2`` and
        ``gp_stride`` are set to those of ``info``.
    info
        What the model is and how it is to be run.
    device
        Where it runs: ``"auto"`` (CUDA, else MPS, else CPU) or a name PyTorch knows.

    Raises
    ------
    InputError
        If the device is unknown or not there.

    Notes
    -----
    With ``antialias=False`` images and clicks are resampled exactly as the published
    code does: bilinear with aligned corners, clicks scaled by ``size / h``. With
    ``antialias=True`` everything refers to pixel centres and images are low-pass
    filtered when they are shrunk.

    The region of interest is the published one: the box of the previous mask
    (probability above 0.49) and of all positive clicks, 1.4 times as large, replaced
    at every click. One thing differs. If the previous mask is empty, the published
    code feeds the whole image but pastes the answer into the region of an earlier
    click; here that region is dropped, and the view of the first click is used.
    """

    def __init__(self, model: ClickModel, info: ModelInfo, device: str = "cpu") -> None:
        self._info = info
        self._device = _find_device(device)
        self._model = model
        model.to(self._device)
        model.eval()
        model.epsilon2 = info.inference.epsilon2
        model.gp_stride = info.inference.gp_stride
        self._encodings: OrderedDict[tuple[int, Box], Any] = OrderedDict()
        self._lock = Lock()

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str] = "gpcis-mobilenet-v2",
        device: str = "auto",
    ) -> Segmenter:
        """Load a model by name, or from a ``.safetensors`` file.

        Raises
        ------
        UnknownModelError
            If no model has that name.
        CheckpointError
            If the file is missing, damaged or of another kind.
        InputError
            If the device is unknown or not there.
        """
        from napari_gpcis.checkpoints import load_checkpoint

        model, info = load_checkpoint(name_or_path)
        return cls(model, info, device)

    @property
    def info(self) -> ModelInfo:
        """What the model is and how it is run."""
        return self._info

    @property
    def device(self) -> str:
        """Where the model runs."""
        return self._device

    def prepare(
        self,
        image: ArrayLike,
        contrast: Sequence[float] | None = None,
        channels: int | Sequence[int] | None = None,
    ) -> PreparedImage:
        """Check an image and choose contrast and channels.

        Parameters
        ----------
        image
            Shape (H, W) or (H, W, C), any boolean, integer or real dtype. It is not
            copied; do not change it while the prepared image is in use.
        contrast
            ``(low, high)``: values that become black and white. By default uint8
            colour, and floating-point colour within [0, 1], are taken as they are;
            everything else is stretched between its 0.1 and 99.9 percentiles.
        channels
            Up to three channels; needed for C > 3 (four uint8 channels are RGBA).

        Raises
        ------
        InputError
            If the image, the contrast or the channels cannot be used.
        """
        return prepare_image(image, contrast, channels)

    def predict(
        self,
        image: ArrayLike,
        clicks: Iterable[Click],
        *,
        view: Sequence[float] | None = None,
        contrast: Sequence[float] | None = None,
        channels: int | Sequence[int] | None = None,
    ) -> Prediction:
        """Segment one object; the clicks are replayed in order.

        Parameters
        ----------
        image, contrast, channels
            See :meth:`prepare`.
        clicks
            At least one click, in the order in which they were made.
        view
            Half-open box ``(row_min, col_min, row_max, col_max)`` that the first
            click is zoomed to; the whole image by default.

        Raises
        ------
        InputError
            If an argument cannot be used.
        """
        prepared = self.prepare(image, contrast, channels)
        asked = tuple(clicks)
        if not asked:
            msg = "clicks must hold at least one click, got none"
            raise InputError(msg)
        box = None if view is None else clip_box(view, prepared.shape)
        return self.run(Request(prepared, asked, view=box))[-1]

    def run(
        self, request: Request, cancelled: Callable[[], bool] | None = None
    ) -> tuple[Prediction, ...]:
        """Predict what a request lacks.

        Parameters
        ----------
        request
            From :meth:`Session.request`.
        cancelled
            Asked before each click; if true, the work is given up.

        Returns
        -------
        tuple of Prediction
            One for each click after ``request.done``, in order; empty if cancelled.
        """
        previous = request.done[-1] if request.done else None
        found: list[Prediction] = []
        for number in range(len(request.done) + 1, len(request.clicks) + 1):
            if cancelled is not None and cancelled():
                return ()
            clicks = request.clicks[:number]
            previous = self.step(request.prepared, clicks, previous, request.view)
            found.append(previous)
        return tuple(found)

    def step(
        self,
        prepared: PreparedImage,
        clicks: Sequence[Click],
        previous: Prediction | None = None,
        view: Box | None = None,
    ) -> Prediction:
        """Predict after one more click: a pure function of its arguments.

        Parameters
        ----------
        prepared
            The image.
        clicks
            All clicks so far, the new one last.
        previous
            The prediction of the click before; ``None`` for the first click.
        view
            What the network sees while there is no mask to zoom to; ``None`` for
            the whole image. It grows to hold every positive click.

        Raises
        ------
        InputError
            If there is no click, one is outside the image, or the image has NaN
            values in the region of interest.
        GPCISError
            If the model returns NaN.
        """
        checked = check_clicks(clicks, prepared.shape)
        if not checked:
            msg = "clicks must hold at least one click, got none"
            raise InputError(msg)
        roi = self._region(prepared.shape, checked, previous, view)
        return Prediction(
            shape=prepared.shape,
            roi=roi,
            clicks=checked,
            threshold=self.info.inference.mask_threshold,
            maps=self._infer(prepared, roi, checked, previous),
            half_pixel=self.info.inference.antialias,
        )

    def _region(
        self,
        shape: tuple[int, int],
        clicks: tuple[Click, ...],
        previous: Prediction | None,
        view: Box | None,
    ) -> Box:
        """Return the region of interest, see the notes of the class."""
        settings = self.info.inference
        extent = None if previous is None else previous.extent(settings.crop_threshold)
        if extent is None:
            seen = whole_image(shape) if view is None else clip_box(view, shape)
            return around_clicks(seen, clicks)
        return target_box(around_clicks(extent, clicks), shape, settings.expansion)

    def _infer(
        self,
        prepared: PreparedImage,
        roi: Box,
        clicks: tuple[Click, ...],
        previous: Prediction | None,
    ) -> GridMaps:
        """Run the network on the region of interest."""
        import torch  # heavy: only when a model is in use

        size, half_pixel = self.info.inference.infer_size, self.info.inference.antialias
        seen = network_clicks(clicks, roi, size, half_pixel=half_pixel)
        with torch.inference_mode(), self._lock:
            if previous is None:
                before = torch.zeros(1, size, size)
            else:
                before = to_network(previous, roi, size, half_pixel=half_pixel)
            scores, variance = self._model.predict(
                self._encoded(prepared, roi),
                points_tensor(seen).to(self._device),
                before[None].to(self._device),
                variance=True,
            )
            return _grid_maps(scores, variance)

    def _encoded(self, prepared: PreparedImage, roi: Box) -> Any:
        """Encode a crop, or find it among the last ones. The lock is held."""
        key = prepared.token, roi
        if key not in self._encodings:
            settings = self.info.inference
            channels = to_network(
                prepared, roi, settings.infer_size, half_pixel=settings.antialias
            )
            rgb = to_rgb(channels)[None].to(self._device)
            self._encodings[key] = self._model.encode(rgb)
        self._encodings.move_to_end(key)
        while len(self._encodings) > KEPT_ENCODINGS:
            self._encodings.popitem(last=False)
        return self._encodings[key]


def _grid_maps(scores: Any, variance: Tensor | None) -> GridMaps:
    """Bring the answer of the model to NumPy."""
    maps = (scores.logits.sigmoid(), scores.prior, scores.update, variance)
    arrays = [np.array(m[0, 0].cpu(), np.float32) for m in maps if m is not None]
    if len(arrays) < len(maps) or not all(np.isfinite(a).all() for a in arrays):
        msg = (
            "the model did not return finite scores and variances; its weights "
            "are damaged or were trained badly"
        )
        raise GPCISError(msg)
    return GridMaps(*arrays)


def _find_device(name: str) -> str:
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
