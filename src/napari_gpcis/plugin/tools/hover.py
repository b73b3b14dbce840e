"""Preview of the mask that a click would give: a contour that follows the mouse.

It comes from the Gaussian process alone, conditioned on the features of the last
prediction, so it keeps up with the mouse. Nothing waits for it. One place is asked for
at a time; of the places that the mouse has been at meanwhile, only the latest counts.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from superqt.utils import QSignalThrottler

from napari_gpcis.clicks import Click
from napari_gpcis.plugin.annotation.jobs import Answers, Contour, Question
from napari_gpcis.plugin.settings.preferences import PREFERENCES, click_colour, follow
from napari_gpcis.plugin.tools.base import MouseTool
from napari_gpcis.plugin.viewer.segments import Segments

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtCore import QObject

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.annotation.plane import PlaneAnnotation

    _Job = Callable[[Callable[[], bool]], Contour | None]

PERIOD = 30
"""Milliseconds between two drawings at least."""


class Hover(MouseTool):
    """Preview of a click at the mouse, while the preference ``hover_preview`` is on.

    Parameters
    ----------
    controller
        Its annotations are followed.
    parent
        Qt parent.
    """

    def __init__(self, controller: Controller, parent: QObject | None = None) -> None:
        super().__init__(controller, parent)
        self._next: Contour | None = None
        self._waiting: _Job | None = None
        self._answers = Answers()
        self._throttler = QSignalThrottler(parent=self)
        self._throttler.setTimeout(PERIOD)
        self._throttler.triggered.connect(self._draw)
        controller.register("hover_preview", self.toggle)
        self._end = follow(PREFERENCES.events.hover_preview, self._on_switched, self)

    def close(self) -> None:
        """Let go of the annotation and the preferences."""
        super().close()
        self._end()

    @staticmethod
    def toggle() -> None:
        """Switch the preview on or off."""
        PREFERENCES.hover_preview = not PREFERENCES.hover_preview

    @property
    def shown(self) -> bool:
        """True if a contour is drawn."""
        return self.annotation is not None and self.annotation.curves.shows(_PREVIEW)

    # Following --------------------------------------------------------------------

    def on_attached(self, annotation: Annotation) -> None:
        """Make the layer of the contour ready; watch the mouse over the clicks."""
        events, over = annotation.events, annotation.viewer.events.mouse_over_canvas
        for signal in (events.plane_entered, events.clicks_changed, events.accepted):
            self.follow(signal, self._on_change)
        self.follow(over, self._on_over)
        self.follow(events.clicking_changed, self._on_clicking)
        super().on_attached(annotation)
        self._prepare()

    def on_detached(self, annotation: Annotation) -> None:
        """Take the contour away."""
        self.clear()
        super().on_detached(annotation)
        annotation.curves.clear(_PREVIEW)
        self._answers = Answers()

    def _prepare(self) -> None:
        """Make the layer now, not while the mouse moves."""
        if PREFERENCES.hover_preview and self.annotation:
            self.annotation.curves.prepare()

    def _on_switched(self, *_: Any) -> None:
        self._prepare()
        if not PREFERENCES.hover_preview:
            self.clear()

    def _on_change(self, *_: Any) -> None:
        self.clear()

    def _on_clicking(self, clicking: bool) -> None:
        if not clicking:
            self.clear()

    def _on_over(self, *_: Any) -> None:
        if self.annotation and not self.annotation.viewer.mouse_over_canvas:
            self.clear()

    def on_mouse_moved(self, event: Any) -> None:
        """Ask for the contour of a click at the mouse."""
        annotation, current, keys = self.annotation, self.current, event.modifiers
        wanted = PREFERENCES.hover_preview and not event.is_dragging
        if annotation is None or current is None or not wanted:
            return
        place = annotation.image.world_to_data(event.position)
        if not annotation.click_layers.is_click(place, keys):
            self.clear()
            return
        pixel = current.plane.pixel(place)
        job = None if pixel is None else self._job(current, pixel, keys)
        if job is None or not annotation.clicking:
            self.clear()
        elif annotation.worker.busy(self.key):
            self._waiting = job  # asked when the one before is answered
        else:
            self.ask(job, self._on_found, self._on_failed)

    # Asking and drawing -----------------------------------------------------------

    def _job(
        self, current: PlaneAnnotation, pixel: tuple[float, float], modifiers: Any
    ) -> _Job | None:
        """Return the job for the thread, ``None`` if nothing can be predicted now."""
        session, click = current.session, Click(*pixel, "Control" not in modifiers)
        inside = all(
            0 <= place < size
            for place, size in zip(click.pixel, current.shape, strict=True)
        )
        if session is None or not inside:
            return None
        previous = session.prediction
        if session.clicks and previous is None:
            return None  # the last click is still being computed
        question = Question(
            session.segmenter,
            session.prepared,
            current.plane,
            click,
            session.threshold,
            session.tidy,
            previous,
            current.view,
            session.start,
            session.typical_size,
        )
        return partial(self._answers.find, question)

    def _ask_next(self) -> None:
        """Ask for the place that the mouse has come to meanwhile."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self.ask(waiting, self._on_found, self._on_failed)

    def _on_found(self, contour: Contour | None, _seconds: float) -> None:
        """Draw the contour, not too often, and ask for the next."""
        self._ask_next()
        if contour is not None:
            self._next = contour
            self._throttler.throttle()

    def _on_failed(self, error: Exception) -> None:
        if self.annotation is not None:
            self.annotation.worker.report(error)
        self._ask_next()

    def _draw(self) -> None:
        contour, self._next = self._next, None
        annotation, current = self.annotation, self.current
        if contour is None or annotation is None:
            return
        if current is not None and current.plane == contour.plane:
            annotation.curves.show(
                _PREVIEW,
                contour.plane,
                _segments(current, contour),
                click_colour(contour.click.positive),
            )

    def clear(self) -> None:
        """Hide the contour, and drop the one being computed."""
        self._throttler.cancel()
        self._next = self._waiting = None
        self.cancel_job()
        if self.annotation is not None:
            self.annotation.curves.clear(_PREVIEW)


def _segments(current: PlaneAnnotation, contour: Contour) -> Segments:
    """Return the border of what the click would draw.

    It is the smooth contour, unless protected objects or edits by hand take part.
    """
    if contour.drawn is not None and not current.accepting:
        ((box, written),) = current.drawn.written([contour.drawn])
        if not np.array_equal(written, contour.drawn[1]):
            return Segments.of_labels(written, box[:2])
    return Segments.of_curves(contour.curves)


_PREVIEW = "preview"
