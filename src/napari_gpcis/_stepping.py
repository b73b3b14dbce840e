"""One click further: the two pure functions of a segmenter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_gpcis._region import region
from napari_gpcis.errors import InputError
from napari_gpcis.geometry import check_clicks, clip_box, whole_image
from napari_gpcis.inference.prediction import Pass, Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_gpcis.checkpoints import ModelInfo
    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Box
    from napari_gpcis.inference.engine import Engine
    from napari_gpcis.inference.image import PreparedImage
    from napari_gpcis.inference.prediction import GridMaps


class Stepper:
    """From an image and clicks to predictions; see `Segmenter`."""

    def __init__(self, info: ModelInfo, engine: Engine) -> None:
        self._info = info
        self._engine = engine

    @property
    def info(self) -> ModelInfo:
        """What the model is and how it is run."""
        return self._info

    @property
    def device(self) -> str:
        """Where the model runs."""
        return self._engine.device

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
        roi = region(prepared.shape, checked, previous, view, self.info.inference)
        maps, seen = self._engine.infer(prepared, roi, checked, previous)
        return self._prediction(prepared, checked, maps, seen)

    def preview(
        self,
        prepared: PreparedImage,
        click: Click,
        previous: Prediction | None = None,
        view: Box | None = None,
    ) -> Prediction:
        """Predict what one more click would give, from the Gaussian process alone.

        The features of the pass of the network that made ``previous`` are conditioned
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

        Returns
        -------
        Prediction
            On the roi of ``previous`` or the view. It has the clicks of ``previous``
            and the new one, and may be given as ``previous`` to `preview`.

        Raises
        ------
        InputError
            If the click is outside the image, or the image has NaN values in the
            region of interest.
        GPCISError
            If the model returns NaN.

        Notes
        -----
        It waits for another thread's `step` only if features have to be made.
        """
        earlier = () if previous is None else previous.clicks
        clicks = check_clicks((*earlier, click), prepared.shape)
        key = None
        if previous is None:
            shape = prepared.shape
            roi = whole_image(shape) if view is None else clip_box(view, shape)
            seen, key = Pass(roi), roi
        else:
            seen = previous.seen or Pass(previous.roi, previous.clicks)
        maps = self._engine.reconsider(prepared, seen, clicks, key)
        return self._prediction(prepared, clicks, maps, seen)

    def _prediction(
        self,
        prepared: PreparedImage,
        clicks: tuple[Click, ...],
        maps: GridMaps,
        seen: Pass,
    ) -> Prediction:
        settings = self.info.inference
        return Prediction(
            shape=prepared.shape,
            roi=seen.roi,
            clicks=clicks,
            threshold=settings.mask_threshold,
            maps=maps,
            half_pixel=settings.antialias,
            seen=seen,
        )
