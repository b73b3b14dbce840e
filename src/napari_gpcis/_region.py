"""The region of interest: what the network sees of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_gpcis.geometry import around_clicks, clip_box, target_box, whole_image

if TYPE_CHECKING:
    from napari_gpcis.checkpoints import InferenceSettings
    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Box
    from napari_gpcis.inference.prediction import Prediction


def region(
    shape: tuple[int, int],
    clicks: tuple[Click, ...],
    previous: Prediction | None,
    view: Box | None,
    settings: InferenceSettings,
) -> Box:
    """Return the region of interest, see the notes of `Segmenter`.

    Parameters
    ----------
    shape
        Height and width of the image.
    clicks
        All clicks so far.
    previous
        The prediction of the click before.
    view
        What is seen while there is no mask; ``None`` for the whole image.
    settings
        How the model is run.
    """
    extent = None if previous is None else previous.extent(settings.crop_threshold)
    if extent is None:
        seen = whole_image(shape) if view is None else clip_box(view, shape)
        return around_clicks(seen, clicks)
    return target_box(around_clicks(extent, clicks), shape, settings.expansion)
