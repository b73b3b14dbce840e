"""Active layer: back to clicking, overlays that give way, the brush of the object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import ref

from napari.layers import Image, Labels
from qtpy.QtCore import QTimer

from napari_gpcis.plugin.debouncing import Debouncer
from napari_gpcis.plugin.labels.pixels import PAINTING
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.plugin.viewer.layers import unwrapped
from napari_gpcis.plugin.viewer.overlays import is_ours_to_show
from napari_gpcis.plugin.viewer.planes import camera_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Layer

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller

DRAWS_ON = "Brush and eraser change object {}: accept it when it is right."
WAITS = "Brush and eraser wait for the masks that are on their way."
AT_REST = "pan_zoom"
"""Mode of a labels layer in which the mouse draws nothing."""
QUIET = 400
"""Milliseconds without a change, with the mouse over the canvas."""
_LOOKS = ("contrast_limits", "gamma", "colormap", "visible")
"""Changes of an image to see it better; of other layers only the last."""


class ReturnToClicks(Tool):
    """Makes the clicks' layer active again once the mouse is back on the canvas.

    It does so after contrast, zoom or visibility were changed, or the 3-D display was
    left, if the active layer is one on which a click does nothing: an image, or the
    clicks' own in another mode. Whoever draws in a layer, selects points, or has hidden
    the clicks is left alone.

    Parameters
    ----------
    controller
        Its annotations are followed.
    """

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self._due = False
        self._soon = Debouncer(self._return, QUIET, self)

    def on_attached(self, annotation: Annotation) -> None:
        """Follow camera, mouse and layers."""
        viewer, camera = annotation.viewer, camera_of(annotation.viewer).events
        self.follow(viewer.events.mouse_over_canvas, self._on_over)
        self.follow(viewer.layers.events.inserted, self._on_inserted)
        self.follow(viewer.dims.events.ndisplay, self._on_display)
        self.follow(annotation.events.clicking_changed, self._on_clicking)
        for event in (camera.zoom, camera.center):
            self.follow(event, self._on_camera)
        for layer in viewer.layers:
            self._watch(layer)

    def on_detached(self, annotation: Annotation) -> None:  # noqa: ARG002
        """Return no more."""
        self._soon.cancel()
        self._due = False

    def _watch(self, layer: Layer) -> None:
        if is_ours_to_show(layer):
            return
        for name in _LOOKS if isinstance(layer, Image) else _LOOKS[-1:]:
            self.follow(layer.events[name], self._on_look)

    def _on_inserted(self, event: Any) -> None:
        self._watch(event.value)

    def _on_clicking(self, clicking: bool) -> None:
        """Another layer or mode was chosen: that alone is no reason to return."""
        self._due = False
        if clicking:
            self._soon.cancel()

    def _on_display(self, event: Any) -> None:
        """Return after the 3-D display, in which napari ends the mode of clicks."""
        if event.value == 2 and PREFERENCES.return_to_clicks:
            self._make_due()

    def _on_look(self, _event: Any = None) -> None:
        self._note(camera=False)

    def _on_camera(self, _event: Any = None) -> None:
        self._note(camera=True)

    def _note(self, *, camera: bool) -> None:
        """Take note of a change, and return when the mouse is over the canvas."""
        annotation = self.annotation
        if annotation is None or not PREFERENCES.return_to_clicks:
            return
        if annotation.clicking or not self._idle(annotation, camera=camera):
            return
        self._make_due()

    def _make_due(self) -> None:
        self._due = True
        if self.annotation is not None and self.annotation.viewer.mouse_over_canvas:
            self._soon.throttle()

    def _idle(self, annotation: Annotation, *, camera: bool) -> bool:
        """Return whether a click on the active layer would do nothing."""
        active = annotation.viewer.layers.selection.active
        if annotation.current is None or annotation.click_layers.hidden:
            return False
        if active is None:
            return True
        ours = any(layer == active for layer in annotation.click_layers.layers.values())
        looking = isinstance(active, Image) or (
            isinstance(active, Labels) and not camera
        )
        return (ours or looking) and str(active.mode) == AT_REST

    def _on_over(self, _event: Any = None) -> None:
        annotation = self.annotation
        if annotation is not None and annotation.viewer.mouse_over_canvas:
            self._return()

    def _return(self) -> None:
        """Make the clicks' layer active, if there is a reason to."""
        annotation, due = self.annotation, self._due
        self._due = False
        if annotation is None or not due or annotation.clicking:
            return
        if self._idle(annotation, camera=False):
            annotation.click_layers.select(annotation.viewer)


class OverlaysGiveWay(Tool):
    """Makes the layer of before active again where an overlay was chosen in the list.

    That is done once the mouse is on the canvas, on which nothing can be done with an
    overlay: until then it can be looked at, renamed, hidden or deleted.

    Parameters
    ----------
    controller
        Its annotations are followed.
    """

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self._before: Callable[[], Layer | None] = _nothing
        self._soon = Debouncer(self._give_way, parent=self)

    def on_attached(self, annotation: Annotation) -> None:
        """Follow the active layer and the mouse."""
        viewer = annotation.viewer
        self.follow(viewer.layers.selection.events.active, self._on_active)
        self.follow(viewer.events.mouse_over_canvas, self._on_over)
        self._on_active()

    def on_detached(self, annotation: Annotation) -> None:  # noqa: ARG002
        """Give way no more: the overlays go."""
        self._soon.cancel()
        self._before = _nothing

    def _on_active(self, _event: Any = None) -> None:
        if self.annotation is None:
            return
        active = self.annotation.viewer.layers.selection.active
        if active is not None and is_ours_to_show(active):
            if self.annotation.viewer.mouse_over_canvas:
                self._soon.throttle()
        elif active is not None:
            self._before = ref(unwrapped(active))  # nobody else keeps a proxy

    def _on_over(self, _event: Any = None) -> None:
        if self.annotation is not None and self.annotation.viewer.mouse_over_canvas:
            self._give_way()

    def _give_way(self) -> None:
        """Make the layer of before active, or the clicks' if it is gone."""
        annotation, before = self.annotation, self._before()
        if annotation is None:
            return
        layers = annotation.viewer.layers
        active = layers.selection.active
        if active is None or not is_ours_to_show(active):
            return
        if before is not None and before in layers:
            layers.selection.active = before
        else:
            annotation.click_layers.select(annotation.viewer)


