"""Base class of the panels, and texts that several of them need."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_gpcis.plugin.dock.pages import ANNOTATE
from napari_gpcis.plugin.settings.shortcuts import key_of

if TYPE_CHECKING:
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.connections import Connectable


class Panel(QWidget):
    """Content of one section: shows the state of the controller, sends it commands.

    A panel computes nothing. Work belongs to the controller, the annotation or an
    object of its own that follows :attr:`Controller.started` and `stopped`.

    Parameters
    ----------
    controller
        The annotation shown and commanded.

    Attributes
    ----------
    title : str
        Text of the section's header.
    page : str
        Title of the tab that has the section, see :data:`.PAGES`.
    unfolded : bool
        True for a section that is open at first.
    grows : bool
        True for a section that takes the height that is free.
    """

    title: ClassVar[str]
    page: ClassVar[str] = ANNOTATE
    unfolded: ClassVar[bool] = False
    grows: ClassVar[bool] = False

    wanted = Signal(bool)
    """Emitted with true to show the whole section, with false to hide it."""

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self.controller = controller
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(8, 0, 0, 4)

    def show_state(self) -> None:
        """Update the display; see :meth:`show_on`."""

    def show_on(self, *signals: Connectable) -> None:
        """Call :meth:`show_state` whenever one of these signals is emitted."""
        for signal in signals:
            signal.connect(self.show_state)

    def _on_news(self, *_: object) -> None:
        self.show_state()

    def close_links(self) -> None:
        """Disconnect from all that outlives the widget; called once, when it closes."""


def with_key(text: str, command: str) -> str:
    """Return a text with the key of a command behind it, if it has one."""
    key = key_of(command)
    return f"{text} ({key})" if key else text
