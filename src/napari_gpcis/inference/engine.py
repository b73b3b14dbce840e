"""Engine: a model on its device, with its caches and mirror averaging."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    NamedTuple,
    Protocol,
    TypeVar,
    runtime_checkable,
)

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d, interpolate, normalize

from napari_gpcis.clicks import points_tensor
from napari_gpcis.errors import GPCISError, InputError
from napari_gpcis.geometry import network_clicks
from napari_gpcis.inference.image import to_rgb
from napari_gpcis.inference.prediction import GridMaps, NetworkInput
from napari_gpcis.inference.resampling import (
    mask_to_network,
    there_and_back,
    to_network,
)
from napari_gpcis.model.base import Encoded
from napari_gpcis.model.grid import GPScores

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from torch import Tensor

    from napari_gpcis.checkpoints import InferenceSettings
    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Box
    from napari_gpcis.inference.image import PreparedImage
    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.inference.resampling import Floats
    from napari_gpcis.model.click_posterior import Proposals
    from napari_gpcis.model.proposal_head import ProposalHead

KEPT_ENCODINGS = 4
"""Encoded crops that a segmenter keeps."""
KEPT_FRAMES = 16
"""Encoded frames that a segmenter keeps whose frames stay: they are small."""
FEATURE_STRIDE = 4
"""Network pixels per cell of the features without clicks."""
KEPT_POSTERIORS = 3
"""Network inputs whose features a segmenter keeps."""


class Engine:
    """A model on its device, shareable between threads.

    Parameters
    ----------
    model
        Switched to evaluation, with the ``epsilon2`` and ``gp_stride`` of `settings`.
    settings
        How the model is run.
    device
        A name PyTorch knows, see `find_device`.
    """

    def __init__(
        self, model: ClickModel, settings: InferenceSettings, device: str
    ) -> None:
        self.device = device
        self._model = model
        self._size, self._half_pixel = settings.infer_size, settings.antialias
        self._mirror = settings.mirror
        self._temperature = settings.temperature
        model.to(self.device)
        model.eval()
        model.epsilon2 = settings.epsilon2
        model.gp_stride = settings.gp_stride
        kept = KEPT_FRAMES if settings.frames == "stay" else KEPT_ENCODINGS
        self._encodings: LRUCache[tuple[Any, ...]] = LRUCache(kept)
        self._posteriors: LRUCache[Posterior] = LRUCache(KEPT_POSTERIORS)
        self._lock = Lock()

    def infer(
        self,
        prepared: PreparedImage,
        roi: Box,
        clicks: tuple[Click, ...],
        previous: Prediction | None,
        size: int | None = None,
    ) -> tuple[Answer, NetworkInput]:
        """Run the network on the region of interest and condition on the clicks.

        It is resized to a square of ``size`` network pixels a side, by default
        ``infer_size``.

        Raises
        ------
        InputError
            If the image has NaN values there.
        GPCISError
            If the model returns NaN.
        """
        with torch.inference_mode(), self._lock:
            before = None
            if previous is not None:
                before = self._mask_before(previous, roi, size or self._size)
            previous_mask = None if before is None else before.numpy()
            network_input = NetworkInput(roi, clicks, previous_mask, size)
            encoded = self._encoded(prepared, network_input)
            posterior = self._posterior(encoded, network_input)
            self._posteriors.put((network_input, prepared.token), posterior)
            return self._maps(posterior, network_input, clicks), network_input

    def _mask_before(self, previous: Prediction, roi: Box, size: int) -> Tensor:
        """Return the previous mask as the network takes it, ``(1, size, size)``."""
        grid = previous.maps.probability
        if self._half_pixel and previous.roi == roi and grid.shape == (size, size):
            shape = roi[2] - roi[0], roi[3] - roi[1]
            return torch.from_numpy(there_and_back(grid, shape)[None])
        return mask_to_network(previous, roi, size, half_pixel=self._half_pixel)

    def encode(
        self, prepared: PreparedImage, roi: Box, size: int | None = None
    ) -> None:
        """Encode a region of interest ahead of its first click, and keep that.

        It is resized as by :meth:`infer`.

        Raises
        ------
        InputError
            If the image has NaN values there.
        """
        with torch.inference_mode(), self._lock:
            self._encoded(prepared, NetworkInput(roi, size=size))

    def features(self, prepared: PreparedImage, roi: Box) -> FrameFeatures:
        """Return features of a region of interest that no click has changed.

        Those are the keys of a network that has them; of others its features for no
        click and no mask; without these, the colours alone.

        Raises
        ------
        InputError
            If the image has NaN values there.
        """
        with torch.inference_mode(), self._lock:
            encoded = self._encoded(prepared, NetworkInput(roi))[0]
            deep = self._features_without_clicks(encoded)
            whole = isinstance(encoded, Encoded)
            rgb = encoded.rgb if whole else self._rgb(prepared, NetworkInput(roi))
            cells = max(1, self._size // FEATURE_STRIDE)
            colour = adaptive_avg_pool2d(rgb, (cells, cells))
            if deep is None:
                deep = rgb.new_zeros(1, 0, cells, cells)
            elif deep.shape[-1] != cells:
                deep = interpolate(deep.float(), (cells, cells), mode="bilinear")
            return FrameFeatures(_array(deep), _array(colour))

    def _features_without_clicks(self, encoded: Any) -> Tensor | None:
        """Return vectors of length 1, ``(1, c, h, w)``; ``None`` without any."""
        keys = getattr(self._model, "keys", None)
        found: Tensor | None = None if keys is None else keys(encoded)
        if found is not None or not isinstance(self._model, PosteriorModel):
            return found
        nothing = torch.full((1, 2, 3), -1.0, device=self.device)
        before = torch.zeros(1, 1, self._size, self._size, device=self.device)
        raw = self._model.features(encoded, nothing, before).float()
        return normalize(raw, dim=1)

    def recondition(
        self,
        prepared: PreparedImage,
        network_input: NetworkInput,
        clicks: tuple[Click, ...],
        key: Hashable | None = None,
    ) -> Answer:
        """Condition the features of an earlier network input on other clicks.

        The network runs only if these features are no longer kept.

        Parameters
        ----------
        prepared
            The image.
        network_input
            The input that the features were made from.
        clicks
            Clicks to condition on.
        key
            Key of the kept features; ``network_input`` itself by default.
        """
        with torch.inference_mode():
            posterior = self._kept_posterior(prepared, network_input, key)
            return self._maps(posterior, network_input, clicks)

    def rescale(
        self,
        prepared: PreparedImage,
        network_input: NetworkInput,
        clicks: tuple[Click, ...],
        factors: Sequence[float],
    ) -> list[Answer]:
        """Condition the features of a network input under other length-scales.

        Parameters
        ----------
        prepared, network_input, clicks
            See :meth:`recondition`.
        factors
            By which the length-scales of the deep kernel are multiplied. A model
            without a Gaussian process has no answers.
        """
        with torch.inference_mode():
            posterior = self._kept_posterior(prepared, network_input, None)
            if not isinstance(posterior, ScalablePosterior):
                return []
            others = [posterior.with_length_scale(factor) for factor in factors]
            return [self._maps(one, network_input, clicks) for one in others]

    def propose(
        self,
        prepared: PreparedImage,
        network_input: NetworkInput,
        clicks: tuple[Click, ...],
        head: ProposalHead,
    ) -> list[Answer]:
        """Return other answers to the clicks, by a head on the features of an input.

        Parameters
        ----------
        prepared, network_input, clicks
            See :meth:`recondition`.
        head
            Trained on this model. The quality of its answers is measured against
            that of the mask itself: 0.5 means as good. A model that also sees the
            mirror image has no answers.
        """
        with torch.inference_mode():
            posterior = self._kept_posterior(prepared, network_input, None)
            if not isinstance(posterior, ProposingPosterior):
                return []
            points = self._points(clicks, network_input)
            found = posterior.proposals(head, points)
            gains = found.ratings[1:] - found.ratings[0]
            return _answers(found.scores, found.variance, gains, self._temperature)

    def _kept_posterior(
        self,
        prepared: PreparedImage,
        network_input: NetworkInput,
        key: Hashable | None,
    ) -> Posterior:
        """Return the posterior of a network input, made anew if it is not kept."""
        place = (network_input if key is None else key, prepared.token)
        posterior = self._posteriors.get(place)
        if posterior is None:
            with self._lock:
                encoded = self._encodings.peek(self._key(prepared, network_input))
                if encoded is None:
                    encoded = self._encode(prepared, network_input)
                posterior = self._posterior(encoded, network_input)
            self._posteriors.put(place, posterior)
        return posterior

    def _maps(
        self,
        posterior: Posterior,
        network_input: NetworkInput,
        clicks: tuple[Click, ...],
    ) -> Answer:
        """Return the maps of a posterior, conditioned on the clicks."""
        points = self._points(clicks, network_input)
        scores, variance = posterior.scores(points, variance=True)
        rate = getattr(posterior, "quality", None)
        quality = None if rate is None else rate(scores)
        return _answer(scores, variance, quality, self._temperature)

    def _side(self, network_input: NetworkInput) -> int:
        """Return the side of an input, in network pixels."""
        return network_input.size or self._size

    def _key(self, prepared: PreparedImage, network_input: NetworkInput) -> Hashable:
        """Return what an encoding is kept by."""
        return prepared.token, network_input.roi, self._side(network_input)

    def _points(self, clicks: tuple[Click, ...], network_input: NetworkInput) -> Tensor:
        """Return the clicks as the network takes them."""
        roi, size = network_input.roi, self._side(network_input)
        moved = network_clicks(clicks, roi, size, half_pixel=self._half_pixel)
        return points_tensor(moved).to(self.device)

    def _posterior(
        self, encoded: tuple[Any, ...], network_input: NetworkInput
    ) -> Posterior:
        """Return the posterior of a network input. The lock must be held."""
        size = self._side(network_input)
        before = torch.zeros(1, 1, size, size, device=self.device)
        if network_input.previous is not None:
            before = torch.from_numpy(network_input.previous)[None].to(self.device)
        points = self._points(network_input.clicks, network_input)
        plain = self._single_posterior(encoded[0], points, before)
        if not self._mirror:
            return plain
        there = mirrored_points(points, size)
        mirror = self._single_posterior(encoded[1], there, before.flip(-1))
        return MirroredPosterior(plain, mirror, size)

    def _single_posterior(
        self, encoded: Any, points: Tensor, before: Tensor
    ) -> Posterior:
        """Return the posterior of one encoding, without its mirror image."""
        if not isinstance(self._model, PosteriorModel):
            return _RerunPosterior(self._model, encoded, before)
        raw = self._model.features(encoded, points, before)
        return self._model.click_posterior(encoded, raw)

    def _encode(
        self, prepared: PreparedImage, network_input: NetworkInput
    ) -> tuple[Any, ...]:
        """Encode a crop, and its mirror image if that is asked for."""
        rgb = self._rgb(prepared, network_input)
        views = (rgb, rgb.flip(-1)) if self._mirror else (rgb,)
        return tuple(self._model.encode(view) for view in views)

    def _rgb(self, prepared: PreparedImage, network_input: NetworkInput) -> Tensor:
        """Return a crop as the network takes it, ``(1, 3, H, W)``."""
        channels = to_network(
            prepared,
            network_input.roi,
            self._side(network_input),
            half_pixel=self._half_pixel,
        )
        rgb: Tensor = to_rgb(channels)[None].to(self.device)
        return rgb

    def _encoded(
        self, prepared: PreparedImage, network_input: NetworkInput
    ) -> tuple[Any, ...]:
        """Return the encoding of a crop. The lock must be held."""
        key = self._key(prepared, network_input)
        encoded = self._encodings.get(key)
        if encoded is None:
            encoded = self._encode(prepared, network_input)
            self._encodings.put(key, encoded)
        return encoded


class Answer(NamedTuple):
    """Answer of a model to clicks."""

    maps: GridMaps
    """Maps on the network's grid."""
    quality: float | None
    """Expected IoU of the mask, in [0, 1]; ``None`` if the model does not say."""


