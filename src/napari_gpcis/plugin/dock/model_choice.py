"""Choice of a model, which is downloaded if it is not here yet.

Until a download ends the present model stays in use.
"""

from __future__ import annotations

import time
from functools import partial
from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_gpcis.checkpoints import download_model
from napari_gpcis.checkpoints.registry import DEFAULT_MODEL, facts, megabytes
from napari_gpcis.plugin.background import LatestWins
from napari_gpcis.plugin.dock.base import Section
from napari_gpcis.plugin.dock.model_list import MODELS, Choice
from napari_gpcis.plugin.settings.preferences import PREFERENCES, follow

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_gpcis.plugin.background import Answer


HELP = (
    "The model that turns clicks into masks. One marked 'download' is fetched when "
    "you choose it; until it is here the present one is used. The page Settings says "
    "what each is for."
)
RETRY, RETRY_HELP = "Try again", "Go on with what came before; it is not fetched twice."
CANCEL = "Cancel"
CANCEL_HELP = "Keep the model in use. What came so far is kept, too."
PROGRESS_HELP = "How much of the model is here."
ASKING = "Asking for {} ..."
DOWNLOADING = "Downloading: {} of {}"
CONVERTING = "Downloaded; checking and converting ..."
FAILED = "<b>{} is not here.</b> {}"
GONE = "{} is not there any more."
STAYS = "{} stays in use."
DETAILS = "Details"
_STEPS = 1000

REPORT_EVERY = 0.1
"""Seconds between two reports of progress."""


