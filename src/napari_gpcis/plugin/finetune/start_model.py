"""A combo box of the models that are here."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QSizePolicy, QWidget

from napari_gpcis.plugin.dock.model_list import MODELS
from napari_gpcis.plugin.settings.preferences import DEFAULT_MODEL, follow


class StartModel(QComboBox):
    """Choose the model to start from.

    Parameters
    ----------
    parent
        Qt parent.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumContentsLength(12)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("The model that goes on learning. It is not changed.")
        self.refresh()
        self._end = follow(MODELS.changed, self.refresh, self)

    @property
    def key(self) -> str:
        """Name or file of the chosen model."""
        return str(self.currentData())

    def refresh(self) -> None:
        """Offer the models there are now, keeping the chosen one."""
        shown = self.currentText() or DEFAULT_MODEL
        self.clear()
        for choice in MODELS.choices():
            if choice.is_here:
                self.addItem(choice.title, choice.key)
        self.setCurrentIndex(max(self.findText(shown), 0))

    def close_links(self) -> None:
        """Stop following the list."""
        self._end()
