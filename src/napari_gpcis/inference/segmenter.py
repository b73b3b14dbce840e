"""The segmenter: a model with its settings, from an image and clicks to a mask."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_gpcis.checkpoints.registry import DEFAULT_MODEL
from napari_gpcis.errors import InputError
from napari_gpcis.geometry import Box, check_clicks, clip_box, whole_image
from napari_gpcis.inference.backends import accelerated, check_backend, chosen_backend
from napari_gpcis.inference.image import PreparedImage, prepare_image
from napari_gpcis.inference.prediction import NetworkInput, Prediction
from napari_gpcis.inference.region import (
    closer_frames,
    fill,
    longer_side,
    network_size,
    reaches_beyond,
    region,
)
from napari_gpcis.inference.tidy import DEFAULT_TIDY

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import ArrayLike

    from napari_gpcis.checkpoints import ModelInfo
    from napari_gpcis.clicks import Click
    from napari_gpcis.inference.backends import Backend
    from napari_gpcis.inference.engine import Answer, ClickModel, FrameFeatures
    from napari_gpcis.inference.start_mask import StartMask
    from napari_gpcis.inference.tidy import Tidy
    from napari_gpcis.model.proposal_head import ProposalHead

__all__ = ["Box", "PreparedImage", "Request", "Segmenter"]

GOOD = 0.82
"""No closer frame is tried if the expected IoU is so high.

One that is `CLEARLY` better was in none of 1,041 first clicks on 14 data sets (at most
0.897), so that nothing is lost.
"""
CLEARLY = 0.08
"""A closer frame is taken if its expected IoU is so much better."""
ALL = 0.9
"""A mask whose box is so long, as a share of what is seen, takes all of it."""
MINIFIED = 4.0
"""From so many data pixels per network pixel on, what is meant may be too small to see.

