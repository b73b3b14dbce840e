"""What an open widget does when a preference changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.colormaps.standardize_color import transform_color

from napari_gpcis.plugin.links import follow
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.viewer.layers import NEGATIVE_COLOUR, POSITIVE_COLOUR

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Points

    from napari_gpcis.plugin.annotation.controller import Binding


class Following:
    """Carries changed preferences over to one binding.

    Parameters
    ----------
    binding
        What follows.
    show_keys
        Called when keys have changed.
    """

    def __init__(self, binding: Binding, show_keys: Callable[[], None]) -> None:
        self._binding = binding
        self._show_keys = show_keys
        events = PREFERENCES.events
        self._ends = (
            follow(events.device, self._on_device, binding),
            follow(events.shortcuts, self._on_shortcuts, binding),
            follow(events.positive_colour, self._on_colours, binding),
            follow(events.negative_colour, self._on_colours, binding),
        )
        binding.started.connect(self._on_started)

    def close(self) -> None:
        """Stop following."""
        for end in self._ends:
            end()

    def _on_device(self, *_: Any) -> None:
        self._binding.reload_model()

    def _on_shortcuts(self, *_: Any) -> None:
        self._show_keys()

    def _on_started(self, *_: Any) -> None:
        """Give the clicks preferred colours; usual ones the layers have already."""
        colours = PREFERENCES.positive_colour, PREFERENCES.negative_colour
        if colours != (POSITIVE_COLOUR, NEGATIVE_COLOUR):
            self._on_colours()

    def _on_colours(self, *_: Any) -> None:
        """Give the clicks their preferred colours, those that are there as well."""
        annotation = self._binding.annotation
        if annotation is None:
            return
        colours = (
            (annotation.layers.positive, PREFERENCES.positive_colour, POSITIVE_COLOUR),
            (annotation.layers.negative, PREFERENCES.negative_colour, NEGATIVE_COLOUR),
        )
        for layer, colour, usual in colours:
            paint_points(layer, colour if is_colour(colour) else usual)


def is_colour(text: str) -> bool:
    """Return whether a text names a colour: ``"#56b4e9"``, ``"orange"``."""
    try:
        transform_color(text)
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    return True


def paint_points(layer: Points, colour: str) -> None:
    """Give all points of a layer, and those to come, one colour."""
    if layer.current_border_color == layer.current_face_color:
        layer.border_color = layer.current_border_color = colour
    layer.face_color = layer.current_face_color = colour
