"""Selection among proposals: distinct ones, preferred slots first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_gpcis.alternatives.proposals import propose
from napari_gpcis.errors import InputError
from napari_gpcis.geometry import iou
from napari_gpcis.inference.segmenter import Request
from napari_gpcis.inference.tidy import DEFAULT_TIDY
from napari_gpcis.next_click import expected_agreement, expected_iou

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Box, Mask
    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.inference.segmenter import Segmenter
    from napari_gpcis.inference.tidy import Tidy

LIMIT = 6
"""Alternatives, by default, the mask itself among them."""
SAME = 0.9
"""Masks of a larger IoU count as the same."""


@dataclass(frozen=True, eq=False)
class Alternative:
    """A mask that the clicks may mean; it obeys all of them.

    Attributes
    ----------
    prediction
        The mask with its maps.
    score
        The IoU with the object meant that the model expects, in [0, 1].
    slot
        Where the model proposes it: 0 is the mask itself, 1 the first of `propose`.
        Of all objects the masks of one slot are of one kind.
    """

    prediction: Prediction
    score: float
    slot: int = 0

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The object, bool, shape (H, W)."""
        return self.prediction.mask

    @property
    def probability(self) -> NDArray[np.float32]:
        """Probability of the object, float32, shape (H, W); 0 outside the region."""
        return self.prediction.probability

    @property
    def trimmed(self) -> tuple[Box, Mask]:
        """The smallest box around the mask, and the mask on it."""
        return self.prediction.trimmed

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(np.count_nonzero(self.trimmed[1]))


def alternatives(
    segmenter: Segmenter,
    image: ArrayLike,
    clicks: Iterable[Click],
    limit: int = LIMIT,
    *,
    view: Box | None = None,
    contrast: Sequence[float] | None = None,
    channels: int | Sequence[int] | None = None,
    tidy: Tidy | None = DEFAULT_TIDY,
) -> tuple[Alternative, ...]:
    """Segment one object, and return what else the same clicks may mean.

    Parameters
    ----------
    segmenter
        The model.
    image, clicks, view, contrast, channels, tidy
        See :meth:`.Segmenter.predict`.
    limit
        At most so many, the mask itself among them.

    Returns
    -------
    tuple of Alternative
        The mask itself first, then the others in the order of `propose`.

    Raises
    ------
    InputError
        If an argument cannot be used.
    """
    asked = tuple(clicks)
    if not asked:
        msg = "clicks must hold at least one click, got none"
        raise InputError(msg)
    prepared = segmenter.prepare(image, contrast, channels)
    prediction = segmenter.run(Request(prepared, asked, view=view))[-1]
    prediction = prediction.with_tidy(tidy)
    return select(prediction, propose(segmenter, prepared, prediction), limit)


def select(
    prediction: Prediction,
    proposals: Sequence[Prediction | None],
    limit: int = LIMIT,
    preferred: Sequence[int] = (),
) -> tuple[Alternative, ...]:
    """Return a mask and those of its proposals that differ.

    Parameters
    ----------
    prediction
        The mask that is there; it stays the first.
    proposals
        Other answers to the same clicks, from `propose`.
    limit
        At most so many, the mask itself among them.
    preferred
        Slots that come before the others, from `Choices.preferred`.

    Returns
    -------
    tuple of Alternative
        The mask itself, the preferred slots, then the others in their order. No two of
        them have an IoU above `SAME`; of such, the earlier one is kept. Empty masks are
        left out, but for the first.

    Raises
    ------
    InputError
        If the limit is below 1.
    """
    if limit < 1:
        msg = f"limit must be at least 1, got {limit}"
        raise InputError(msg)
    usual = prediction.threshold
    kept = [Alternative(prediction, score(prediction, usual))]
    slots = {
        slot: one for slot, one in enumerate(proposals, start=1) if one is not None
    }
    for slot in dict.fromkeys([*preferred, *slots]):
        if len(kept) == limit:
            break
        if slot not in slots:
            continue
        one = Alternative(slots[slot], score(slots[slot], usual), slot)
        if one.area and all(_iou(one, other) <= SAME for other in kept):
            kept.append(one)
    return tuple(kept)


def score(prediction: Prediction, threshold: float) -> float:
    """Return the IoU with the object meant that the model expects.

    A quality head rates the mask at one threshold. For a mask that is cut at another
    one its rating is scaled as the expectation of the probability is.

    Parameters
    ----------
    prediction
        The mask.
    threshold
        The one that a quality belongs to.
    """
    rated = expected_agreement(prediction)
    if prediction.quality is None or prediction.threshold == threshold:
        return rated
    expected = expected_iou(prediction)
    usual = expected_iou(prediction.with_threshold(threshold))
    return min(1.0, rated * expected / usual) if usual else expected


def _iou(one: Alternative, other: Alternative) -> float:
    """Return the intersection over union of two masks."""
    (box, mask), (other_box, other_mask) = one.trimmed, other.trimmed
    return iou(mask, box, other_mask, other_box)
