"""Proposals without weights of their own: what another kernel or threshold gives.

The features of the last pass of the network are conditioned on the same clicks with
longer and shorter length-scales of the deep kernel: a short one keeps a click to what
looks like its very place (a part), a long one spreads it to all that is like it (a
group). And the probability is cut at other thresholds. Every proposal is a
:class:`.Prediction` and obeys every click, as the mask itself does.

Their order is always the same, so that a person can learn it: a larger mask and a
smaller one come first. On clicks anywhere inside garments and persons, cells and nuclei
these two were right more often, where the mask itself was wrong, than the mask with the
best expected IoU.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from napari_gpcis.inference.image import PreparedImage
    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.inference.segmenter import Segmenter

LENGTH_SCALES = (0.5, 2.0, 4.0)
"""Factors on the length-scales of the deep kernel."""
LOW, HIGH = 0.2, 0.8
"""Thresholds of a larger and a smaller mask."""


def propose(
    segmenter: Segmenter, prepared: PreparedImage, prediction: Prediction
) -> list[Prediction]:
    """Return other answers to the clicks of a prediction.

    Parameters
    ----------
    segmenter
        The model that made it.
    prepared
        The image.
    prediction
        The mask that is there, with at least one click. One that no network made, such
        as a mask that is refined, has no other answers.

    Returns
    -------
    list of Prediction
        Without the prediction itself: the low threshold, half the length-scale, twice,
        the high threshold, four times. Some may be as good as equal. One that leaves
        nothing but the clicks themselves is left out.

    Raises
    ------
    InputError
        If there is no click.
    """
    if not prediction.clicks:
        msg = "alternatives need at least one click, got none"
        raise InputError(msg)
    if prediction.seen is None:
        return []
    scaled = [
        replace(
            one,
            threshold=prediction.threshold,
            tidy=prediction.tidy,
            kept=prediction.kept,
        )
        for one in segmenter.rescaled(prepared, prediction, LENGTH_SCALES)
    ]  # none of a model without a kernel
    low, high = prediction.with_threshold(LOW), prediction.with_threshold(HIGH)
    ordered = low, *scaled[:2], high, *scaled[2:]
    return [one for one in ordered if one.extent(one.threshold) is not None]