class FrameFeatures(NamedTuple):
    """Features of a frame that depend on its pixels alone, on a grid of cells."""

    deep: Floats
    """Vectors of length 1, float32, shape ``(c, h, w)``; ``c`` may be 0."""
    colour: Floats
    """Mean colour, normalised, float32, shape ``(3, h, w)``."""


class ClickModel(Protocol):
    """A model that a segmenter can run, such as `napari_gpcis.model.GPCIS`."""

    epsilon2: float
    gp_stride: int

    def to(self, device: Any) -> Any:
        """Move the weights to a device, in place."""

    def eval(self) -> Any:
        """Switch training behaviour off."""

    def encode(self, rgb: Tensor) -> Any:
        """Return the encoding of an image, (1, 3, H, W) in [0, 1]."""

    def predict(
        self, encoded: Any, points: Tensor, previous: Tensor, variance: bool = False
    ) -> tuple[Any, Tensor | None]:
        """Return scores (logits, prior, update) and variance, each (1, 1, H, W)."""


@runtime_checkable
class PosteriorModel(Protocol):
    """A model whose features can be conditioned on clicks other than their own."""

    def features(self, encoded: Any, points: Tensor, previous: Tensor) -> Tensor:
        """Return the features of image, clicks and previous mask."""

    def click_posterior(self, encoded: Any, raw: Tensor) -> Posterior:
        """Prepare the features to be conditioned on any clicks."""


