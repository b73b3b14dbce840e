"""Alternatives to the mask of the current object: a key goes to the next one.

They are computed when they are asked for, on the inference thread; all obey every
click. A choice is one step of undo, and choosing again takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Signal
from scipy import ndimage

from napari_gpcis.alternatives import Choices, select
from napari_gpcis.alternatives.proposals import propose
from napari_gpcis.inference.image import to_rgb
from napari_gpcis.plugin.annotation.plane import COVERED
from napari_gpcis.plugin.settings.shortcuts import key_of
from napari_gpcis.plugin.tools.base import TemporaryKeys, Tool
from napari_gpcis.plugin.tools.display.uncertainty import predicted

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_gpcis.alternatives import Alternative
    from napari_gpcis.geometry import Box, Mask
    from napari_gpcis.inference.image import PreparedImage
    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.inference.start_mask import StartMask
    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.annotation.plane import PlaneAnnotation
    from napari_gpcis.session.current import CurrentObject, Prompts
    from napari_gpcis.session.session import Session

    Place = Callable[["Offer"], int | None]
    Pixels = NDArray[np.uint8]

MARGIN = 0.2
"""Share of the size of the masks that is shown around them."""
WIDEST = 3
"""Pictures are at most so many times as wide as the mask itself: a mask of half the
image would leave too little to see of a small one."""
DIM = 0.45
"""Share of its brightness that a pixel outside a mask keeps."""
YELLOW = (255, 212, 0)


@dataclass
class Offer:
    """Alternatives to the mask of one object after some clicks.

    Attributes
    ----------
    object, prompts
        The object, and its clicks with what it began with, before any choice.
    found
        The mask itself, and the others.
    place
        Which of them is drawn.
    chosen
        The start mask that the choice is; ``None`` while the mask itself is drawn.
    parts
        Box and mask of each as the object would have them: without what belongs to
        finished objects that are protected.
    """

    object: CurrentObject
    prompts: Prompts
    found: tuple[Alternative, ...]
    place: int = 0
    chosen: StartMask | None = None
    parts: tuple[tuple[Box, Mask], ...] = ()

    @property
    def areas(self) -> tuple[int, ...]:
        """Pixels that the object would have of each."""
        return tuple(int(np.count_nonzero(mask)) for _, mask in self.parts)

    def holds_for(self, current: CurrentObject) -> bool:
        """Return whether it is about this object as it is now.

        A choice that was undone meanwhile is none any more.
        """
        if current is not self.object:
            return False
        now = current.prompts
        if now.tidy != self.prompts.tidy:
            return False
        if now == self.prompts:
            self.place, self.chosen = 0, None
            return True
        same = (now.clicks, now.view) == (self.prompts.clicks, self.prompts.view)
        return same and self.chosen is not None and now.start is self.chosen


class AlternativeMasks(Tool):
    """Goes through the alternatives to the mask of the current object.

    Parameters
    ----------
    controller
        Its annotations are followed.

    Attributes
    ----------
    choices : Choices
        What was accepted for the last objects, of all planes and images; another model
        begins anew.
    """

    changed = Signal()
    """Emitted when :attr:`offer` may be another one, or another place in it."""

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self.choices = Choices()
        self._model = ""
        self._offer: Offer | None = None
        self._asked: Prompts | None = None
        self._wanted = False
        self._numbers = TemporaryKeys()
        for name, place in _PLACES.items():
            controller.register(name, partial(self._go, place))
        self.changed.connect(self._bind_numbers)

    @property
    def offer(self) -> Offer | None:
        """The alternatives of the object as it is now; ``None`` if none are known."""
        current, offer = self.current, self._offer
        if current is None or offer is None or not offer.holds_for(current.current):
            return None
        return offer

    @property
    def wanted(self) -> bool:
        """True while the alternatives of each mask are computed, to be looked at."""
        return self._wanted

    @wanted.setter
    def wanted(self, wanted: bool) -> None:
        self._wanted = wanted
        self._prepare()

    def show(self) -> None:
        """Compute the alternatives of the object as it is now."""
        self._go(lambda offer: offer.place)

    def choose(self, place: int) -> None:
        """Draw one of the alternatives, by its place."""
        self._go(lambda offer: place if 0 <= place < len(offer.found) else None)

    def forget_choices(self) -> None:
        """Offer masks in the usual order again, from the next ones on."""
        self.choices.forget()
        self._offer = self._asked = None
        self._prepare()
        self.changed.emit()

    def on_attached(self, annotation: Annotation) -> None:
        """Follow the clicks and the plane."""
        events = annotation.events
        self._share_choices()
        self.follow(events.plane_changed, self._share_choices)
        for signal in (events.clicks_changed, events.accepted, events.plane_entered):
            self.follow(signal, self._on_change)
        self.follow(events.predicted, self._prepare)

    def on_detached(self, annotation: Annotation) -> None:  # noqa: ARG002
        """Know of no alternatives any more."""
        self._offer = self._asked = None
        self.changed.emit()

    def _share_choices(self) -> None:
        """Have the session of the displayed plane count what is accepted."""
        session = None if self.current is None else self.current.session
        if session is None or session.choices is self.choices:
            return
        if session.segmenter.info.name != self._model:
            self._model = session.segmenter.info.name
            self.choices = session.choices
        session.choices = self.choices

    def _bind_numbers(self) -> None:
        """Have number keys choose while there is a choice; else they are napari's."""
        annotation, offer = self.annotation, self.offer
        count = 0 if offer is None else len(offer.found)
        if annotation is None or count < 2:
            self._numbers.clear()
        else:
            places = {str(n + 1): partial(self.choose, n) for n in range(count)}
            self._numbers.bind(annotation, places)

    def _on_change(self, *_: object) -> None:
        if self._offer is not None:
            self.changed.emit()

    def _go(self, place: Place) -> None:
        """Draw another alternative; compute them first if they are not known."""
        current = self.current
        if current is None:
            return
        if not current.clicks:
            self.say("No mask yet: click on an object first.")
        elif (offer := self.offer) is not None:
            self._draw(current, offer, place)
        else:
            self._ask(current, place)

    def _prepare(self, *_: object) -> None:
        """Have the alternatives computed, if they are to be looked at."""
        current = self.current if self._wanted else None
        if current is None or current.session is None or current.accepting:
            return
        found, prompts = predicted(current), current.current.prompts
        if found is None or not current.clicks or prompts == self._asked:
            return
        if self.offer is None:
            self._asked = prompts
            arrived = partial(self._on_found, current, current.current, prompts, None)
            self.ask(_job(current.session, found), arrived)

    def _ask(self, current: PlaneAnnotation, place: Place) -> None:
        """Ask the inference thread for the alternatives of the present mask."""
        session, found = current.session, predicted(current)
        if session is None or found is None or current.accepting:
            self.say("The mask is not there yet: try again in a moment.")
            return
        prompts = current.current.prompts
        arrived = partial(self._on_found, current, current.current, prompts, place)
        self.ask(_job(session, found), arrived)

    def _on_found(
        self,
        current: PlaneAnnotation,
        asked: CurrentObject,
        prompts: Prompts,
        place: Place | None,
        found: tuple[Alternative, ...] | None,
        _seconds: float,
    ) -> None:
        """Keep what was found, if the clicks are those it was asked for.

        Without a place nothing is drawn or told.
        """
        if self.annotation is not None:
            self.annotation.click_layers.settle()  # what was clicked before comes first
        if found is None or current is not self.current:
            return
        offer = Offer(asked, prompts, found)
        if current.accepting or not offer.holds_for(current.current):
            return
        self._offer = offer
        _measure(current, offer)
        if place is None:
            self.changed.emit()
        else:
            self._draw(current, offer, place)

    def _draw(self, current: PlaneAnnotation, offer: Offer, place: Place) -> None:
        """Draw another alternative and tell which it is."""
        _measure(current, offer)  # others may be overwritten by now, or not
        count, chosen = len(offer.found), place(offer)
        if count == 1:
            self.say("The clicks leave no other mask.")
        elif chosen is None:
            self.say("There is no such mask.")
        elif chosen != offer.place:
            other = offer.found[chosen]
            one = other.prediction if chosen else None
            current.choose(one, other.slot, instead=offer.place > 0)
            offer.place, offer.chosen = (
                chosen,
                current.current.start if chosen else None,
            )
        covered = chosen is not None and not offer.areas[chosen]
        if covered and current.drawn.live.how != "cut":
            self.say(COVERED)
        elif count > 1 and chosen is not None:
            self.say(_told(offer))
        self.changed.emit()


