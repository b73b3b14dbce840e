"""Icons of napari on buttons, in the colours of its theme."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QAbstractButton

from napari_gpcis.plugin.connections import Connections

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from qtpy.QtWidgets import QWidget

_NAME = "napari-gpcis icon"
"""Property of a button that holds the name of its icon."""
_FILE = "theme_{}:/{}.svg"
"""Folder of napari's icons, for each theme, in the search paths of Qt."""


def with_icon(button: QAbstractButton, name: str) -> None:
    """Ask for one of napari's icons on a button; :class:`ThemeIcons` draws it."""
    button.setProperty(_NAME, name)


class ThemeIcons(QObject):
    """Draws the icons of all buttons of a widget, anew for each theme.

    Parameters
    ----------
    widget
        The widget, whose buttons have asked by :func:`with_icon`.
    viewer
        The viewer whose theme is followed.
    """

    def __init__(self, widget: QWidget, viewer: ViewerModel) -> None:
        super().__init__(widget)
        self._widget, self._viewer = widget, viewer
        self._connections = Connections()
        self._connections.connect(viewer.events.theme, self._draw)
        self._draw()

    def close(self) -> None:
        """Follow the theme no more."""
        self._connections.end()

    def _draw(self, *_: object) -> None:
        for button in self._widget.findChildren(QAbstractButton):
            name = button.property(_NAME)
            if name:
                button.setIcon(QIcon(_FILE.format(self._viewer.theme, name)))
