"""Preferences of the user, kept by napari (from 0.9 on), used by all open widgets.

napari shows the preferences of the manifest's ``configurations`` in its own dialog and
keeps them. Here they are mirrored into one typed object, :data:`PREFERENCES`, whose
events report every change, wherever it was made. Older versions of napari keep none;
then a change holds until napari is closed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache, partial
from typing import TYPE_CHECKING, Any, ClassVar

from napari.utils.colormaps.standardize_color import transform_color
from psygnal import Signal, SignalGroupDescriptor

from napari_gpcis.checkpoints.registry import DEFAULT_MODEL
from napari_gpcis.inference.tidy import DEFAULT_TIDY
from napari_gpcis.plugin.viewer.layers import NEGATIVE_COLOUR, POSITIVE_COLOUR

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtCore import QObject


PLUGIN = "napari-gpcis"

SECTIONS = {
    "models": ("model", "device"),
    "clicking": (
        "threshold",
        "tidy",
        "tidy_clicked",
        "tidy_smallest",
        "tidy_holes",
        "tidy_smoothing",
        "hover_preview",
        "size_ring",
        "encode_ahead",
        "light_fill",
        "return_to_clicks",
        "protect",
        "positive_colour",
        "negative_colour",
    ),
    "saving": ("autosave", "autosave_seconds", "autosave_beside"),
}
"""Sections of the manifest's ``configurations``, and the preferences in each."""

SHORTCUTS = "keybindings"
"""The section that holds the keys; napari cannot show one called "shortcuts"."""


