"""Propagation of an object through a stack or time-lapse, plane by plane.

The mask of one plane begins the next: it is moved to where the pixels around it are
found again, the network gets it as the previous mask, and clicks are placed where it is
deepest, as a user would place them. The agreement of two planes, and the certainty of
the model, tell where the user has to look. (Masks of a moving object that were not
moved lag behind it: the network trusts the mask before.)

Both can stay high while a mask drifts: it grows a little from plane to plane, and each
plane agrees with the one before. So an object is also held against its own history
since the user has seen it: its size, its shape and its brightness. Where one of them is
another, the plane is in doubt.

Between two planes that are right the object can be interpolated without the model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

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
    union,
)
from napari_gpcis.inference.start_mask import mask_of_image
from napari_gpcis.inference.tidy import DEFAULT_TIDY
from napari_gpcis.next_click import expected_agreement
from napari_gpcis.session.saved import SavedObject
from napari_gpcis.session.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_gpcis.geometry import Box, Mask
    from napari_gpcis.inference.image import PreparedImage
    from napari_gpcis.inference.segmenter import Segmenter
    from napari_gpcis.inference.tidy import Tidy
    from napari_gpcis.session.labels import MadeBy
    from napari_gpcis.session.saved import SavedSession


__all__ = [
    "Carried",
    "Pattern",
    "PlaneResult",
    "StopRule",
    "begin",
    "carry",
    "contrast_to_noise",
    "distinctness",
    "follow",
    "inner_clicks",
    "interpolate",
    "place_mask",
    "propagate_step",
    "reason_to_doubt",
    "reason_to_stop",
]


MAX_CLICKS = 3
"""Clicks placed on one plane at most."""
_MIN_SPACING = 3.0  # a further click lies at least so many depths from the others
_MIN_DEPTH = 0.5  # and at least at this share of the greatest depth
_RING_GRID = 512  # larger surroundings are read on a coarser grid
_MIN_STD = 0.02  # of values in [0, 1]: the ratio of a flat object stays finite
RECENT = 5
"""Brightness may change slowly: that of so many planes before is compared."""
_SHAPE_GRID = 64  # shapes are compared on a grid of so many pixels
_PATTERN_GRID = 192  # larger patterns are read on a coarser grid
_PATTERN_MARGIN = 0.25  # pixels around an object that belong to it, in radii
_REACH = 1.0  # it is looked for so far away, in radii
_FOUND = 0.5  # correlation from which on a pattern is found again
_BETTER = 0.02  # and so much more than where it was


@dataclass(frozen=True)
class StopRule:
    """Limits beyond which an object counts as gone, or as in doubt.

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
    size
        It is in doubt where its area is more than this multiple of that on the plane
        where the run began.
    shape
        It is in doubt where its outline, moved and scaled onto that of the plane where
        the run began, covers it less than this (IoU).
    brightness
        It is in doubt where its mean value differs from that of the planes before by
        more than this multiple of its contrast (mean inside less mean around it).
    """

    agreement: float = 0.4
    certainty: float = 0.3
    shrink: float = 0.25
    grow: float = 3.0
    area: int = 9
    distinct: float = 0.3
    size: float = 2.0
    shape: float = 0.5
    brightness: float = 0.5


class Pattern(NamedTuple):
    """Pixels around an object on its plane.

    Attributes
    ----------
    box, frame
        Half-open boxes of the plane: that of the object, which has to stay on the
        plane, and that of the pixels.
    values
        Normalised channels, shape (C, h, w), of every ``step``-th pixel.
    step
        Distance of the pixels that were read.
    reach
        How far the object may move, in pixels.
    """

    box: Box
    frame: Box
    values: NDArray[np.float32]
    step: int
    reach: int

    def displacement(self, prepared: PreparedImage) -> tuple[int, int]:
        """Return the rows and columns by which it has moved on another plane.

        It is where the normalised cross-correlation is largest; if that is low, or
        hardly larger than where it was, it has not moved. On a plane that is too small
        for it, or has other channels, it has not either.

        Parameters
        ----------
        prepared
            That plane.
        """
        from skimage.feature import match_template  # slow to import: only if needed

        if len(prepared.planes) != len(self.values):
            return 0, 0
        steps = -(-self.reach // self.step)
        grids, before, padding = [], [], [(0, 0)]
        for axis, size in enumerate(prepared.shape):
            begin, end = self.box[axis], self.box[axis + 2]
            if end > size:
                return 0, 0
            back = min(steps, begin // self.step)
            on = min(steps, (size - end) // self.step)
            grid = np.arange(
                self.frame[axis] - back * self.step,
                self.frame[axis + 2] + on * self.step,
                self.step,
            )
            beside = int((grid < 0).sum()), int((grid >= size).sum())
            grids.append(grid[(grid >= 0) & (grid < size)])
            before.append(back)
            padding.append(beside)
        seen = np.pad(prepared.read(*grids), padding, mode="edge")
        found = match_template(seen, self.values)[0]
        best = np.unravel_index(int(found.argmax()), found.shape)
        if found[best] < max(_FOUND, found[before[0], before[1]] + _BETTER):
            return 0, 0
        return (
            (int(best[0]) - before[0]) * self.step,
            (int(best[1]) - before[1]) * self.step,
        )


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
        IoU with the mask that it began with: that of the plane before, moved with it.
    certainty
        Agreement with the object that the model expects, see
        :func:`~napari_gpcis.next_click.expected_agreement`.
    distinct
        Contrast-to-noise ratio to its surroundings, see :func:`contrast_to_noise`.
    saved
        The clicks and the mask that it began with, as they are saved; ``None`` where
        the user has clicked it.
    brightness, contrast
        Of the channel in which it stands out most: its mean value, and how much that
        is above the mean around it (below: negative). Values in [0, 1].
    doubt
        Reason, in words, for which the user should look at it; empty for none.
    pattern
        The pixels around it, to find it again on the next plane.
    """

    box: Box
    mask: Mask
    clicks: tuple[Click, ...]
    agreement: float
    certainty: float
    distinct: float
    saved: SavedSession | None = None
    brightness: float = 0.0
    contrast: float = 0.0
    doubt: str = ""
    pattern: Pattern | None = None

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
            pattern=_pattern(session.prepared, part, box),
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
    pattern = _pattern(prepared, part, box)
    return _measured(
        prepared, PlaneResult(box, part, (), 1.0, 1.0, 0.0, pattern=pattern)
    )


