"""Following an object through the planes of a stack or the frames of a film.

The mask of one plane begins the next: the network sees it as the previous mask, and
clicks are placed where it is deepest, as a person would place them. How well two planes
agree, and how certain the model is, tell where a person has to look.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_gpcis._carrying import agreement, distinctness, inner_clicks
from napari_gpcis.errors import InputError
from napari_gpcis.geometry import EMPTY, box_of, moved, slices
from napari_gpcis.next_click import expected_iou
from napari_gpcis.session.saved import SavedObject
from napari_gpcis.session.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_gpcis._zoom import Box
    from napari_gpcis.clicks import Click
    from napari_gpcis.inference.image import PreparedImage
    from napari_gpcis.inference.segmenter import Segmenter
    from napari_gpcis.session.saved import SavedSession

    Mask = NDArray[np.bool_]

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
