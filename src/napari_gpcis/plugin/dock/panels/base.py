"""What all sections of the dock widget have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_gpcis.plugin.settings.shortcuts import key_of

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_gpcis.plugin.annotation.controller import Binding


class Panel(QWidget):
    """The content of one section: shows the state of the binding, sends it commands.

    A section computes nothing. Work belongs to the binding, the annotation or an
    object of its own that follows :attr:`Binding.started` and :attr:`Binding.stopped`.

    Parameters
    ----------
    binding
        What the section shows and commands.

    Attributes
    ----------
    title : str
        What the section's header says.
    unfolded : bool
        Whether the section is open when the widget is.
    """

    title: ClassVar[str]
    unfolded: ClassVar[bool] = False

    wanted = Signal(bool)
    """Emit it to show the whole section, or to hide it with its header."""

    def __init__(self, binding: Binding) -> None:
        super().__init__()
        self.binding = binding
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(8, 0, 0, 4)

    def show_state(self) -> None:
        """Show what is possible now; called whenever something may have changed."""

    def close_links(self) -> None:
        """Let go of what outlives the widget; called once, when it is closed."""


def axis_name(image: Image, axis: int) -> str:
    """Return what an axis is called: its number, and its name if somebody gave one."""
    name = str(image.axis_labels[axis])
    return f"axis {axis}" if name.lstrip("-").isdigit() else f"axis {axis} ({name})"


def with_key(text: str, command: str) -> str:
    """Return a text with the key of a command behind it, if it has one."""
    key = key_of(command)
    return f"{text} ({key})" if key else text