@dataclass
class Preferences:
    """Preferences of the user.

    Attributes
    ----------
    model, device
        Defaults of new widgets; the device is one of ``auto``, ``cpu``, ``cuda``
        and ``mps``.
    threshold
        Probability above which a pixel is object, for new objects.
    tidy
        True to tidy the masks of new objects.
    tidy_clicked, tidy_smallest, tidy_holes, tidy_smoothing
        How, see :class:`napari_gpcis.Tidy`.
    hover_preview
        True to show the mask that a click under the mouse would give.
    size_ring
        True to show at the mouse how large the next object is likely to be.
    encode_ahead
        True to load the model before the first Start, and to encode what is seen before
        the first click (see :mod:`napari_gpcis.plugin.tools.early_encoding`).
    light_fill
        True for a light fill of the current object, false for its outline alone.
    return_to_clicks
        True to go back to clicking after contrast, zoom or visibility was changed.
    protect
        True if new objects never overwrite finished ones.
    positive_colour, negative_colour
        Of the clicks, for new layers and those in use; see `click_colour`.
    autosave, autosave_seconds
        True to keep unsaved work for recovery; shortest time between two files.
    autosave_beside
        True to write the clicks beside the image's file as well, whenever that is done.
    shortcuts
        Keys of commands that differ from the defaults, by the command's name.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    model: str = DEFAULT_MODEL
    device: str = "auto"
    threshold: float = 0.5
    tidy: bool = True
    tidy_clicked: bool = DEFAULT_TIDY.clicked
    tidy_smallest: int = DEFAULT_TIDY.smallest
    tidy_holes: int = DEFAULT_TIDY.holes
    tidy_smoothing: float = DEFAULT_TIDY.smoothing
    hover_preview: bool = False
    size_ring: bool = True
    encode_ahead: bool = True
    light_fill: bool = True
    return_to_clicks: bool = True
    protect: bool = True
    positive_colour: str = POSITIVE_COLOUR
    negative_colour: str = NEGATIVE_COLOUR
    autosave: bool = True
    autosave_seconds: int = 30
    autosave_beside: bool = False
    shortcuts: dict[str, str] = field(default_factory=dict)

    def reset(self) -> None:
        """Restore the defaults."""
        for item in fields(Preferences):
            setattr(self, item.name, getattr(Preferences(), item.name))


PREFERENCES = Preferences()
"""The preferences of this process."""


class Kept:
    """Events of what napari keeps for the plugin."""

    changed = Signal(str, object)
    """Emitted with the name of a preference that was changed there, as in napari's
    dialog, and the value before."""


KEPT = Kept()
"""Events of the preferences as napari keeps them."""

_LINKED: list[Any] = []
_LINKS: list[tuple[Any, Callable[..., None]]] = []


def click_colour(positive: bool) -> str:
    """Return the colour of clicks: the preferred one, or the default if that is none.

    Parameters
    ----------
    positive
        Of which clicks.
    """
    if positive:
        wanted, default = PREFERENCES.positive_colour, POSITIVE_COLOUR
    else:
        wanted, default = PREFERENCES.negative_colour, NEGATIVE_COLOUR
    return wanted if is_colour(wanted) else default


@cache
def is_colour(text: str) -> bool:
    """Return true if a text names a colour: ``"#56b4e9"``, ``"orange"``."""
    if not text:  # napari would take it for black
        return False
    try:
        transform_color(text)
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    return True


def link_to_napari() -> bool:
    """Mirror the preferences that napari keeps; return whether it keeps any.

    What the user changes in napari's dialog is seen here at once, and the other way
    round. Further calls do nothing.
    """
    kept = _kept_by_napari()
    if kept is None:
        return False
    if any(kept is linked for linked in _LINKED):
        return True
    _LINKED.append(kept)
    for section, names in SECTIONS.items():
        group = getattr(kept, section, None)
        for name in names:
            if hasattr(group, name):
                _mirror(group, name)
    keys = getattr(kept, SHORTCUTS, None)
    if keys is not None:
        _read_shortcuts(keys)
        _link(keys.events, partial(_on_kept_shortcuts, keys))
        _link(PREFERENCES.events.shortcuts, partial(_write_shortcuts, keys))
    return True


def unlink() -> None:
    """End all mirroring."""
    for signal, slot in _LINKS:
        signal.disconnect(slot)
    _LINKS.clear()
    _LINKED.clear()


def _link(signal: Any, slot: Callable[..., None]) -> None:
    signal.connect(slot)
    _LINKS.append((signal, slot))


def _kept_by_napari() -> Any:
    """Return the settings napari keeps for this plugin, ``None`` if it keeps none."""
    try:
        from napari.settings import get_plugin_settings
    except ImportError:  # napari before 0.9
        return None
    try:
        return get_plugin_settings(PLUGIN)
    except KeyError:  # not installed as a plugin, or switched off
        return None


def _mirror(group: Any, name: str) -> None:
    """Keep one preference equal on both sides, beginning with what napari kept."""
    setattr(PREFERENCES, name, getattr(group, name))

    def inwards(*_: Any) -> None:
        before = getattr(PREFERENCES, name)
        if before != getattr(group, name):
            setattr(PREFERENCES, name, getattr(group, name))
            KEPT.changed.emit(name, before)

    def outwards(*_: Any) -> None:
        if getattr(group, name) != getattr(PREFERENCES, name):
            setattr(group, name, getattr(PREFERENCES, name))

    _link(getattr(group.events, name), inwards)
    _link(getattr(PREFERENCES.events, name), outwards)


def _read_shortcuts(keys: Any) -> None:
    """Take over the keys that napari keeps."""
    PREFERENCES.shortcuts = dict(keys.model_dump())


def _on_kept_shortcuts(keys: Any, *_: Any) -> None:
    """Take over keys that were changed where napari keeps them."""
    before = PREFERENCES.shortcuts
    _read_shortcuts(keys)
    if before != PREFERENCES.shortcuts:
        KEPT.changed.emit("shortcuts", before)


def _write_shortcuts(keys: Any, shortcuts: dict[str, str]) -> None:
    """Have napari keep the keys."""
    for name, key in shortcuts.items():
        if getattr(keys, name, key) != key:
            setattr(keys, name, key)


def follow(
    signal: Any, slot: Callable[..., None], owner: QObject
) -> Callable[..., None]:
    """Connect a slot until its owner is deleted.

    Parameters
    ----------
    signal
        A psygnal signal.
    slot
        What is called.
    owner
        The Qt object without which the slot cannot work; a window may delete it
        at any time.

    Returns
    -------
    callable
        Ends the connection earlier; it may be called more than once.
    """
    signal.connect(slot)

    def end(*_: object) -> None:
        signal.disconnect(slot)

    owner.destroyed.connect(end)
    return end
