"""Steps of a propagation, each from the mask of one plane to that of the next."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError
from napari_gpcis.geometry import (
    EMPTY,
    box_of,
    deepest_pixel,
    depth,
    iou,
    moved,
    slices,
)
from napari_gpcis.inference.start_mask import mask_of_image
from napari_gpcis.inference.tidy import DEFAULT_TIDY
from napari_gpcis.next_click import expected_agreement
from napari_gpcis.propagation.appearance import look_of
from napari_gpcis.propagation.pattern import pattern_around
from napari_gpcis.propagation.plane_result import PlaneResult
from napari_gpcis.propagation.stop_rule import reason_to_doubt, reason_to_stop
from napari_gpcis.session.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import ArrayLike

    from napari_gpcis.inference.image import PreparedImage
    from napari_gpcis.inference.segmenter import Segmenter
    from napari_gpcis.inference.tidy import Tidy
    from napari_gpcis.propagation.pattern import Pattern
    from napari_gpcis.propagation.stop_rule import StopRule
    from napari_gpcis.session.labels import MadeBy
    from napari_gpcis.session.saved import SavedSession

MAX_CLICKS = 3
"""Clicks placed on one plane at most."""
_MIN_SPACING = 3.0  # a further click lies at least so many depths from the others
_MIN_DEPTH = 0.5  # and at least at this share of the greatest depth


def follow(
    segmenter: Segmenter,
    first: ArrayLike,
    mask: ArrayLike,
    planes: Iterable[ArrayLike],
    rule: StopRule | None = None,
    cancelled: Callable[[], bool] | None = None,
    *,
    through_doubt: bool = False,
) -> Iterator[PlaneResult]:
    """Propagate an object from plane to plane until it vanishes, or is in doubt.

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
    through_doubt
        Whether it goes on after a plane that is in doubt.

    Yields
    ------
    PlaneResult
        The object on one plane after the other; the plane on which it is gone is left
        out. If the last one has a ``doubt``, look at it.

    Raises
    ------
    InputError
        If the mask is empty or does not fit, or a plane cannot be used.
    """
    prepared = segmenter.prepare(first)
    history = [begin(prepared, mask_of_image(mask, prepared.shape), (0, 0))]
    for plane in planes:
        if cancelled is not None and cancelled():
            return
        before = history[-1]
        found = propagate_step(
            segmenter, plane, before.mask, before.box[:2], pattern=before.pattern
        )
        if reason_to_stop(found, before, rule):
            return
        found = replace(found, doubt=reason_to_doubt(found, history, rule))
        history[-1] = replace(before, pattern=None)  # of many planes they are large
        yield found
        if found.doubt and not through_doubt:
            return
        history.append(found)


def propagate_step(
    segmenter: Segmenter,
    image: ArrayLike,
    mask: ArrayLike,
    corner: tuple[int, int] = (0, 0),
    *,
    threshold: float | None = None,
    tidy: Tidy | None = DEFAULT_TIDY,
    contrast: Sequence[float] | None = None,
    channels: int | Sequence[int] | None = None,
    pattern: Pattern | None = None,
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
    tidy
        Rules by which the mask is tidied; ``None``: it is not.
    pattern
        The pixels around the object, :attr:`PlaneResult.pattern`: where they are found
        on this plane, there the mask begins. Without it, it begins where it was.

    Raises
    ------
    InputError
        If the mask is empty or leaves the plane, or the plane cannot be used.
    """
    before = np.asarray(mask) != 0
    session = Session(segmenter, image, contrast=contrast, channels=channels, tidy=tidy)
    session.threshold = threshold or session.threshold
    if pattern is not None:
        by = pattern.displacement(session.prepared)
        corner = corner[0] + by[0], corner[1] + by[1]
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
    return _measured(
        session.prepared,
        PlaneResult(
            box,
            part,
            session.clicks,
            agreement,
            expected_agreement(found),
            0.0,
            _saved(session, "propagated"),
            pattern=pattern_around(session.prepared, part, box),
        ),
    )


def place_mask(
    segmenter: Segmenter,
    image: ArrayLike,
    mask: ArrayLike,
    corner: tuple[int, int] = (0, 0),
    *,
    contrast: Sequence[float] | None = None,
    channels: int | Sequence[int] | None = None,
) -> PlaneResult:
    """Return a mask as the object of a plane.

    Nothing is predicted: its agreement and its certainty are NaN.

    Parameters
    ----------
    segmenter, image, mask, corner, contrast, channels
        See :func:`propagate_step`.

    Raises
    ------
    InputError
        If the mask is empty or leaves the plane, or the plane cannot be used.
    """
    session = Session(segmenter, image, contrast=contrast, channels=channels)
    session.push_mask(np.asarray(mask) != 0, corner=corner)
    start = session.start
    if start is None:
        msg = "a session must begin with the mask that it was given"
        raise RuntimeError(msg)
    found = PlaneResult(
        start.box,
        start.mask,
        session.clicks,
        float("nan"),
        float("nan"),
        0.0,
        _saved(session, "interpolated"),
    )
    return _measured(session.prepared, found)


def _saved(session: Session, made_by: MadeBy) -> SavedSession:
    """Return what is saved of an object that nobody has clicked on its plane."""
    saved = session.saved()
    return replace(saved, current=replace(saved.current, made_by=made_by))


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
    pattern = pattern_around(prepared, part, box)
    return _measured(
        prepared, PlaneResult(box, part, (), 1.0, 1.0, 0.0, pattern=pattern)
    )


def _measured(prepared: PreparedImage, found: PlaneResult) -> PlaneResult:
    """Return the object with what it looks like on its plane."""
    look = look_of(prepared, found.mask, found.box[:2])
    return replace(
        found,
        distinct=look.ratio,
        brightness=look.inside,
        contrast=look.inside - look.around,
    )


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
