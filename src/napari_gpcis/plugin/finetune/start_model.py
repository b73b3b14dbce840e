"""A combo box of the models that are here."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QSizePolicy, QWidget

from napari_gpcis.plugin.model_list import MODELS
from napari_gpcis.plugin.preferences import DEFAULT_MODEL


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
        MODELS.changed.connect(self.refresh)
        refresh = self.refresh  # the list of models outlives every widget
        self.destroyed.connect(
            lambda *_: MODELS.changed.disconnect(refresh, missing_ok=True)
        )

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
        MODELS.changed.disconnect(self.refresh, missing_ok=True)
