"""What all sections of the dock widget have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from qtpy.QtWidgets import QVBoxLayout, QWidget

if TYPE_CHECKING:
    from napari_gpcis.plugin.binding import Binding


class Panel(QWidget):
    """One foldable section: shows the state of the binding and sends it commands.

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
    """

    title: ClassVar[str]

    def __init__(self, binding: Binding) -> None:
        super().__init__()
        self.binding = binding
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)

    def show_state(self) -> None:
        """Show what is possible now; called whenever something may have changed."""
