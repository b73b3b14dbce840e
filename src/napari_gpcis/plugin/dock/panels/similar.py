"""Section "Find similar objects": a search, and candidates to accept or reject."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSlider,
)

from napari_gpcis.plugin.dock.base import Lines
from napari_gpcis.plugin.dock.icons import with_icon
from napari_gpcis.plugin.dock.pages import REVIEW
from napari_gpcis.plugin.dock.panels.base import Panel, with_key
from napari_gpcis.plugin.settings.preferences import PREFERENCES, follow
from napari_gpcis.plugin.tools.similar.candidates import SimilarObjects

if TYPE_CHECKING:
    from napari_gpcis.plugin.annotation.controller import Controller

FIND, CANCEL = "Find similar objects", "Cancel"
FIND_HELP = (
    "Look for objects like the finished ones of this plane, one to five of which are "
    "enough. They are outlined in pink; nothing is written before you accept it."
)
CANCEL_HELP = "End the search; what was found is kept. A click ends it as well."
LEAST = "Confidence at least {:.2f}"
LEAST_HELP = "Hide candidates about which the model is less sure."
EXAMPLES, HERE = "Examples", "those of this plane"
EXAMPLES_HELP = (
    "Objects of an earlier search, on another plane or image, can be examples as well "
    "as the finished ones of this plane."
)
NEXT, ACCEPT, REJECT = "Next", "Accept", "Reject"
NEXT_HELP = "Go to the next candidate, outlined in yellow."
ACCEPT_HELP = (
    "Make the candidate in yellow an object. Undo takes it back. Or click on a "
    "candidate to correct it first."
)
REJECT_HELP = "It is no such object; the next search learns from it. Undo is possible."
ACCEPT_ALL = "Accept all shown ({})"
ACCEPT_ALL_HELP = "Make all candidates in sight objects, as one step of undo."
IDLE = "Accept some objects, then have others like them found."
SEARCHING = "Searching ..."


class SimilarPanel(Panel):
    """Button for a search, its progress, and buttons to decide about candidates.

    Parameters
    ----------
    controller
        The annotation shown and commanded.
    """

    title: ClassVar[str] = "Find similar"
    page: ClassVar[str] = REVIEW

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self.similar = SimilarObjects(controller)
        self.find_button, self.stop_button = QPushButton(FIND), QPushButton(CANCEL)
        self.bar, self.message = QProgressBar(), Lines(1)
        self.least_label = QLabel()
        self.least = QSlider(Qt.Orientation.Horizontal)
        self.examples_label, self.examples = QLabel(EXAMPLES), QComboBox()
        self.next_button, self.accept_button = QPushButton(), QPushButton()
        self.reject_button, self.accept_all_button = QPushButton(), QPushButton()
        self._lay_out()
        self._show_keys()
        similar = self.similar
        for button, run in (
            (self.find_button, similar.find),
            (self.stop_button, similar.cancel),
            (self.next_button, similar.go_to_next),
            (self.accept_button, similar.accept),
            (self.reject_button, similar.reject),
            (self.accept_all_button, similar.accept_all),
        ):
            button.clicked.connect(lambda *_, run=run: run())
        self.least.valueChanged.connect(self._on_least)
        self.examples.activated.connect(self._on_examples)
        self._end = follow(PREFERENCES.events.shortcuts, self._show_keys, self)
        self.show_on(controller.started, controller.stopped, controller.plane_changed)
        self.show_on(similar.changed)
        self.show_state()

    def _lay_out(self) -> None:
        for button, text in (
            (self.find_button, FIND_HELP),
            (self.stop_button, CANCEL_HELP),
            (self.next_button, NEXT_HELP),
            (self.accept_button, ACCEPT_HELP),
            (self.reject_button, REJECT_HELP),
            (self.accept_all_button, ACCEPT_ALL_HELP),
        ):
            button.setToolTip(text)
        with_icon(self.find_button, "zoom")
        self.bar.setAccessibleName("Searched")
        self.bar.setToolTip("How much of the plane was searched.")
        self.bar.setTextVisible(False)
        self.least.setRange(0, 100)
        self.least.setAccessibleName("Least confidence")
        for part in (self.least, self.least_label):
            part.setToolTip(LEAST_HELP)
        grid = QGridLayout()
        grid.setVerticalSpacing(2)
        grid.addWidget(self.find_button, 0, 0, 1, 3)
        grid.addWidget(self.bar, 0, 0, 1, 2)
        grid.addWidget(self.stop_button, 0, 2)
        self.examples_label.setToolTip(EXAMPLES_HELP)
        self.examples.setToolTip(EXAMPLES_HELP)
        self.examples.setAccessibleName(EXAMPLES)
        short = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        self.examples.setSizeAdjustPolicy(short)
        self.examples.setMinimumContentsLength(8)
        grid.addWidget(self.examples_label, 5, 0)
        grid.addWidget(self.examples, 5, 1, 1, 2)
        grid.addWidget(self.message, 1, 0, 1, 3)
        grid.addWidget(self.least_label, 2, 0, 1, 2)
        grid.addWidget(self.least, 2, 2)
        for column, button in enumerate(
            (self.next_button, self.accept_button, self.reject_button)
        ):
            grid.addWidget(button, 3, column)
            grid.setColumnStretch(column, 1)
        grid.addWidget(self.accept_all_button, 4, 0, 1, 3)
        self.column.addLayout(grid)

    def show_state(self) -> None:
        """Show how far the search is, and what there is to decide."""
        similar = self.similar
        progress, shown, least = similar.progress, similar.shown, similar.least
        searching = progress is not None
        self.find_button.setVisible(not searching)
        self.bar.setVisible(searching)
        self.stop_button.setVisible(searching)
        if progress is not None:
            self.bar.setRange(0, progress.total)
            self.bar.setValue(progress.done)
        self.stop_button.setEnabled(not similar.ending)
        self.find_button.setEnabled(self.controller.session is not None)
        idle = SEARCHING if searching else IDLE
        self.message.setText(similar.summary or idle)
        self._show_examples()
        with QSignalBlocker(self.least):
            self.least.setValue(round(least * 100))
        self.least_label.setText(LEAST.format(least))
        self.accept_all_button.setText(ACCEPT_ALL.format(len(shown)))
        for button in (self.next_button, self.accept_all_button):
            button.setEnabled(bool(shown))
        for button in (self.accept_button, self.reject_button):
            button.setEnabled(similar.chosen in shown)

    def _show_keys(self, *_: Any) -> None:
        for button, text, command in (
            (self.find_button, FIND, "find_similar"),
            (self.next_button, NEXT, "similar_next"),
            (self.accept_button, ACCEPT, "similar_accept"),
            (self.reject_button, REJECT, "similar_reject"),
        ):
            button.setText(with_key(text, command))

    def _show_examples(self) -> None:
        """Offer the examples of other planes, if there are any."""
        names = self.similar.other_examples
        for part in (self.examples_label, self.examples):
            part.setVisible(bool(names))
        texts = [HERE, *(f"and {name}" for name in names)]
        if [self.examples.itemText(n) for n in range(self.examples.count())] != texts:
            self.examples.clear()
            for text, name in zip(texts, [None, *names], strict=True):
                self.examples.addItem(text, name)
        chosen = self.examples.findData(self.similar.source)
        self.examples.setCurrentIndex(max(0, chosen))

    def close_links(self) -> None:
        """Disconnect from the preferences."""
        self._end()

    def _on_examples(self, place: int) -> None:
        self.similar.source = self.examples.itemData(place)

    def _on_least(self, value: int) -> None:
        self.similar.least = value / 100