def _nothing() -> None:
    """Return nothing, as the reference to a layer that was deleted does."""


class _Before(NamedTuple):
    """Label that was chosen in the labels layer before, and the one that is now."""

    selected: int
    preserved: bool
    chosen: int


class Brush(Tool):
    """Chooses the current object's label while the user draws in the labels layer.

    Other objects are protected meanwhile, unless they may be overwritten. When the
    object is finished or cleared, the label that was selected before is so again, and
    clicking goes on.

    An object has no label before its mask is there: brush and eraser wait for it, as
    they would change whatever object is selected.

    Parameters
    ----------
    controller
        Its annotations are followed.
    """

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self._before: _Before | None = None
        self._held = ""  # the mode that waits for a mask
        self._of_object = False  # whether an object was being clicked then

    @property
    def on(self) -> bool:
        """True while the brush belongs to the current object."""
        return self._before is not None

    def on_attached(self, annotation: Annotation) -> None:
        """Follow the mode of the labels layer, and the current object."""
        events, labels = annotation.events, annotation.layers.labels
        for signal in (
            events.clicking_changed,
            events.predicted,
            events.accepted,
            events.plane_changed,
            events.waiting_changed,
            labels.events.mode,
            annotation.viewer.layers.selection.events.active,
        ):
            self.follow(signal, self._check)

    def on_detached(self, annotation: Annotation) -> None:
        """Give the label back."""
        self._held = ""
        self._give_back(annotation.layers.labels)

    def _check(self, *_: Any) -> None:
        """Choose the label of the current object, or that of before."""
        annotation = self.annotation
        known = self._before
        if annotation is None:
            return
        if self._held:
            self._go_on(annotation)
            return
        drawing = self._drawing(annotation)
        if known is None and not drawing:
            return
        if drawing:
            annotation.click_layers.settle()
            if self._is_early(annotation):
                self._hold(annotation)
                return
        labels, label = annotation.layers.labels, self._label(annotation)
        if known is not None and known.chosen == label:
            return
        self._give_back(labels)
        if label:
            self._before = _Before(
                int(labels.selected_label), bool(labels.preserve_labels), label
            )
            labels.selected_label = label
            labels.preserve_labels = PREFERENCES.protect
            self.say(DRAWS_ON.format(label))
        elif known is not None and self._drawing(annotation):
            self.controller.ready()  # the object is finished, or gone

    def _is_early(self, annotation: Annotation) -> bool:
        """Return whether an object is clicked, or accepted, that has no label yet."""
        current = annotation.current
        if current is None:
            return False
        begun = bool(current.current.clicks)
        return current.accepting or (begun and not current.drawn.live.label)

    def _hold(self, annotation: Annotation) -> None:
        """Let the mouse draw nothing until the mask is there."""
        labels, current = annotation.layers.labels, annotation.current
        self._give_back(labels)
        self._held = str(labels.mode)
        self._of_object = current is not None and bool(current.current.clicks)
        labels.mode = AT_REST
        # who is told of modes after this tool hears last of the one that is held
        QTimer.singleShot(0, lambda: labels.events.mode(mode=str(labels.mode)))
        self.say(WAITS)

    def _go_on(self, annotation: Annotation) -> None:
        """Let the mouse draw once the mask is there, unless the user does otherwise."""
        labels, current = annotation.layers.labels, annotation.current
        active = annotation.viewer.layers.selection.active
        if active is None or active != labels or str(labels.mode) != AT_REST:
            self._held = ""
            if annotation.message == WAITS:
                annotation.clear_message()
            self._check()
        elif not self._is_early(annotation):
            mode, self._held = self._held, ""
            begun = current is not None and bool(current.current.clicks)
            if self._of_object and not begun:  # it is accepted meanwhile, or gone
                self.controller.ready()
                return
            labels.mode = mode
            if annotation.message == WAITS:  # the brush is the user's own again
                annotation.clear_message()

    def _label(self, annotation: Annotation) -> int:
        """Return the label to draw with; 0 if the brush is the user's own."""
        current = annotation.current
        if current is None or current.accepting or not current.clicks:
            return 0
        if current.drawn.live.how == "cut" or not self._drawing(annotation):
            return 0
        return current.drawn.live.label

    def _drawing(self, annotation: Annotation) -> bool:
        """Return whether the mouse draws in the labels layer now."""
        labels = annotation.layers.labels
        active = annotation.viewer.layers.selection.active
        return active is not None and active == labels and str(labels.mode) in PAINTING

    def _give_back(self, labels: Labels) -> None:
        """Select the label of before, unless the user has selected another one."""
        known, self._before = self._before, None
        if known is None:
            return
        labels.preserve_labels = known.preserved
        if int(labels.selected_label) == known.chosen:
            labels.selected_label = known.selected