def pictures(offer: Offer, prepared: PreparedImage, size: int) -> list[Pixels]:
    """Return small pictures of the alternatives, on the part of the image they need.

    Parameters
    ----------
    offer
        The alternatives.
    prepared
        The image of their session.
    size
        Pixels of the longer side.

    Returns
    -------
    list of ndarray
        Red, green and blue, uint8, shape (h, w, 3); dim outside the mask, with its
        border in yellow.
    """
    parts = offer.parts
    low, high = _crop([box for box, mask in parts if mask.any()], prepared.shape)
    steps = max(1.0, float((high - low).max()) / size)
    rows, cols = (
        np.arange(first, last, steps).astype(int)
        for first, last in zip(low, high, strict=True)
    )
    image = to_rgb(prepared.read(rows, cols))
    return [_picture(image, _on_grid(*part, rows, cols)) for part in parts]


def _crop(
    boxes: list[Box], shape: tuple[int, int]
) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Return the corners of the part of an image that shows masks on boxes.

    The first is shown large enough, though others may reach beyond the part.
    """
    if not boxes:
        return np.zeros(2, int), np.array(shape)
    every = np.array(boxes)
    low, high = every[:, :2].min(axis=0), every[:, 2:].max(axis=0)
    margin = MARGIN * (high - low)
    around = (WIDEST - 1) / 2 * (every[0, 2:] - every[0, :2]).max()
    low = np.maximum(low - margin, every[0, :2] - around)
    high = np.minimum(high + margin, every[0, 2:] + around)
    return np.maximum(low, 0).astype(int), np.minimum(np.ceil(high), shape).astype(int)


def _on_grid(
    box: Box, mask: Mask, rows: NDArray[np.int_], cols: NDArray[np.int_]
) -> Mask:
    """Return a mask, known on a box, at the pixels of a grid."""
    found = np.zeros((len(rows), len(cols)), dtype=bool)
    down = (rows >= box[0]) & (rows < box[2])
    right = (cols >= box[1]) & (cols < box[3])
    found[np.ix_(down, right)] = mask[np.ix_(rows[down] - box[0], cols[right] - box[1])]
    return found


def _picture(image: NDArray[np.float32], mask: Mask) -> Pixels:
    """Return a mask on an image, (3, h, w), as (h, w, 3)."""
    light = np.where(mask, 1.0, DIM) * np.clip(image, 0, 1)
    picture = (255 * np.moveaxis(light, 0, -1)).astype(np.uint8)
    picture[mask & ~ndimage.binary_erosion(mask)] = YELLOW
    return picture


def _measure(current: PlaneAnnotation, offer: Offer) -> None:
    """Take note of what the object would have of each mask."""
    offer.parts = tuple(current.drawn.written([one.trimmed for one in offer.found]))


def _next(offer: Offer) -> int:
    return (offer.place + 1) % len(offer.found)


def _previous(offer: Offer) -> int:
    return (offer.place - 1) % len(offer.found)


def _smaller(offer: Offer) -> int | None:
    """Return the place of the largest of the smaller masks."""
    now = offer.areas[offer.place]
    areas = {area: k for k, area in enumerate(offer.areas) if area < now}
    return areas[max(areas)] if areas else None


def _larger(offer: Offer) -> int | None:
    """Return the place of the smallest of the larger masks."""
    now = offer.areas[offer.place]
    areas = {area: k for k, area in enumerate(offer.areas) if area > now}
    return areas[min(areas)] if areas else None


_PLACES: dict[str, Place] = {
    "alternative_next": _next,
    "alternative_previous": _previous,
    "alternative_smaller": _smaller,
    "alternative_larger": _larger,
}


def _told(offer: Offer) -> str:
    """Return what the user is told of the alternative that is drawn."""
    area, count = offer.areas[offer.place], len(offer.found)
    return (
        f"Mask {offer.place + 1} of {count} for these clicks: {area:,} pixels. "
        f"{key_of('alternative_next')} goes to the next one."
    )


def _job(
    session: Session, prediction: Prediction
) -> Callable[[Callable[[], bool]], tuple[Alternative, ...] | None]:
    """Return the job for the inference thread."""
    segmenter, prepared = session.segmenter, session.prepared
    preferred = session.choices.preferred

    def work(cancelled: Callable[[], bool]) -> tuple[Alternative, ...] | None:
        if cancelled():
            return None
        proposals = propose(segmenter, prepared, prediction)
        return select(prediction, proposals, preferred=preferred)

    return work
