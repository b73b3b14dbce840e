"""Section "Brightness": which values are black and white for the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel

from napari_gpcis.plugin.dock.base import explain_labels
from napari_gpcis.plugin.dock.panels.base import Panel
from napari_gpcis.plugin.viewer.channels import choose_contrast, chosen_contrast

if TYPE_CHECKING:
    from napari_gpcis.plugin.annotation.controller import Binding

HELP = (
    "What the model sees as black and white.\n"
    "From the values: 8-bit colour as it is, anything else between its 0.1 and 99.9 "
    "percentiles on each plane; the contrast sliders do not change masks.\n"
    "As the layer shows it now: its contrast limits, as they are when you choose this."
)
_NARROW = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon


class ContrastPanel(Panel):
    """The choice of contrast, and the contrast in use.

    Parameters
    ----------
    binding
        What the section shows and commands.
    """

    title: ClassVar[str] = "Brightness"

    def __init__(self, binding: Binding) -> None:
        super().__init__(binding)
        self.choice = QComboBox()
        self.choice.addItem("from the values", False)
        self.choice.addItem("as the layer shows it now", True)
        self.choice.setToolTip(HELP)
        self.choice.setSizeAdjustPolicy(_NARROW)
        self.choice.setMinimumContentsLength(10)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.setToolTip(HELP)
        form = QFormLayout()
        form.addRow("Contrast", self.choice)
        explain_labels(form)
        self.column.addLayout(form)
        self.column.addWidget(self.words)
        self.choice.activated.connect(self._on_choice)
        self.show_state()

    def show_state(self) -> None:
        """Show what was chosen, and state the contrast of the displayed plane."""
        annotation, session = self.binding.annotation, self.binding.session
        image = None if annotation is None else annotation.image
        self.choice.setEnabled(image is not None and not image.rgb)
        fixed = image is not None and chosen_contrast(image) is not None
        with QSignalBlocker(self.choice):
            self.choice.setCurrentIndex(int(fixed))
        if session is None:
            self.words.setText("")
            return
        pairs = [f"{low:g} is black, {high:g} is white" for low, high in session.limits]
        self.words.setText("For the model, " + "; ".join(dict.fromkeys(pairs)) + ".")

    def _on_choice(self, _place: int) -> None:
        annotation = self.binding.annotation
        if annotation is not None:
            choose_contrast(annotation.image, fixed=self.choice.currentData())
            annotation.reopen()