A mask that takes all of the view is then no better than another.
"""


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
    exact
        Run the model as it is (the default here). ``False``: a faster form of it runs
        on a CPU; do not change the model any more then.
    backend
        What runs that form: ``"openvino"`` (extra ``fast``), ``"torch"``, or
        ``"auto"`` for the first of these that is installed, unless the environment
        variable ``NAPARI_GPCIS_BACKEND`` names one.
    proposals
        What proposes other masks, trained on the features of this model; ``None``:
        nothing does.

    Raises
    ------
    InputError
        If the device or the backend is unknown or not there.

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

    A model with ``frames="stay"`` sees a *frame* that stays while the object fits into
    it and fills enough of it, so that the image is encoded once for many clicks. For a
    first click it may try closer frames than the view; after many clicks it may see
    the frame with more network pixels (``fine_size``).
    """

    def __init__(
        self,
        model: ClickModel,
        info: ModelInfo,
        device: str = "cpu",
        *,
        exact: bool = True,
        backend: Backend = "auto",
        proposals: ProposalHead | None = None,
    ) -> None:
        from napari_gpcis.inference.engine import (  # heavy: imports PyTorch
            Engine,
            find_device,
        )

        found = find_device(device)
        fast = not exact and found == "cpu"
        asked = chosen_backend(backend) if fast else backend
        check_backend(asked, found, exact=exact)
        chosen = accelerated(model, asked) if fast else model
        self._info = info
        self._engine = Engine(chosen, info.inference, found)
        self._proposals = None if proposals is None else proposals.folded().to(found)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str] = DEFAULT_MODEL,
        device: str = "auto",
        *,
        exact: bool = False,
        backend: Backend = "auto",
    ) -> Segmenter:
        """Load a model by name, or from a ``.safetensors`` file.

        A published model that is not here is downloaded (see `list_models`).

        Parameters
        ----------
        name_or_path, device
            Which model, and where it runs, see `Segmenter`.
        exact
            Run it as published, by PyTorch in float32. By default a CPU runs it in a
            faster form.
        backend
            What runs that form, see `Segmenter`.

        Raises
        ------
        UnknownModelError
            If no model has that name.
        CheckpointError
            If the file is missing, damaged or of another kind; its subclass
            `DownloadError` if the model cannot be downloaded.
        InputError
            If the device or the backend is unknown or not there.
        """
        from napari_gpcis.checkpoints import load_checkpoint
        from napari_gpcis.checkpoints.proposals import matching_proposals

        model, info = load_checkpoint(name_or_path)
        proposals = matching_proposals(name_or_path, info)
        return cls(
            model, info, device, exact=exact, backend=backend, proposals=proposals
        )

    @property
    def info(self) -> ModelInfo:
        """Identity of the model, with its inference settings."""
        return self._info

    @property
    def device(self) -> str:
        """Device on which the model runs."""
        return self._engine.device

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
        clicks: Iterable[Click] | Click,
        *,
        view: Sequence[float] | None = None,
        contrast: Sequence[float] | None = None,
        channels: int | Sequence[int] | None = None,
        tidy: Tidy | None = DEFAULT_TIDY,
    ) -> Prediction:
        """Segment one object; the clicks are replayed in order.

        Parameters
        ----------
        image, contrast, channels
            See :meth:`prepare`.
        clicks
            One click, or several in the order in which they were made.
        view
            Half-open box ``(row_min, col_min, row_max, col_max)`` that the first
            click is zoomed to; the whole image by default.
        tidy
            Rules by which the mask is tidied; ``None``: it is not.

        Raises
        ------
        InputError
            If an argument cannot be used.
        """
        prepared = self.prepare(image, contrast, channels)
        asked = check_clicks(clicks, prepared.shape)
        if not asked:
            msg = "clicks must hold at least one click, got none"
            raise InputError(msg)
        box = None if view is None else clip_box(view, prepared.shape)
        return self.run(Request(prepared, asked, view=box))[-1].with_tidy(tidy)

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
        previous = None if request.start is None else request.start.prediction
        if request.done:
            previous = request.done[-1]
        found: list[Prediction] = []
        for number in range(len(request.done) + 1, len(request.clicks) + 1):
            if cancelled is not None and cancelled():
                return ()
            clicks = request.clicks[:number]
            previous = self.step(
                request.prepared,
                clicks,
                previous,
                request.view,
                request.typical_size,
                exact_view=request.exact_view,
            )
            found.append(previous)
        return tuple(found)

    # -- one click -------------------------------------------------------------

    def step(
        self,
        prepared: PreparedImage,
        clicks: Sequence[Click],
        previous: Prediction | None = None,
        view: Box | None = None,
        typical_size: float | None = None,
        *,
        exact_view: bool = False,
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
        typical_size
            Diameter that the object is likely to have, in pixels; a model that tries
            closer frames for a first click tries one that suits it.
        exact_view
            A first click is seen in its view alone: no closer frame is tried.

        Raises
        ------
        InputError
            If there is no click, or one is outside the image.
        GPCISError
            If the model returns NaN.
        """
        checked = check_clicks(clicks, prepared.shape)
        if not checked:
            msg = "clicks must hold at least one click, got none"
            raise InputError(msg)
        roi = region(prepared.shape, checked, previous, view, self.info.inference)
        found = self._infer(prepared, roi, checked, previous)
        if len(checked) == 1 and previous is None and not exact_view:
            return self._closer(prepared, found, typical_size)
        return found

    def encode(self, prepared: PreparedImage, view: Box | None = None) -> None:
        """Encode a view ahead of its first click, which then takes less time.

        Parameters
        ----------
        prepared
            The image.
        view
            See :meth:`step`.

        Raises
        ------
        InputError
            If the image has NaN values there.
        """
        shape = prepared.shape
        roi = whole_image(shape) if view is None else clip_box(view, shape)
        self._engine.encode(prepared, roi)

    def first_frames(
        self,
        shape: tuple[int, int],
        click: Click,
        view: Box | None = None,
        typical_size: float | None = None,
    ) -> list[Box]:
        """Return what a first click may be seen in, in the order in which it is tried.

        Parameters
        ----------
        shape
            Height and width of the image.
        click
            The first click.
        view, typical_size
            See :meth:`step`.

        Returns
        -------
        list of Box
            The view, then closer frames; these are for `encode` as well.

        Raises
        ------
        InputError
            If the click is outside the image.
        """
        settings, clicks = self.info.inference, check_clicks(click, shape)
        first = region(shape, clicks, None, view, settings)
        if settings.frames == "zoom":
            return [first]
        return [first, *closer_frames(shape, click, first, settings, typical_size)]

    def encode_finer(self, prepared: PreparedImage, prediction: Prediction) -> bool:
        """Encode ahead what the next click sees, if it sees more pixels than the last.

        That is so once, after ``fine_clicks - 1`` clicks, of a model whose network
        input is then larger: this click would take several times as long as others.

        Parameters
        ----------
        prepared
            The image.
        prediction
            The prediction of the clicks so far.

        Returns
        -------
        bool
            ``False`` if the next click sees as many pixels as the last: nothing is
            encoded.

        Raises
        ------
        InputError
            If the image has NaN values there.
        """
        clicks, settings = prediction.clicks, self.info.inference
        if len(clicks) + 1 != settings.fine_clicks:
            return False
        roi = region(prepared.shape, clicks, prediction, prediction.roi, settings)
        size = network_size(roi, (*clicks, clicks[-1]), settings)
        if size == settings.infer_size:
            return False
        self._engine.encode(prepared, roi, size)
        return True

    def features(self, prepared: PreparedImage, frame: Box) -> FrameFeatures:
        """Return features of a frame that no click has changed.

        The encoding is kept, and is that of clicks whose view is this frame.

        Parameters
        ----------
        prepared
            The image.
        frame
            Half-open box ``(row_min, col_min, row_max, col_max)``.

        Raises
        ------
        InputError
            If no pixel of the frame is inside the image, or it has NaN values there.
        """
        return self._engine.features(prepared, clip_box(frame, prepared.shape, "frame"))

    def _infer(
        self,
        prepared: PreparedImage,
        roi: Box,
        clicks: tuple[Click, ...],
        previous: Prediction | None,
    ) -> Prediction:
        """Run the network on a region of interest."""
        size = network_size(roi, clicks, self.info.inference)
        answer, network_input = self._engine.infer(
            prepared, roi, clicks, previous, size
        )
        return self._prediction(prepared, clicks, answer, network_input)

    def _closer(
        self, prepared: PreparedImage, found: Prediction, size: float | None
    ) -> Prediction:
        """Return the best answer to a first click, of its view and closer frames.

        An answer that may go on beyond a closer frame is not taken. The view is good
        enough if its answer is expected to be; a closer frame has to be clearly better,
        unless the answer takes all of a view that is far away.
        """
        settings, shape = self.info.inference, prepared.shape
        if settings.frames == "zoom" or found.quality is None:
            return found
        best, (click,) = found, found.clicks
        for frame in closer_frames(shape, click, found.roi, settings, size):
            if (best.quality or 0.0) >= GOOD:
                break
            tried = self._infer(prepared, frame, found.clicks, None)
            extent = tried.extent(settings.crop_threshold)
            if extent is None or reaches_beyond(extent, frame, shape):
                continue
            least = 0.0 if self._takes_all(best) else CLEARLY
            if (tried.quality or 0.0) > (best.quality or 0.0) + least:
                best = tried
        return best

    def _takes_all(self, found: Prediction) -> bool:
        """Return whether an answer takes all of a frame that is far away."""
        settings = self.info.inference
        if longer_side(found.roi) < MINIFIED * settings.infer_size:
            return False
        extent = found.extent(settings.crop_threshold)
        return extent is not None and fill(extent, found.roi) >= ALL

    def preview(
        self,
        prepared: PreparedImage,
        click: Click,
        previous: Prediction | None = None,
        view: Box | None = None,
        typical_size: float | None = None,
    ) -> Prediction:
        """Predict what one more click would give.

        A model whose frames stay gives the very prediction of `step`: its click tower
        is fast enough. Of other models the Gaussian process alone answers. The
        features of the pass of the network that made ``previous`` are conditioned
        on its clicks and the new one: one more kernel column and Cholesky row, and no
        pass of the network. Without ``previous``, they are those of the view without
        any click. The features are kept for a few predictions and views; the first
        preview of another one makes them anew, which takes as long as a click.

        Parameters
        ----------
        prepared
            The image.
        click
            The click to try. Outside the region of interest, which does not follow
            it, it has no effect.
        previous
            The prediction of the click before, or a preview; ``None`` if there is
            none.
        view
            What the first click is zoomed to, used without ``previous`` only;
            ``None`` for the whole image.
        typical_size
            See `step`.

        Returns
        -------
        Prediction
            On the roi of ``previous`` or the view. It has the clicks of ``previous``
            and the new one, and may be given as ``previous`` to `preview`.

        Raises
        ------
        InputError
            If the click is outside the image.
        GPCISError
            If the model returns NaN.

        Notes
        -----
        It waits for another thread's `step` only if features have to be made.
        """
        earlier = () if previous is None else previous.clicks
        if self.info.inference.frames == "stay":
            return self.step(prepared, (*earlier, click), previous, view, typical_size)
        clicks = check_clicks((*earlier, click), prepared.shape)
        key = None
        if previous is None:
            shape = prepared.shape
            roi = whole_image(shape) if view is None else clip_box(view, shape)
            network_input, key = NetworkInput(roi), roi
        else:
            network_input = previous.seen or NetworkInput(previous.roi, previous.clicks)
        answer = self._engine.recondition(prepared, network_input, clicks, key)
        return self._prediction(prepared, clicks, answer, network_input)

    def rescaled(
        self,
        prepared: PreparedImage,
        prediction: Prediction,
        factors: Sequence[float],
    ) -> list[Prediction]:
        """Predict from the same clicks under other length-scales of the deep kernel.

        The features of the pass of the network that made the prediction are
        conditioned anew: no pass of the network, unless they are no longer kept.

        Parameters
        ----------
        prepared
            The image.
        prediction
            The prediction, made by a network.
        factors
            By which the length-scales are multiplied, each above 0.

        Returns
        -------
        list of Prediction
            One for each factor; none of a model without a Gaussian process.

        Raises
        ------
        InputError
            If a factor is not above 0, or no network made the prediction.
        GPCISError
            If the model returns NaN.
        """
        if not all(factor > 0 and math.isfinite(factor) for factor in factors):
            msg = f"factors must be numbers above 0, got {list(factors)}"
            raise InputError(msg)
        if prediction.seen is None:
            msg = "a mask that no network made has no features to condition anew"
            raise InputError(msg)
        answers = self._engine.rescale(
            prepared, prediction.seen, prediction.clicks, factors
        )
        return [
            self._prediction(prepared, prediction.clicks, answer, prediction.seen)
            for answer in answers
        ]

    def propose(
        self, prepared: PreparedImage, prediction: Prediction
    ) -> list[Prediction]:
        """Predict other masks for the same clicks, by what was learned of them.

        Like `rescaled`, it needs no pass of the network if its features are kept.

        Parameters
        ----------
        prepared
            The image.
        prediction
            The prediction, made by a network.

        Returns
        -------
        list of Prediction
            One for each kind of proposal, always in the same order; each has the
            value of the prediction at the clicks, on the network's grid. None if
            nothing was learned for this model.

        Raises
        ------
        InputError
            If no network made the prediction.
        GPCISError
            If the network returns NaN.
        """
        if prediction.seen is None:
            msg = "a mask that no network made has no features for other masks"
            raise InputError(msg)
        if self._proposals is None:
            return []
        answers = self._engine.propose(
            prepared, prediction.seen, prediction.clicks, self._proposals
        )
        return [
            self._prediction(
                prepared,
                prediction.clicks,
                answer._replace(quality=_risen(prediction.quality, answer.quality)),
                prediction.seen,
            )
            for answer in answers
        ]

    def _prediction(
        self,
        prepared: PreparedImage,
        clicks: tuple[Click, ...],
        answer: Answer,
        network_input: NetworkInput,
    ) -> Prediction:
        """Return the prediction of an answer."""
        settings = self.info.inference
        return Prediction(
            shape=prepared.shape,
            roi=network_input.roi,
            clicks=clicks,
            threshold=settings.mask_threshold,
            maps=answer.maps,
            half_pixel=settings.antialias,
            seen=network_input,
            quality=answer.quality,
        )


def _risen(quality: float | None, gain: float | None) -> float | None:
    """Return a quality whose odds are changed by those of a gain.

    Parameters
    ----------
    quality
        Of the mask itself; ``None``: not known, the gain stands alone.
    gain
        0.5 for a mask as good.
    """
    if quality is None or gain is None:
        return gain
    better, worse = quality * gain, (1 - quality) * (1 - gain)
    return better / (better + worse) if better + worse > 0 else quality


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
    start
        The mask before the first click; ``None`` for none.
    typical_size
        Diameter that the object is likely to have, in pixels; ``None``: not known.
    exact_view
        Whether the first click is seen in its view alone, see `Segmenter.step`.
    """

    prepared: PreparedImage
    clicks: tuple[Click, ...]
    done: tuple[Prediction, ...] = ()
    view: Box | None = None
    start: StartMask | None = None
    typical_size: float | None = None
    exact_view: bool = False
