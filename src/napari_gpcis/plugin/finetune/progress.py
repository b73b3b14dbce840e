"""What a running training shows: a bar, words, curves and the figures."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_gpcis.plugin.finetune.chart import Curves

_STEPS = 1000
STAGES = {
    "reading": "Reading the images",
    "before": "Counting the clicks that the start model needs",
    "after": "Counting the clicks that the new model needs",
}

FIGURES_HELP = (
    "How many clicks an object needs until the mask overlaps the labels by 85 %: the "
    "mean on images that are not trained on, counted by a robot."
)


class Progress(QWidget):
    """Follows the events of a training."""

    use_wanted = Signal()
    """The person wants to use the new model."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = QProgressBar()
        self.bar.setRange(0, _STEPS)
        self.bar.setTextVisible(False)
        self.bar.setToolTip("How far the training is, by steps or by the clock.")
        self.bar.setAccessibleName("Progress of the training")
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.curves = Curves()
        self.figures = QLabel()
        self.figures.setWordWrap(True)
        self.figures.setToolTip(FIGURES_HELP)
        self.use = QPushButton("Use this model now")
        self.use.setToolTip("Choose the new model in the GPCIS widget.")
        self.use.clicked.connect(self.use_wanted)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.bar, self.words, self.figures, self.use, self.curves):
            column.addWidget(widget)
        self._before = 0.0
        self.reset("")
        self.bar.hide()
        self.curves.hide()

    def reset(self, words: str) -> None:
        """Begin again with empty curves."""
        self.bar.setValue(0)
        self.bar.show()
        self.curves.clear()
        self.curves.show()
        self.figures.setText("")
        self.figures.hide()
        self.use.hide()
        self.words.setText(words)

    def say(self, words: str) -> None:
        """Show a sentence."""
        self.words.setText(words)

    def end(self, words: str, *, usable: bool = False) -> None:
        """Show how it ended, and whether there is a model to use."""
        self.bar.hide()
        self.use.setVisible(usable)
        self.words.setText(words)

    def take(self, event: dict[str, Any]) -> None:
        """Show an event."""
        show = getattr(self, f"_show_{event['event']}", None)
        if show is not None:
            show(event)

    def _show_stage(self, event: dict[str, Any]) -> None:
        stage = STAGES.get(event["stage"], event["stage"])
        self.bar.setValue(round(_STEPS * event["done"] / max(event["total"], 1)))
        self.words.setText(f"{stage}: {event['done']} of {event['total']}")

    def _show_prepared(self, event: dict[str, Any]) -> None:
        self.words.setText(_prepared(event))

    def _show_before(self, event: dict[str, Any]) -> None:
        self._before = event["figures"]["clicks85"]
        self.curves.add_clicks(0.0, event["few"]["clicks85"])
        self._show_figures(None)

    def _show_step(self, event: dict[str, Any]) -> None:
        self.bar.setValue(round(_STEPS * event["progress"]))
        self.curves.add_loss(event["minutes"], event["loss"])
        self.words.setText(
            f"Training: step {event['step']} of at most {event['steps']}, "
            f"{event['minutes']:.1f} minutes"
        )

    def _show_validation(self, event: dict[str, Any]) -> None:
        self.curves.add_clicks(event["minutes"], event["figures"]["clicks85"])

    def _show_after(self, event: dict[str, Any]) -> None:
        self._show_figures(event["figures"]["clicks85"])

    def _show_note(self, event: dict[str, Any]) -> None:
        self.words.setText(event["message"])

    def _show_done(self, event: dict[str, Any]) -> None:
        self._before = event["before"]["clicks85"]
        self._show_figures(event["after"]["clicks85"])

    def _show_figures(self, after: float | None) -> None:
        """Show the clicks per object before, and after when they are known."""
        text = f"Clicks per object: <b>{self._before:.1f}</b> before"
        if after is not None:
            text += f", <b>{after:.1f}</b> after training"
        self.figures.setText(text)
        self.figures.show()


def _prepared(event: dict[str, Any]) -> str:
    """Return what the training data are, in one sentence."""
    text = (
        f"{event['planes']} images with {event['objects']} objects: {event['train']} "
        f"to train on, {event['val']} to validate."
    )
    if event["problems"]:
        text += f" Left out: {len(event['problems'])} ({event['problems'][0]} ...)"
    return text
