"""Section "Shortcuts": table of all keys, each of which can be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from napari.utils.notifications import show_warning
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QGridLayout, QLabel, QLineEdit, QPushButton

from napari_gpcis.errors import InputError
from napari_gpcis.plugin.dock.pages import HELP_PAGE
from napari_gpcis.plugin.dock.panels.base import Panel
from napari_gpcis.plugin.settings.preferences import PREFERENCES, follow
from napari_gpcis.plugin.settings.shortcuts import (
    Shortcut,
    change,
    commands,
    default_keys,
    table,
)

if TYPE_CHECKING:
    from napari_gpcis.plugin.annotation.controller import Controller

HELP = (
    "Type other keys and press Enter; several with a space between them. The first "
    "works whatever layer is active, the others while the clicks' layer is. "
    "Examples: N, Shift-N, Control-Z, F5. Empty: the default keys."
)
RESET, RESET_HELP = "Restore defaults", "Restore the default shortcuts."
DEFAULT = "Default: {}"

_LONGEST, _AROUND = "Shift-U Control-Shift-Z", 16
"""Longest text of a field, and the pixels around it."""


class ShortcutsPanel(Panel):
    """Table of shortcuts.

    Parameters
    ----------
    controller
        The annotation that the keys command.
    """

    title: ClassVar[str] = "Shortcuts"
    page: ClassVar[str] = HELP_PAGE

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self.fields: dict[str, QLineEdit] = {}
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.reset = QPushButton(RESET)
        self.reset.setToolTip(RESET_HELP)
        help_text = QLabel(HELP)
        help_text.setWordWrap(True)
        grid = QGridLayout()
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(0, 1)
        for place, row in enumerate(table()):
            self._add_row(grid, place, row)
        self.column.addWidget(help_text)
        self.column.addWidget(self.message)
        self.column.addLayout(grid)
        self.column.addWidget(self.reset)
        self.reset.clicked.connect(self._on_reset)
        self._end = follow(PREFERENCES.events.shortcuts, self._show_keys, self)
        self._show_keys()

    def close_links(self) -> None:
        """Disconnect from the preferences."""
        self._end()

    def _add_row(self, grid: QGridLayout, place: int, row: Shortcut) -> None:
        command = row.command
        title, field = QLabel(command.title), _KeyEdit()
        title.setWordWrap(True)
        field.setAccessibleName(f"Keys: {command.title}")
        for part in (title, field):
            part.setToolTip(f"{command.help}\n{DEFAULT.format(default_keys(command))}")
        field.editingFinished.connect(lambda: self._on_edited(command.name))
        self.fields[command.name] = field
        grid.addWidget(title, place, 0)
        grid.addWidget(field, place, 1)

    def _on_edited(self, name: str) -> None:
        """Set other keys, or show why they cannot be used."""
        field = self.fields[name]
        if not field.isModified():
            return
        field.setModified(False)
        try:
            change(name, field.text())
        except InputError as error:
            self._show_keys()
            self._say(str(error))
            show_warning(str(error))  # the field may be far from the message

    def _on_reset(self) -> None:
        PREFERENCES.shortcuts = {one.name: default_keys(one) for one in commands()}

    def _show_keys(self, *_: Any) -> None:
        """Show the keys in use, and the reasons why others are not."""
        rows = table()
        for row in rows:
            self.fields[row.command.name].setText(row.text)
        problems = [row.problem for row in rows if row.problem]
        refused = self.controller.refused_keys.values()
        self._say("\n".join([*problems, *refused]))

    def _say(self, text: str) -> None:
        self.message.setText(text)
        self.message.setVisible(bool(text))


class _KeyEdit(QLineEdit):
    """Line edit that keeps its key presses: napari would run them as shortcuts."""

    def event(self, event: QEvent) -> bool:
        """Keep all keys."""
        done = bool(super().event(event))
        if event.type() in (QEvent.Type.Polish, QEvent.Type.FontChange):
            self.setFixedWidth(self.fontMetrics().horizontalAdvance(_LONGEST) + _AROUND)
        if event.type() in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease):
            event.accept()
            return True
        return done