def _pattern(prepared: PreparedImage, mask: Mask, box: Box) -> Pattern | None:
    """Return the pixels around an object; ``None`` if there is none."""
    if not mask.any():
        return None
    radius = float(np.sqrt(np.count_nonzero(mask) / np.pi))
    wide = max(2, round(_PATTERN_MARGIN * radius))
    around = box[0] - wide, box[1] - wide, box[2] + wide, box[3] + wide
    frame = clip_box(around, prepared.shape)
    step = -(-max(frame[2] - frame[0], frame[3] - frame[1]) // _PATTERN_GRID)
    rows = np.arange(frame[0], frame[2], step)
    values = prepared.read(rows, np.arange(frame[1], frame[3], step))
    return Pattern(box, frame, values, step, max(2, round(_REACH * radius)))


def _measured(prepared: PreparedImage, found: PlaneResult) -> PlaneResult:
    """Return the object with what it looks like on its plane."""
    look = _look(prepared, found.mask, found.box[:2])
    return replace(
        found,
        distinct=look.ratio,
        brightness=look.inside,
        contrast=look.inside - look.around,
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


def reason_to_doubt(
    found: PlaneResult, history: Sequence[PlaneResult], rule: StopRule | None = None
) -> str:
    """Return the reason, in words, to doubt a plane; empty for none.

    Parameters
    ----------
    found
        The object on the next plane.
    history
        The object on the planes before, the first being that where the user has seen
        it.
    rule
        Its limits.
    """
    rule, origin = rule or StopRule(), history[0]
    ratio = found.area / max(1, origin.area)
    if ratio > rule.size:
        return f"it is {ratio:.1f} times as large as where it began"
    recent = history[-RECENT:]
    usual = float(np.median([one.brightness for one in recent]))
    scale = float(np.median([abs(one.contrast) for one in recent]))
    if abs(found.brightness - usual) > rule.brightness * max(scale, _MIN_STD):
        return "its brightness is another than on the planes before"
    if _alike(found.mask, origin.mask) < rule.shape:
        return "its shape is another than where it began"
    return ""


def _alike(one: Mask, other: Mask) -> float:
    """Return the IoU of two outlines, moved and scaled onto each other."""
    first, second = _normalised(one), _normalised(other)
    joint = np.count_nonzero(first | second)
    return float(np.count_nonzero(first & second) / joint) if joint else 0.0


def _normalised(mask: Mask) -> Mask:
    """Return a mask on a small grid, moved to its middle, all of one area."""
    rows, cols = np.nonzero(mask)
    if not len(rows):
        return np.zeros((_SHAPE_GRID, _SHAPE_GRID), dtype=bool)
    step = 3 * np.sqrt(len(rows)) / _SHAPE_GRID  # pixels of the mask a grid pixel
    places = (np.arange(_SHAPE_GRID) - (_SHAPE_GRID - 1) / 2) * step
    down = np.rint(places + rows.mean()).astype(int)
    over = np.rint(places + cols.mean()).astype(int)
    in_rows = (down >= 0) & (down < mask.shape[0])
    in_cols = (over >= 0) & (over < mask.shape[1])
    found = np.zeros((_SHAPE_GRID, _SHAPE_GRID), dtype=bool)
    found[np.ix_(in_rows, in_cols)] = mask[np.ix_(down[in_rows], over[in_cols])]
    return found


def interpolate(
    first: tuple[Box, ArrayLike],
    last: tuple[Box, ArrayLike],
    share: float,
    shape: tuple[int, int],
) -> tuple[Box, Mask]:
    """Return the object between two planes on which it is known.

    Both masks are moved to the place between their centres of mass; there the mean of
    their signed distances to the outline tells what is object [1]_.

    Parameters
    ----------
    first, last
        Half-open box of the plane, and the mask on it, not empty.
    share
        Place between the planes: 0 is the first, 1 the last.
    shape
        Rows and columns of the planes; the object ends at their borders.

    Returns
    -------
    tuple
        Smallest box around the mask, and the mask on it.

    Raises
    ------
    InputError
        If a mask is empty, or the share not between 0 and 1.

    References
    ----------
    .. [1] Raya and Udupa, "Shape-based interpolation of multidimensional objects",
       IEEE Transactions on Medical Imaging 9(1), 1990.
    """
    if not 0 <= share <= 1:
        msg = f"share must lie between 0 and 1, got {share!r}"
        raise InputError(msg)
    masks = [np.asarray(mask) != 0 for _, mask in (first, last)]
    if not all(mask.any() for mask in masks):
        msg = "an object can be interpolated between two masks that are not empty"
        raise InputError(msg)
    middles = [
        np.mean(np.nonzero(mask), axis=1) + box[:2]
        for mask, (box, _) in zip(masks, (first, last), strict=True)
    ]
    middle = (1 - share) * middles[0] + share * middles[1]
    placed_boxes = []
    for (box, _), own in zip((first, last), middles, strict=True):
        by = np.rint(middle - own).astype(int)
        placed_boxes.append(moved(box, (int(by[0]), int(by[1]))))
    frame = union(*placed_boxes)
    frame = frame[0] - 1, frame[1] - 1, frame[2] + 1, frame[3] + 1
    depths = [
        _signed_depth(placed(mask, box, frame))
        for mask, box in zip(masks, placed_boxes, strict=True)
    ]
    mask = (1 - share) * depths[0] + share * depths[1] > 0
    on_plane = clip_box(frame, shape)
    mask = mask[slices(moved(on_plane, (-frame[0], -frame[1])))]
    inside = box_of(mask)
    if inside is None:  # rings or pieces that share no pixel: the nearer one stays
        near = round(share)
        return (first, last)[near][0], masks[near]
    return moved(inside, on_plane[:2]), mask[slices(inside)]


def _signed_depth(mask: Mask) -> NDArray[np.float64]:
    """Return the distance to the outline, positive inside and negative outside."""
    found: NDArray[np.float64] = distance_transform_edt(mask)
    found -= distance_transform_edt(~mask)
    return found


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
    return _look(prepared, mask, corner).ratio


class _Look(NamedTuple):
    """Appearance of an object on its plane, see :func:`contrast_to_noise`.

    Attributes
    ----------
    ratio
        The contrast-to-noise ratio.
    inside, around
        Mean values of the channel where it is largest.
    """

    ratio: float = 0.0
    inside: float = 0.0
    around: float = 0.0


def _look(prepared: PreparedImage, mask: Mask, corner: tuple[int, int]) -> _Look:
    """Return what an object looks like; nothing if it has no surroundings."""
    if not mask.any():
        return _Look()
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
        return _Look()
    rows = np.arange(frame[0], frame[2], step)
    values = prepared.read(rows, np.arange(frame[1], frame[3], step))
    object_values, ring_values = values[:, inside], values[:, ring]
    inner, outer = object_values.mean(axis=1), ring_values.mean(axis=1)
    spread = np.sqrt((object_values.var(axis=1) + ring_values.var(axis=1)) / 2)
    ratios = np.abs(inner - outer) / np.maximum(spread, _MIN_STD)
    best = int(ratios.argmax())
    return _Look(float(ratios[best]), float(inner[best]), float(outer[best]))


# the former names
Carried = PlaneResult
carry = propagate_step
distinctness = contrast_to_noise
