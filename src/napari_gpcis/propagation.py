"""Propagation of an object through a stack or time-lapse, plane by plane.

The mask of one plane begins the next: the network gets it as the previous mask, and
clicks are placed where it is deepest, as a user would place them. The agreement of
two planes, and the certainty of the model, tell where the user has to look.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt

from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError
from napari_gpcis.geometry import (
    EMPTY,
    box_of,
    clip_box,
    deepest_pixel,
    depth,
    iou,
    moved,
    placed,
    slices,
)
from napari_gpcis.next_click import expected_iou
from napari_gpcis.session.saved import SavedObject
from napari_gpcis.session.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import ArrayLike

    from napari_gpcis.geometry import Box, Mask
    from napari_gpcis.inference.image import PreparedImage
    from napari_gpcis.inference.segmenter import Segmenter
    from napari_gpcis.session.saved import SavedSession


__all__ = [
    "Carried",
    "PlaneResult",
    "StopRule",
    "begin",
    "carry",
    "contrast_to_noise",
    "distinctness",
    "follow",
    "inner_clicks",
    "propagate_step",
    "reason_to_stop",
]


MAX_CLICKS = 3
"""Clicks placed on one plane at most."""
_MIN_SPACING = 3.0  # a further click lies at least so many depths from the others
_MIN_DEPTH = 0.5  # and at least at this share of the greatest depth
_RING_GRID = 512  # larger surroundings are read on a coarser grid
_MIN_STD = 0.02  # of values in [0, 1]: the ratio of a flat object stays finite


@dataclass(frozen=True)
class StopRule:
    """Limits beyond which an object counts as gone.

    Attributes
    ----------
    agreement
        It is gone where the mask agrees less than this (IoU) with the plane before.
    certainty
        It is gone where the model expects less than this agreement of its own mask.
    shrink, grow
        It is gone where its area falls below, or jumps above, this multiple of the
        area on the plane before.
    area
        It is gone where it has fewer pixels.
    distinct
        It is gone where its contrast-to-noise ratio (:func:`contrast_to_noise`) is
        less than this share of that on the plane before: where there is nothing, the
        network still gets the mask of that plane.
    """

    agreement: float = 0.4
    certainty: float = 0.3
    shrink: float = 0.25
    grow: float = 3.0
    area: int = 9
    distinct: float = 0.3


@dataclass(frozen=True, eq=False)
class PlaneResult:
    """Mask of an object on one plane, with agreement, certainty and contrast.

    Attributes
    ----------
    box, mask
        Half-open box of the plane, and the mask on it; both empty if there is none.
    clicks
        The clicks that were placed.
    agreement
        IoU with the mask that it began with.
    certainty
        Agreement with the object that the model expects, see
        :func:`~napari_gpcis.next_click.expected_iou`.
    distinct
        Contrast-to-noise ratio to its surroundings, see :func:`contrast_to_noise`.
    saved
        The clicks and the mask that it began with, as they are saved; ``None`` where
        the user has clicked it.
    """

    box: Box
    mask: Mask
    clicks: tuple[Click, ...]
    agreement: float
    certainty: float
    distinct: float
    saved: SavedSession | None = None

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.mask))

    def accepted(self, label: int, *, overwrite: bool = False) -> SavedSession:
        """Return what is saved once the object was accepted, to be replayed.

        Parameters
        ----------
        label
            Its id.
        overwrite
            Whether it took pixels of other objects.

        Raises
        ------
        InputError
            If the user has clicked it: then its session has it.
        """
        if self.saved is None:
            msg = "only an object that was carried to its plane can be accepted so"
            raise InputError(msg)
        done = replace(self.saved.current, id=label, overwrite=overwrite)
        nothing = SavedObject((), None, done.threshold)
        return replace(self.saved, objects=(done,), current=nothing)


def follow(
    segmenter: Segmenter,
    first: ArrayLike,
    mask: ArrayLike,
    planes: Iterable[ArrayLike],
    rule: StopRule | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[PlaneResult]:
    """Propagate an object from plane to plane until it vanishes.

    Parameters
    ----------
    segmenter
        The model.
    first
        The plane on which the object was clicked.
    mask
        The object there, shape (H, W).
    planes
        The planes after it, in order; each is read when its turn comes.
    rule
        When it counts as gone.
    cancelled
        Asked before each plane; if true, nothing more comes.

    Yields
    ------
    PlaneResult
        The object on one plane after the other; the plane on which it is gone is left
        out.

    Raises
    ------
    InputError
        If the mask is empty or does not fit, or a plane cannot be used.
    """
    before = begin(segmenter.prepare(first), mask, (0, 0))
    for plane in planes:
        if cancelled is not None and cancelled():
            return
        found = propagate_step(segmenter, plane, before.mask, before.box[:2])
        if reason_to_stop(found, before, rule):
            return
        yield found
        before = found


def propagate_step(
    segmenter: Segmenter,
    image: ArrayLike,
    mask: ArrayLike,
    corner: tuple[int, int] = (0, 0),
    *,
    threshold: float | None = None,
    contrast: Sequence[float] | None = None,
    channels: int | Sequence[int] | None = None,
) -> PlaneResult:
    """Return the object of a mask on the next plane.

    Parameters
    ----------
    segmenter
        The model.
    image, contrast, channels
        The next plane, see :meth:`Segmenter.prepare`.
    mask
        The object on this plane, shape (h, w), nonzero on the object.
    corner
        Row and column of the plane at which the mask begins.
    threshold
        Probability above which a pixel is object; the model's by default.

    Raises
    ------
    InputError
        If the mask is empty or leaves the plane, or the plane cannot be used.
    """
    before = np.asarray(mask) != 0
    session = Session(segmenter, image, contrast=contrast, channels=channels)
    session.threshold = threshold or session.threshold
    session.push_mask(before, inner_clicks(before, corner), corner=corner)
    request = session.request()
    if request is not None:
        session.fulfil(request, segmenter.run(request))
    found = session.prediction
    if found is None:
        msg = "the segmenter must predict all clicks of a request"
        raise RuntimeError(msg)
    box, part = found.trimmed
    inside = box_of(before) or EMPTY
    agreement = iou(before[slices(inside)], moved(inside, corner), part, box)
    return PlaneResult(
        box,
        part,
        session.clicks,
        agreement,
        expected_iou(found),
        contrast_to_noise(session.prepared, part, box[:2]),
        session.saved(),
    )


def begin(
    prepared: PreparedImage, mask: ArrayLike, corner: tuple[int, int]
) -> PlaneResult:
    """Return the object on the plane where the user has clicked it.

    Parameters
    ----------
    prepared
        The plane, see :meth:`Segmenter.prepare`.
    mask, corner
        The object, see :func:`propagate_step`.
    """
    whole = np.asarray(mask) != 0
    box = moved(box_of(whole) or EMPTY, corner)
    part = whole[slices(moved(box, (-corner[0], -corner[1])))]
    return PlaneResult(
        box, part, (), 1.0, 1.0, contrast_to_noise(prepared, part, box[:2])
    )


def reason_to_stop(
    found: PlaneResult, before: PlaneResult, rule: StopRule | None = None
) -> str:
    """Return the reason, in words, for which an object counts as gone; empty for none.

    Parameters
    ----------
    found
        The object on the next plane.
    before
        The object on the plane before.
    rule
        When it counts as gone.
    """
    rule, area = rule or StopRule(), before.area
    if found.area < max(1, rule.area, rule.shrink * area):
        return "it has vanished"
    if found.area > rule.grow * area:
        return "the mask jumps to a larger area"
    if found.agreement < rule.agreement:
        return "the mask no longer agrees with the plane before"
    if found.distinct < rule.distinct * before.distinct:
        return "nothing stands out there"
    if found.certainty < rule.certainty:
        return "the model is no longer certain"
    return ""


def inner_clicks(
    mask: ArrayLike, corner: tuple[int, int] = (0, 0)
) -> tuple[Click, ...]:
    """Return positive clicks deep inside a mask.

    The first lies where the mask is deepest. A long or branched object gets up to two
    more, far from the others and still deep.

    Parameters
    ----------
    mask
        Shape (h, w), nonzero on the object.
    corner
        Row and column of the image at which the mask begins.

    Raises
    ------
    InputError
        If the mask is empty.
    """
    inside = np.asarray(mask) != 0
    if inside.ndim != 2 or not inside.any():
        msg = f"mask must be 2-D and not empty, got shape {inside.shape}"
        raise InputError(msg)
    depths = depth(inside)
    deepest = float(depths.max())
    rows, cols = np.nonzero(depths >= _MIN_DEPTH * deepest)
    found = [deepest_pixel(depths)]
    while len(found) < MAX_CLICKS:
        away = np.min([np.hypot(rows - row, cols - col) for row, col in found], axis=0)
        if away.max() < _MIN_SPACING * deepest:
            break
        place = int(away.argmax())
        found.append((int(rows[place]), int(cols[place])))
    return tuple(Click(row + corner[0], col + corner[1]) for row, col in found)


def contrast_to_noise(
    prepared: PreparedImage, mask: Mask, corner: tuple[int, int]
) -> float:
    """Return the contrast-to-noise ratio of an object to its surroundings.

    Parameters
    ----------
    prepared
        The plane.
    mask, corner
        The object: shape (h, w), and the pixel at which it begins.

    Returns
    -------
    float
        Difference of the mean values inside and in a ring about it, divided by the
        standard deviation (root of the mean variance of both); of the channel where
        it is largest. 0 if the mask is empty or fills the image.
    """
    if not mask.any():
        return 0.0
    wide = max(3, round(np.sqrt(np.count_nonzero(mask) / np.pi) / 2))
    frame = clip_box(
        (
            corner[0] - wide,
            corner[1] - wide,
            corner[0] + mask.shape[0] + wide,
            corner[1] + mask.shape[1] + wide,
        ),
        prepared.shape,
    )
    step = -(-max(frame[2] - frame[0], frame[3] - frame[1]) // _RING_GRID)
    here = (*corner, corner[0] + mask.shape[0], corner[1] + mask.shape[1])
    inside = placed(mask, here, frame)[::step, ::step]
    away = distance_transform_edt(~inside) * step
    ring = (away > step) & (away <= wide)
    if not ring.any() or not inside.any():
        return 0.0
    rows = np.arange(frame[0], frame[2], step)
    values = prepared.read(rows, np.arange(frame[1], frame[3], step))
    object_values, ring_values = values[:, inside], values[:, ring]
    apart = np.abs(object_values.mean(axis=1) - ring_values.mean(axis=1))
    spread = np.sqrt((object_values.var(axis=1) + ring_values.var(axis=1)) / 2)
    return float((apart / np.maximum(spread, _MIN_STD)).max())


# the former names
Carried = PlaneResult
carry = propagate_step
distinctness = contrast_to_noise
