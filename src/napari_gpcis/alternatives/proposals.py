"""Proposals: what was learned for a model, or what another kernel or threshold gives.

A model may have a head that learned what else clicks mean, see
:class:`napari_gpcis.model.ProposalHead`. Its proposals are larger and smaller in turn;
each is conditioned on the clicks.

Of other models the features of the last pass of the network are conditioned on the same
clicks with longer and shorter length-scales of the deep kernel: a short one keeps a
click to what looks like its very place (a part), a long one spreads it to all that is
like it (a group). And the probability is cut at other thresholds.

Every proposal is a :class:`.Prediction` and obeys every click, as the mask itself does.
Their order is always the same, so that a person can learn it: a larger mask and a
smaller one come first. On clicks anywhere inside garments and persons, cells and nuclei
these two were right more often, where the mask itself was wrong, than the mask with the
best expected IoU.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

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
) -> list[Prediction | None]:
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
        One for each slot, without the prediction itself. Learned ones in the order of
        their kinds; otherwise the low threshold, half the length-scale, twice, the high
        threshold, four times. Some may be as good as equal. ``None`` stands for one
        that leaves nothing but the clicks themselves.

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
    learned = segmenter.propose(prepared, prediction)
    ordered = [_cut_like(prediction, one) for one in learned]
    if not learned:
        ordered = _without_weights(segmenter, prepared, prediction)
    return [one if _shows_more(one) else None for one in ordered]


def _shows_more(prediction: Prediction) -> bool:
    """Return whether there is more than the clicks themselves.

    A mask that is larger than they can be is not looked at a second time.
    """
    top, left, bottom, right = prediction.roi
    rows, cols = prediction.maps.probability.shape
    reach = math.ceil((bottom - top) / rows / 2), math.ceil((right - left) / cols / 2)
    forced = len(prediction.clicks) * (2 * reach[0] + 1) * (2 * reach[1] + 1)
    if np.count_nonzero(prediction.trimmed[1]) > forced:
        return True
    return prediction.extent(prediction.threshold) is not None


def _without_weights(
    segmenter: Segmenter, prepared: PreparedImage, prediction: Prediction
) -> list[Prediction]:
    """Return what other length-scales and thresholds give."""
    # none of a model without a kernel
    scaled = [
        _cut_like(prediction, one)
        for one in segmenter.rescaled(prepared, prediction, LENGTH_SCALES)
    ]
    low, high = prediction.with_threshold(LOW), prediction.with_threshold(HIGH)
    return [low, *scaled[:2], high, *scaled[2:]]


def _cut_like(prediction: Prediction, other: Prediction) -> Prediction:
    """Return an answer of a model with the threshold and tidying of another."""
    return replace(
        other,
        threshold=prediction.threshold,
        tidy=prediction.tidy,
        kept=prediction.kept,
    )
