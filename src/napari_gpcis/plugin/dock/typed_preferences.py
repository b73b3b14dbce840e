"""Check of what is typed in napari's preferences: what cannot be used is taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QApplication, QDialog, QLineEdit

from napari_gpcis.plugin.debouncing import Debouncer
from napari_gpcis.plugin.dock.model_list import MODELS
from napari_gpcis.plugin.settings.preferences import (
    KEPT,
    PREFERENCES,
    follow,
    is_colour,
)
from napari_gpcis.plugin.settings.shortcuts import spoken, table

if TYPE_CHECKING:
    from collections.abc import Mapping


NO_COLOUR = "{!r} is not a colour; examples: orange, #56b4e9"
NO_MODEL = "{!r} is not a model of the list"
REFUSED = "{}: {}; {} stays."
TITLES = {
    "model": "Model",
    "positive_colour": "Colour of positive clicks",
    "negative_colour": "Colour of negative clicks",
}
"""Preferences that are typed as texts, but for keys, as napari's dialog calls them."""


class TypedPreferences(QObject):
    """Takes back what was typed in napari's preferences and cannot be used.

    One notification says why, and the dialog shows what holds. A text is looked at
    when its field is left or Enter is pressed: napari passes on each character, and
    most beginnings of a right text are wrong.

    Parameters
    ----------
    parent
        Its end is the end of the check.
    """

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._before: dict[str, Any] = {}
        self._fields: WeakSet[QLineEdit] = WeakSet()
        self._soon = Debouncer(self._check, parent=self)
        follow(KEPT.changed, self._on_changed, self)

    def _on_changed(self, name: str, before: Any) -> None:
        """Look at a change when it is complete."""
        self._before.setdefault(name, before)
        field = QApplication.focusWidget()
        if not isinstance(field, QLineEdit) or not isinstance(field.window(), QDialog):
            self._soon.throttle()
        elif field not in self._fields:
            self._fields.add(field)
            field.editingFinished.connect(self._soon.throttle)

    def _check(self) -> None:
        """Take back what cannot be used, and say why."""
        before, self._before = self._before, {}
        for name in TITLES.keys() & before.keys():
            self._check_text(name, before[name])
        if "shortcuts" in before:
            self._check_keys(before["shortcuts"])

    def _check_text(self, name: str, before: str) -> None:
        """Check a colour or the model."""
        text = getattr(PREFERENCES, name)
        usable = _is_usable(name, text)
        if usable or text == before:
            return
        stays = before if _is_usable(name, before) else _default(name)
        setattr(PREFERENCES, name, stays)
        why = (NO_MODEL if name == "model" else NO_COLOUR).format(text)
        show_warning(REFUSED.format(TITLES[name], why, stays))

    def _check_keys(self, before: Mapping[str, str]) -> None:
        """Check keys, those that others have displaced as well."""
        now = PREFERENCES.shortcuts
        changed = {name for name, text in now.items() if text != before.get(name, "")}
        earlier = {row.command.name: row for row in table(before)}
        held: dict[str, str] = {}
        refused: list[str] = []
        for row in table(now, changed):
            name = row.command.name
            if row.reason and (name in changed or not earlier[name].reason):
                held[name] = (earlier[name] if name in changed else row).text
                refused.append(f"{row.reason}; {spoken(held[name])} stays.")
            elif name in changed and not now[name].strip():
                held[name] = row.text
        if held:
            PREFERENCES.shortcuts = {**now, **held}
        if refused:
            show_warning("\n".join(refused))


def _is_usable(name: str, text: str) -> bool:
    """Return whether a text names a colour, or a model that is in the list."""
    return MODELS.find(text) is not None if name == "model" else is_colour(text)


def _default(name: str) -> str:
    """Return the default of a preference."""
    return str(getattr(type(PREFERENCES)(), name))