class ModelChoice(QWidget):
    """Combo box of all models, and below it the progress of a download.

    Parameters
    ----------
    parent
        Qt parent.

    Attributes
    ----------
    model : str
        The model in use: a name, or a file.
    """

    picked = Signal(str)
    """Emitted with the key of a model to use, which is here."""
    shown = Signal()
    """Emitted when another entry is shown or the list has changed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.combo = QComboBox()
        self.combo.setToolTip(HELP)
        self.combo.setAccessibleName("Model")
        self.combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.combo.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.combo.setMinimumContentsLength(12)
        self.download = Download(self)
        self.note = DownloadNote()
        self._choices: list[Choice] = []
        self.model = self._failed = ""
        self.refresh()
        self.model = self._first()
        self._show_model()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.combo)
        column.addWidget(self.note)
        self._connect()

    @property
    def choice(self) -> Choice | None:
        """The entry shown, whose model may still be downloading."""
        place = self.combo.currentIndex()
        return self._choices[place] if 0 <= place < len(self._choices) else None

    def close_links(self) -> None:
        """End the download and disconnect from the list."""
        self._end()
        self.download.stop()
        self.download.end_thread()

    def use(self, key: str) -> None:
        """Use a model, downloading it first if need be; an unknown key does nothing."""
        place = next((n for n, c in enumerate(self._choices) if c.key == key), -1)
        if place >= 0:
            self.combo.setCurrentIndex(place)
            self._on_activated(place)

    def refresh(self) -> None:
        """Read the list of models again; the entry shown stays."""
        shown = self.choice.key if self.choice else self.model
        with QSignalBlocker(self.combo):
            self._choices = MODELS.choices() or [Choice(DEFAULT_MODEL, None)]
            self.combo.clear()
            for place, choice in enumerate(self._choices):
                self.combo.addItem(choice.title)
                self.combo.setItemData(
                    place, _tooltip(choice), Qt.ItemDataRole.ToolTipRole
                )
            self._show(shown)
        self.shown.emit()

    def event(self, event: QEvent) -> bool:
        """Update the list when the widget is shown again."""
        if event.type() == QEvent.Type.Show:
            self.refresh()
        return bool(super().event(event))

    def _connect(self) -> None:
        self.combo.activated.connect(self._on_activated)
        self.combo.currentIndexChanged.connect(lambda _: self.shown.emit())
        self.download.progressed.connect(self.note.show_progress)
        self.download.succeeded.connect(self._on_succeeded)
        self.download.failed.connect(self._on_failed)
        self.note.cancel.clicked.connect(self._on_cancel)
        self.note.retry.clicked.connect(self._on_retry)
        self._end = follow(MODELS.changed, self.refresh, self)

    def _first(self) -> str:
        """Return the model to begin with: the preferred one, if it is here."""
        here = [choice.key for choice in self._choices if choice.is_here]
        for key in (PREFERENCES.model, DEFAULT_MODEL, *here):
            if key in here:
                return key
        return self._choices[0].key

    def _show(self, key: str) -> None:
        """Select an entry of the combo box."""
        keys = [choice.key for choice in self._choices]
        self.combo.setCurrentIndex(keys.index(key) if key in keys else 0)

    def _show_model(self) -> None:
        self._show(self.model)

    def _on_activated(self, place: int) -> None:
        known = self._choices[place]
        choice = MODELS.find(known.key) or Choice(known.key, None)
        self.download.stop()
        self.note.hide()
        if choice.is_here:
            self._take(choice.key)
        elif choice.entry is None:  # its file is gone, perhaps while it was listed
            self.refresh()
            stays = STAYS.format(self.model)
            self.note.show_error(choice.title, stays, GONE.format(choice.key))
            self._failed = choice.key
            self._show_model()
        else:
            self._begin(choice.key)

    def _take(self, key: str) -> None:
        self.model = key
        PREFERENCES.model = key
        self.picked.emit(key)

    def _begin(self, name: str) -> None:
        self.note.show_start(name)
        self.download.start(name)

    def _on_succeeded(self, name: str) -> None:
        self.note.hide()
        MODELS.changed.emit()
        self._show(name)
        self._take(name)

    def _on_failed(self, name: str, why: str) -> None:
        self.note.show_error(name, STAYS.format(self.model), why)
        self._failed = name
        self._show_model()

    def _on_cancel(self) -> None:
        """Keep the old model."""
        self.download.stop()
        self.note.hide()
        self._show_model()

    def _on_retry(self) -> None:
        self.use(self._failed)


class DownloadNote(QWidget):
    """Progress of a download, or its failure in a line; hidden without one."""

    def __init__(self) -> None:
        super().__init__()
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Download")
        self.bar.setToolTip(PROGRESS_HELP)
        self.retry = QPushButton(RETRY)
        self.retry.setToolTip(RETRY_HELP)
        self.cancel = QPushButton(CANCEL)
        self.cancel.setToolTip(CANCEL_HELP)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.text, 0, 0, 1, 3)
        grid.addWidget(self.bar, 1, 0)
        grid.addWidget(self.retry, 1, 1)
        grid.addWidget(self.cancel, 1, 2)
        grid.setColumnStretch(0, 1)
        self.details = QLabel()
        self.details.setWordWrap(True)
        self.details.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
        )
        self.fold = Section(DETAILS, self.details)
        grid.addWidget(self.fold, 2, 0, 1, 3)
        self.hide()

    def show_start(self, name: str) -> None:
        """Show that a download begins."""
        self._turn(ASKING.format(name), failed=False)
        self.bar.setRange(0, 0)

    def show_progress(self, done: int, total: int) -> None:
        """Show the progress; the last step is the conversion."""
        if done < total:
            text = DOWNLOADING.format(megabytes(done), megabytes(total))
        else:
            text = CONVERTING
        self._turn(text, failed=False)
        self.bar.setRange(0, _STEPS)
        self.bar.setValue(round(_STEPS * done / max(total, 1)))

    def show_error(self, name: str, words: str, why: str) -> None:
        """Show that a download has failed in a line, and the reason in a fold."""
        self.details.setText(why)
        self.fold.unfolded = False
        self._turn(FAILED.format(escape(name), escape(words)), failed=True)

    def _turn(self, text: str, *, failed: bool) -> None:
        self.text.setText(text)
        self.bar.setVisible(not failed)
        self.retry.setVisible(failed)
        self.cancel.setVisible(not failed)
        self.fold.setVisible(failed)
        self.show()


def _tooltip(choice: Choice) -> str:
    """Return the tooltip of an entry of the combo box."""
    if choice.entry is None:
        return choice.key
    return facts(choice.entry).purpose


class _StoppedError(Exception):
    """Raised in the thread when a download was cancelled."""


class Download(QObject):
    """Download of one model at a time, on a thread of its own.

    Bytes that came before a stop or a failure are kept: the next start resumes there.

    Parameters
    ----------
    parent
        Qt parent.
    """

    progressed = Signal(object, object)
    """Emitted with bytes downloaded and in total (``None`` while unknown)."""
    succeeded = Signal(str)
    """Emitted with the name of a model that is here now."""
    failed = Signal(str, str)
    """Emitted with the name of a model that could not be downloaded, and the reason."""

    _arrived = Signal(object)
    _reported = Signal(str, object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.name: str | None = None
        self._queue = LatestWins(self._send)
        queued = Qt.ConnectionType.QueuedConnection
        self._arrived.connect(self._receive, queued)
        self._reported.connect(self._show, queued)
        self.destroyed.connect(self.end_thread)

    @property
    def running(self) -> bool:
        """True while a model is being downloaded."""
        return self.name is not None

    def start(self, name: str) -> None:
        """Fetch a model; one that is being fetched is given up."""
        self.name = name
        self._queue.submit("download", partial(self._fetch, name))

    def stop(self) -> None:
        """Give up; what came so far is kept."""
        self.name = None
        self._queue.cancel("download")

    @property
    def end_thread(self) -> Callable[..., None]:
        """Function that ends the thread without waiting for a slow network."""
        queue = self._queue

        def end(*_: object) -> None:
            queue.close(timeout=0)

        return end

    def _fetch(self, name: str, cancelled: Callable[[], bool]) -> str:
        """Fetch a model (on the thread)."""
        last = 0.0

        def report(done: int, total: int) -> None:
            nonlocal last
            if cancelled():
                raise _StoppedError
            now = time.monotonic()
            if now - last >= REPORT_EVERY or done == total:
                last = now
                self._reported.emit(name, done, total)

        download_model(name, report)
        return name

    def _send(self, answer: Answer) -> None:
        """Hand the outcome to the GUI thread (called on the thread)."""
        try:
            self._arrived.emit(answer)
        except RuntimeError:  # Qt has deleted this object: the window is closing
            self._queue.close(timeout=0)

    def _show(self, name: str, done: int, total: int) -> None:
        if name == self.name:
            self.progressed.emit(done, total)

    def _receive(self, answer: Answer) -> None:
        """Report the outcome unless it is not wanted any more (in the GUI thread)."""
        if not self._queue.forget(answer) or self.name is None:
            return
        name, self.name = self.name, None
        if answer.error is None:
            self.succeeded.emit(name)
        else:
            self.failed.emit(name, str(answer.error) or type(answer.error).__name__)
