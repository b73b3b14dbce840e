"""Painting with superpixels, and snapping a mask to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_gpcis.clicks import Click
from napari_gpcis.geometry import contains, placed, slices
from napari_gpcis.plugin.annotation.click_layers import SUPERPIXELS
from napari_gpcis.plugin.annotation.plane import TAKEN
from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.debouncing import Debouncer
from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.plugin.tools.drawing import on_plane
from napari_gpcis.plugin.tools.superpixels.crossed import (
    CrossedSuperpixels,
    densely,
    strokes_paint,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qtpy.QtCore import QObject

    from napari_gpcis.geometry import Box, Mask
    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.click_layers import Shape
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.annotation.plane import PlaneAnnotation
    from napari_gpcis.plugin.tools.picking import Picking
    from napari_gpcis.plugin.tools.superpixels.outlined import Divided, Superpixels
    from napari_gpcis.plugin.viewer.planes import Plane

COMING = (
    "The superpixels are being computed: the stroke is painted once they are there."
)
MISSING = "There are no superpixels to paint with. {}"
NO_SUPERPIXELS = "There are no superpixels to snap to. {}"
LEFT = "What waited for superpixels was given up, since another plane is shown."
GIVEN_UP = "What waited for superpixels is given up."
SNAP_COMING = (
    "The superpixels are being computed: the border is moved once they are there."
)
ACCEPT_COMING = (
    "A stroke waits to be painted: the object is accepted right after it is."
)
SNAP_LEFT = "Snap was given up: its object is no longer the one you work on."
BESIDE = "There are no superpixels: press Compute again with this part in view."
NO_OBJECT = "Nothing to take away from: choose an object, or paint one first."
AGAINST = "A click holds that superpixel: delete the click to change it."
ALREADY = "Nothing to add: the object has all of that already."
NOT_ITS = "Nothing to take away: no part of the object is there."
NOTHING = (
    "Nothing would be left: press Escape or delete the object to remove all of it."
)
NOT_OPEN = "Not open yet: try again."
CHOSEN = "Object {} is changed. Strokes go on with it while it is chosen."
NOTHING_TO_SNAP = "Nothing to snap: click on an object, or choose a finished one."
NOT_SNAPPED = "The border agrees with the superpixels already, or with none of them."
SNAPPED = "The border goes along superpixels now. Undo takes it back."


class Stroke(NamedTuple):
    """Stroke on a plane.

    Attributes
    ----------
    plane
        The plane.
    path
        Its points in the image.
    positive
        Whether pixels are added.
    pixels
        Box and mask of the superpixels that it crosses; ``None`` until these are there.
    """

    plane: Plane
    path: tuple[Any, ...]
    positive: bool
    pixels: tuple[Box, Mask] | None


class SnapRequest(NamedTuple):
    """Wish to move the border of an object, once superpixels are there.

    Attributes
    ----------
    plane
        The plane.
    target
        The object: see `_target`.
    """

    plane: Plane
    target: object


class AcceptRequest(NamedTuple):
    """Wish to accept the object that strokes before it are painted on.

    Attributes
    ----------
    plane
        The plane.
    """

    plane: Plane


class SuperpixelPainting(Tool):
    """Adds the superpixels that strokes cross to an object, or takes them from it.

    The object is the current one, or else the chosen finished one. Without either, a
    stroke that begins on a finished object chooses it, where a click would; any other
    begins an object. Strokes, and wishes to snap, that come before the superpixels wait
    for them, in order; so does the wish to accept what they are painted on.

    Parameters
    ----------
    controller
        Its annotations are followed.
    superpixels
        The superpixels.
    parent
        Qt parent.

    Attributes
    ----------
    picking
        Knows the chosen finished object.
    """

    def __init__(
        self,
        controller: Controller,
        superpixels: Superpixels,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(controller, parent)
        self.picking: Picking | None = None
        self._superpixels = superpixels
        self._crossed = CrossedSuperpixels(controller, superpixels, self)
        self._waiting: list[Stroke | SnapRequest | AcceptRequest] = []
        self._news = Connections()
        self._soon = Debouncer(self._do_waiting, parent=self)
        self._shows = False
        superpixels.ready.connect(self._on_ready)
        controller.register("snap", self.snap)
        controller.register("accept", self.accept)

    @property
    def on(self) -> bool:
        """True while strokes paint."""
        return strokes_paint(self.annotation)

    def close(self) -> None:
        """Let go of everything that outlives the tool; it is of no more use."""
        self._crossed.close()
        super().close()

    # Following --------------------------------------------------------------------

    def on_attached(self, annotation: Annotation) -> None:
        """Follow strokes over the clicks' layers, and whether they paint."""
        clicks = annotation.click_layers
        self.follow(clicks.drawing_changed, self._arm)
        self.follow(clicks.drawn, self._on_drawn)
        self._arm()

    def on_detached(self, annotation: Annotation) -> None:  # noqa: ARG002
        """Paint no more."""
        self._drop_waiting()
        self._shows = False
        self._superpixels.needed = False

    def _arm(self) -> None:
        """Show superpixels while strokes paint, and have them computed for that."""
        if self.annotation is None:
            return
        superpixels = self._superpixels
        if self.on and not superpixels.shown:
            self._shows = superpixels.shown = True
        elif self._shows and not self.on:
            self._shows = superpixels.shown = False
        superpixels.needed = self._needs

    @property
    def _needs(self) -> bool:
        """True if superpixels are to be there."""
        return self.on or any(
            isinstance(one, SnapRequest)
            or (isinstance(one, Stroke) and one.pixels is None)
            for one in self._waiting
        )

    @property
    def _divided(self) -> Divided | None:
        """The superpixels of the displayed plane, if they are there."""
        return self._crossed.divided

    def _on_drawn(self, shape: Shape, path: Sequence[Any], positive: bool) -> None:
        """Paint what the stroke has crossed."""
        annotation, current, divided = self.annotation, self.current, self._divided
        if shape != SUPERPIXELS or annotation is None or current is None:
            return
        crossed = self._crossed.take(path, current.plane)
        annotation.click_layers.settle()
        if divided is None and self._superpixels.problem:
            self.say(MISSING.format(self._superpixels.problem))
        elif divided is not None and not crossed:
            self.say(BESIDE)
        else:
            pixels = None
            if divided is not None:
                pixels = divided.region(self._superpixels.level, crossed)
            self._take(Stroke(current.plane, tuple(path), positive, pixels))

    # Painting ---------------------------------------------------------------------

    def _take(self, stroke: Stroke) -> None:
        """Paint a stroke, now or as soon as that is possible."""
        current = self.current
        if current is None:
            return
        if self._waiting or current.accepting or stroke.pixels is None:
            self._wait(stroke)
        else:
            self._paint(current, stroke, *stroke.pixels)

    def _paint(
        self, current: PlaneAnnotation, stroke: Stroke, box: Box, mask: Mask
    ) -> None:
        """Add pixels to the object that is painted, or take them from it.

        Superpixels with a click against the stroke stay as they are.

        Parameters
        ----------
        current
            The displayed plane.
        stroke
            The stroke.
        box, mask
            Its pixels.
        """
        positive, label = stroke.positive, self._chosen(current)
        fresh = 0 if label else self._choose_under(current, stroke)
        label = label or fresh
        whole = mask
        if current.current.clicks and not current.current.begun_only:
            mask = self._without(box, mask, current.current.clicks, positive)
        elif label:
            mask = self._without(
                box, mask, current.finished_objects.user_clicks_of(label), positive
            )
        if not mask.any():
            self.say(AGAINST)
            return
        painted = label or (current.drawn.live.label if current.current.clicks else 0)
        why = self._why_nothing(current, painted, box, mask, positive=positive)
        if why:
            spared = why in (NOT_ITS, ALREADY) and bool((whole & ~mask).any())
            self.say(AGAINST if spared else why)
            return
        none = np.zeros_like(mask)
        edits = (mask, none) if positive else (none, mask)
        if current.current.clicks:
            done = current.draw_by_hand(box, *edits)
        elif label:
            done = current.finished_objects.redraw(label, box, *edits)
        else:
            current.begin_with(mask, box[:2])  # it tells what is in its way
            return
        if not done:
            self.say(NOTHING)
        elif fresh:
            self.say(CHOSEN.format(label))

    def _chosen(self, current: PlaneAnnotation) -> int:
        """Return the chosen finished object of the plane; 0 if there is none."""
        if self.picking is None or current.clicks:
            return 0
        return self.picking.chosen_on(current.plane)

    def _choose_under(self, current: PlaneAnnotation, stroke: Stroke) -> int:
        """Choose the finished object on which a stroke begins; return its id, or 0.

        Where a click would begin an object all the same, so does a stroke that adds.
        """
        annotation, picking, place = self.annotation, self.picking, stroke.path[0]
        if annotation is None or picking is None or current.clicks:
            return 0
        if stroke.positive and not annotation.click_layers.claims(place):
            return 0
        label = picking.finished_at(place)
        if label:
            picking.choose(label)
        return label

    def _why_nothing(
        self,
        current: PlaneAnnotation,
        label: int,
        box: Box,
        mask: Mask,
        *,
        positive: bool,
    ) -> str:
        """Return why a stroke would change nothing; empty if it changes something.

        Parameters
        ----------
        current
            The displayed plane.
        label
            Id of the object that is painted, 0 for a new one.
        box, mask
            Pixels of the stroke.
        positive
            Whether they are to be added.
        """
        annotation, live = self.annotation, current.drawn.live
        if annotation is None or (current.current.clicks and current.busy):
            return ""  # nobody knows yet what it is going to be
        if current.session is None:
            return NOT_OPEN
        if not label and not current.current.clicks:
            if not positive:
                return NO_OBJECT
            return "" if current.finished_objects.has_room(box, mask) else TAKEN
        if not label or (current.current.clicks and live.how == "cut"):
            return ""
        current.finish_drawing()
        now = current.plane.take(annotation.layers.labels.data)[slices(box)]
        its = mask & (now == label)
        if not positive:
            return "" if its.any() else NOT_ITS
        missing = mask & ~its
        if not missing.any():
            return ALREADY
        free = missing if self.controller.writing.overwrite else missing & (now <= 0)
        return "" if free.any() else TAKEN

    def _without(
        self, box: Box, mask: Mask, clicks: Iterable[Click], positive: bool
    ) -> Mask:
        """Return a mask without superpixels that have a click against it."""
        divided = self._divided
        against = [one.pixel for one in clicks if one.positive is not positive]
        if not against or divided is None:
            return mask
        ids = divided.at(self._superpixels.level, np.array(against, float))
        if not ids:
            return mask
        held, pixels = divided.region(self._superpixels.level, ids)
        return mask & ~_within(pixels, held, box)

    # What waits -------------------------------------------------------------------

    def accept(self) -> None:
        """Accept the current object, as soon as the strokes before are painted."""
        current = self.current
        if current is None:
            return
        if any(isinstance(one, Stroke) for one in self._waiting):
            self._wait(AcceptRequest(current.plane))
            self.say(ACCEPT_COMING)
        else:
            current.accept()

    def _wait(self, wish: Stroke | SnapRequest | AcceptRequest) -> None:
        """Do what is wished once superpixels, and the mask before, are there."""
        annotation = self.annotation
        if annotation is None:
            return
        if not self._waiting:
            events = annotation.events
            for signal in (events.accepted, events.predicted, events.plane_entered):
                self._news.connect(signal, self._on_news)
            for signal in (events.clicks_changed, events.objects_changed):
                self._news.connect(signal, self._on_news)
            if self.picking is not None:
                self._news.connect(self.picking.changed, self._on_news)
            annotation.undo_stack.interrupts.append(self._interrupt)
        self._waiting.append(wish)
        if isinstance(wish, SnapRequest) and self._divided is None:
            self.say(SNAP_COMING)
        elif isinstance(wish, Stroke) and wish.pixels is None:
            self.say(COMING)

    def _on_news(self, *_: Any) -> None:
        self._soon.throttle()

    def _do_waiting(self) -> None:
        """Do what waits, in order."""
        current = self.current
        self._drop_lost_snaps(current)
        while self._waiting:
            current, wish = self.current, self._waiting[0]
            if current is None or current.accepting:
                return
            if wish.plane != current.plane:
                self._drop_waiting()
                self._say_left(current, LEFT)
                return
            if isinstance(wish, SnapRequest):
                if self._divided is None and not self._superpixels.problem:
                    return
                self._waiting.pop(0)
                self._snap_now(current)
                continue
            if isinstance(wish, AcceptRequest):
                self._waiting.pop(0)
                if current.clicks:  # else it was told why nothing was painted
                    current.accept()
                continue
            pixels = wish.pixels or self._crossed_by(wish)
            if pixels is None:
                return
            self._waiting.pop(0)
            self._paint(current, wish, *pixels)
        self._drop_waiting()

    def _drop_lost_snaps(self, current: PlaneAnnotation | None) -> None:
        """Forget wishes for objects of the displayed plane that are not worked on."""
        if current is None:
            return
        target = self._target(current)
        kept = [
            one
            for one in self._waiting
            if not isinstance(one, SnapRequest)
            or one.plane != current.plane
            or one.target == target
        ]
        if len(kept) < len(self._waiting):
            self._waiting[:] = kept
            self._say_left(current, SNAP_LEFT)

    def _say_left(self, current: PlaneAnnotation, words: str) -> None:
        """Tell what was given up, also once the plane is open."""
        self.say(words)
        if self.annotation is not None and current.session is None:
            self.annotation.say_once_open(words)

    def _target(self, current: PlaneAnnotation) -> object:
        """Return what tells the current object from others, or else the chosen one.

        ``None`` if there is neither.
        """
        running = current.current
        if running.clicks:
            return running, running.began
        return self._chosen(current) or None

    def _crossed_by(self, stroke: Stroke) -> tuple[Box, Mask] | None:
        """Return the superpixels that a stroke crosses; ``None`` if there are none.

        If none will come, strokes that wait for them are given up.
        """
        divided = self._divided
        if divided is not None:
            line = densely(on_plane(stroke.path, stroke.plane))
            ids = divided.at(self._superpixels.level, line)
            if ids:
                return divided.region(self._superpixels.level, ids)
        elif not self._superpixels.problem:
            return None  # they are being computed
        why = self._superpixels.problem
        self._drop_waiting()
        self.say(MISSING.format(why) if why else BESIDE)
        return None

    def _drop_waiting(self) -> None:
        """Wait for nothing any more."""
        self._soon.cancel()
        self._news.end()
        self._waiting.clear()
        if self.annotation is not None:  # an undo asks as few as possible
            interrupts = self.annotation.undo_stack.interrupts
            if self._interrupt in interrupts:
                interrupts.remove(self._interrupt)
            if self._superpixels.needed != self._needs:
                self._superpixels.needed = self._needs

    def _interrupt(self) -> bool:
        """Give up what waits; return whether there was something."""
        waited = bool(self._waiting)
        self._drop_waiting()
        if waited:
            self.say(GIVEN_UP)
        return waited

    # Snapping ---------------------------------------------------------------------

    def snap(self) -> None:
        """Move the border of the current object, or the chosen one, to superpixels.

        They are computed first if need be. The wish holds for this object alone: it is
        given up if that is accepted, taken back, cancelled or left meanwhile.
        """
        current = self.current
        if current is None:
            return
        target = self._target(current)
        if target is None:
            self.say(NOTHING_TO_SNAP)
        elif self._divided is None or self._waiting:
            self._wait(SnapRequest(current.plane, target))
            if self._divided is None and self._superpixels.part is None:
                self._superpixels.needed = True
        else:
            self._snap(current, self._divided)

    def _on_ready(self) -> None:
        """Do what was asked for before superpixels were there."""
        if self._waiting:
            self._soon.throttle()

    def _snap_now(self, current: PlaneAnnotation) -> None:
        """Snap, or tell why there are no superpixels for it."""
        if self._divided is None:
            self.say(NO_SUPERPIXELS.format(self._superpixels.problem))
        else:
            self._snap(current, self._divided)

    def _snap(self, current: PlaneAnnotation, divided: Divided) -> None:
        from napari_gpcis.superpixels import snap  # slow to import

        annotation, label = self.annotation, self._chosen(current)
        if annotation is None or current.accepting:
            self.say(NOTHING_TO_SNAP)
            return
        current.finish_drawing()
        if label:
            found = annotation.masks(current.plane, [label]).get(label)
            clicks = current.finished_objects.clicks_of(label)
        else:
            found, clicks = current.drawn.seen, current.current.clicks
        if found is None or not found[1].any():
            self.say(NOTHING_TO_SNAP)
            return
        frame = divided.box
        mask = _within(found[1], found[0], frame)
        inside = [
            Click(one.row - frame[0], one.col - frame[1], one.positive)
            for one in clicks
            if contains(frame, one)
        ]
        snapped = snap(mask, divided.hierarchy.labels(self._superpixels.level), inside)
        drawn, erased = snapped & ~mask, mask & ~snapped
        if not (drawn.any() or erased.any()):
            self.say(NOT_SNAPPED)
        elif label:
            done = current.finished_objects.redraw(label, frame, drawn, erased)
            self.say(SNAPPED if done else NOT_SNAPPED)
        else:
            done = current.draw_by_hand(frame, drawn, erased)
            self.say(SNAPPED if done else NOT_SNAPPED)


def _within(mask: Mask, box: Box, frame: Box) -> Mask:
    """Return the part of a mask that lies in a frame, of the size of the frame."""
    low = max(box[0], frame[0]), max(box[1], frame[1])
    high = min(box[2], frame[2]), min(box[3], frame[3])
    if low[0] >= high[0] or low[1] >= high[1]:
        return np.zeros((frame[2] - frame[0], frame[3] - frame[1]), bool)
    common = (*low, *high)
    inner = slices(
        (low[0] - box[0], low[1] - box[1], high[0] - box[0], high[1] - box[1])
    )
    return placed(mask[inner], common, frame)
