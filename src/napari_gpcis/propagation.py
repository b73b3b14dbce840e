"""Following an object through the planes of a stack or the frames of a film.

The mask of one plane begins the next: the network sees it as the previous mask, and
clicks are placed where it is deepest, as a person would place them. How well two planes
agree, and how certain the model is, tell where a person has to look.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt

from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError
from napari_gpcis.geometry import EMPTY, box_of, clip_box, moved, placed, slices, union
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
    "StopRule",
    "begin",
    "carry",
    "distinctness",
    "follow",
    "inner_clicks",
    "reason_to_stop",
]


@dataclass(frozen=True)
class StopRule:
    """When an object counts as gone.

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
        It is gone where it stands out from its surroundings less than this share of
        what it did on the plane before (:func:`distinctness`): where there is nothing,
        the network still sees the mask that it was given.
    """

    agreement: float = 0.4
    certainty: float = 0.3
    shrink: float = 0.25
    grow: float = 3.0
    area: int = 9
    distinct: float = 0.3


@dataclass(frozen=True, eq=False)
class Carried:
    """An object on one plane.

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
        How much it stands out from its surroundings, see :func:`distinctness`.
    saved
        The clicks and the mask that it began with, as they are saved; ``None`` where a
        person has clicked it.
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
            If a person has clicked it: then its session has it.
        """
        if self.saved is None:
            msg = "only an object that was carried to its plane can be accepted so"
            raise InputError(msg)
        done = replace(self.saved.current, id=label, overwrite=overwrite)
        nothing = SavedObject((), None, done.threshold)
        return replace(self.saved, objects=(done,), current=nothing)


def carry(
    segmenter: Segmenter,
    image: ArrayLike,
    mask: ArrayLike,
    corner: tuple[int, int] = (0, 0),
    *,
    threshold: float | None = None,
    contrast: Sequence[float] | None = None,
    channels: int | Sequence[int] | None = None,
) -> Carried:
    """Find an object on the next plane.

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
    agreed = agreement(before[slices(inside)], moved(inside, corner), part, box)
    return Carried(
        box,
        part,
        session.clicks,
        agreed,
        expected_iou(found),
        distinctness(session.prepared, part, box[:2]),
        session.saved(),
    )


def begin(prepared: PreparedImage, mask: ArrayLike, corner: tuple[int, int]) -> Carried:
    """Return an object on the plane where a person has clicked it.

    Parameters
    ----------
    prepared
        The plane, see :meth:`Segmenter.prepare`.
    mask, corner
        The object, see :func:`carry`.
    """
    whole = np.asarray(mask) != 0
    box = moved(box_of(whole) or EMPTY, corner)
    part = whole[slices(moved(box, (-corner[0], -corner[1])))]
    return Carried(box, part, (), 1.0, 1.0, distinctness(prepared, part, box[:2]))


def reason_to_stop(
    found: Carried, before: Carried, rule: StopRule | None = None
) -> str:
    """Return in words why an object counts as gone; an empty text if it does not.

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


def follow(
    segmenter: Segmenter,
    first: ArrayLike,
    mask: ArrayLike,
    planes: Iterable[ArrayLike],
    rule: StopRule | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[Carried]:
    """Follow an object from plane to plane until it vanishes.

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
    Carried
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
        found = carry(segmenter, plane, before.mask, before.box[:2])
        if reason_to_stop(found, before, rule):
            return
        yield found
        before = found


MOST_CLICKS = 3
"""Clicks placed on one plane at most."""
_APART = 3.0  # a further click lies at least so many depths from the others
_DEEP = 0.5  # and at least at this share of the greatest depth
_RING_GRID = 512  # larger surroundings are looked at on a coarser grid
_LEAST_SPREAD = 0.02  # of values in [0, 1]: an even object is not infinitely distinct


def inner_clicks(
    mask: ArrayLike, corner: tuple[int, int] = (0, 0)
) -> tuple[Click, ...]:
    """Return positive clicks inside a mask, as far from its border as can be.

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
    depth = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    deepest = float(depth.max())
    rows, cols = np.nonzero(depth >= _DEEP * deepest)
    found = [divmod(int(depth.argmax()), depth.shape[1])]
    while len(found) < MOST_CLICKS:
        away = np.min([np.hypot(rows - row, cols - col) for row, col in found], axis=0)
        if away.max() < _APART * deepest:
            break
        place = int(away.argmax())
        found.append((int(rows[place]), int(cols[place])))
    return tuple(Click(row + corner[0], col + corner[1]) for row, col in found)


def distinctness(prepared: PreparedImage, mask: Mask, corner: tuple[int, int]) -> float:
    """Return how much an object stands out from its surroundings.

    Parameters
    ----------
    prepared
        The plane.
    mask, corner
        The object: shape (h, w), and the pixel at which it begins.

    Returns
    -------
    float
        Difference of the mean values inside and in a ring about it, in standard
        deviations (the mean variance of both); of the channel with the largest.
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
    return float((apart / np.maximum(spread, _LEAST_SPREAD)).max())


def agreement(one: Mask, box: Box, other: Mask, other_box: Box) -> float:
    """Return how well two masks on boxes agree."""
    frame = union(box, other_box)
    first, second = placed(one, box, frame), placed(other, other_box, frame)
    joint = np.count_nonzero(first | second)
    return float(np.count_nonzero(first & second) / joint) if joint else 0.0