class Posterior(Protocol):
    """Features of one network input, to be conditioned on any clicks."""

    def scores(
        self, points: Tensor, variance: bool = False
    ) -> tuple[Any, Tensor | None]:
        """Return scores (logits, prior, update) and variance, each (1, 1, H, W)."""


@runtime_checkable
class ScalablePosterior(Posterior, Protocol):
    """A posterior whose kernel may get other length-scales."""

    def with_length_scale(self, factor: float) -> Posterior:
        """Return the posterior with length-scales multiplied by a factor."""


@runtime_checkable
class ProposingPosterior(Posterior, Protocol):
    """A posterior from whose features a head proposes other masks."""

    def proposals(self, head: ProposalHead, points: Tensor) -> Proposals:
        """Return other masks for the clicks."""


class _RerunPosterior:
    """Posterior of a model that is no `PosteriorModel`: the network runs each time."""

    def __init__(self, model: ClickModel, encoded: Any, before: Tensor) -> None:
        self._arguments = model, encoded, before

    def scores(
        self, points: Tensor, variance: bool = False
    ) -> tuple[Any, Tensor | None]:
        """Return what the model predicts."""
        model, encoded, before = self._arguments
        return model.predict(encoded, points, before, variance)


class MirroredPosterior:
    """Mean of the posteriors of an image and of its mirror image.

    Logits, prior and update are the means of both. So is the variance, which is then
    at least that of the mean logit, however the two depend on each other.

    Parameters
    ----------
    plain, mirror
        The features of either.
    size
        Width of the network's input, pixels.

    References
    ----------
    .. [1] Sofiiuk et al., "Reviving iterative training with mask guidance for
       interactive segmentation", ICIP 2022.
    """

    def __init__(self, plain: Posterior, mirror: Posterior, size: int) -> None:
        self._plain, self._mirror, self._size = plain, mirror, size

    def scores(
        self, points: Tensor, variance: bool = False
    ) -> tuple[Any, Tensor | None]:
        """Return mean scores (logits, prior, update) and variance."""
        here, spread = self._plain.scores(points, variance)
        there = mirrored_points(points, self._size)
        other, other_spread = self._mirror.scores(there, variance)
        scores = GPScores(
            _mean(here.logits, other.logits),
            _mean(here.prior, other.prior),
            _mean(here.update, other.update),
        )
        if spread is None or other_spread is None:
            return scores, None
        return scores, _mean(spread, other_spread)

    def with_length_scale(self, factor: float) -> MirroredPosterior:
        """Return the mean of both posteriors with length-scales times a factor."""
        plain, mirror = (
            one.with_length_scale(factor) if isinstance(one, ScalablePosterior) else one
            for one in (self._plain, self._mirror)
        )
        return MirroredPosterior(plain, mirror, self._size)

    def quality(self, scores: Any) -> Tensor | None:
        """Return the logit of the expected IoU by the features of the plain image."""
        rate = getattr(self._plain, "quality", None)
        found: Tensor | None = None if rate is None else rate(scores)
        return found


def mirrored_points(points: Tensor, size: int) -> Tensor:
    """Move clicks to where they lie on the mirror image.

    Parameters
    ----------
    points
        Rows ``(row, column, order)``, shape ``(1, 2 N, 3)``; unused ones are -1.
    size
        Width of the network's input, pixels.
    """
    moved = points.clone()
    used = points[..., 2] >= 0
    moved[..., 1] = torch.where(used, size - 1 - points[..., 1], points[..., 1])
    return moved


def _mean(plain: Tensor, mirror: Tensor) -> Tensor:
    """Return the mean of two maps, the second with left and right swapped."""
    return (plain + mirror.flip(-1)) / 2


def _answer(
    scores: Any, variance: Tensor | None, quality: Tensor | None, temperature: float
) -> Answer:
    """Return the scores of a model for one image as NumPy arrays."""
    return _answers(scores, variance, quality, temperature)[0]


def _answers(
    scores: Any, variance: Tensor | None, qualities: Tensor | None, temperature: float
) -> list[Answer]:
    """Return the scores of ``K`` masks of an image, which share their variance."""
    logits = scores.logits
    probable = (logits if temperature == 1 else logits / temperature).sigmoid()
    arrays = [probable[:, 0].float().cpu().numpy()]  # of nobody else
    maps = (scores.prior, scores.update, variance)
    arrays += [m[:, 0].float().cpu().numpy().copy() for m in maps if m is not None]
    if len(arrays) < 4 or not all(np.isfinite(a).all() for a in arrays):
        msg = (
            "the model did not return finite scores and variances; its weights "
            "are damaged or were trained badly"
        )
        raise GPCISError(msg)
    probabilities, priors, updates, (spread,) = arrays
    rated: list[float | None] = [None] * len(probable)
    if qualities is not None:
        rated = list(qualities.float().sigmoid().tolist())
    return [
        Answer(GridMaps(probability, prior, update, spread), quality)
        for probability, prior, update, quality in zip(
            probabilities, priors, updates, rated, strict=True
        )
    ]


def _array(maps: Tensor) -> Floats:
    """Return the maps of one image as a NumPy array of its own."""
    return maps[0].float().cpu().numpy().copy()


def find_device(name: str) -> str:
    """Return the device to use, after a trial.

    Parameters
    ----------
    name
        ``"auto"`` (CUDA, else MPS, else CPU) or a name PyTorch knows.

    Raises
    ------
    InputError
        If PyTorch cannot use that device.
    """
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


T = TypeVar("T")


class LRUCache(Generic[T]):
    """Thread-safe LRU cache.

    Parameters
    ----------
    limit
        Number of values kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> T | None:
        """Return a value or ``None``; counts as a use."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def peek(self, key: Hashable) -> T | None:
        """Return a value or ``None``; does not count as a use."""
        with self._lock:
            return self._values.get(key)

    def put(self, key: Hashable, value: T) -> None:
        """Keep a value; the least recently used one beyond the limit goes."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._limit:
                self._values.popitem(last=False)
