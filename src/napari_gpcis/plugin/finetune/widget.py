"""The dock widget "Fine-tune": choose labels, train, use the new model."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info
from napari.utils.theme import get_theme
from qtpy.QtCore import QCoreApplication, QTimer
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGridLayout,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_gpcis.errors import GPCISError
from napari_gpcis.plugin.background import BackgroundThread
from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.dock.base import (
    Docked,
    Tabs,
    VerticalScrollArea,
    WheelFilter,
    breakable,
    explain_labels,
)
from napari_gpcis.plugin.dock.closing import CloseGuard, guard_dock
from napari_gpcis.plugin.dock.model_list import MODELS
from napari_gpcis.plugin.finetune.layer_files import TemporaryFolder, write_pairs
from napari_gpcis.plugin.finetune.process import (
    INSTALL,
    Job,
    TrainingProcess,
    UnfinishedRun,
    check_name,
    free_name,
    is_unfinished,
    missing_packages,
    unfinished_run,
)
from napari_gpcis.plugin.finetune.progress import Progress
from napari_gpcis.plugin.finetune.sources import Folders, LayerPairs, StartModel
from napari_gpcis.plugin.settings.preferences import PREFERENCES

if TYPE_CHECKING:
    import napari
    from qtpy.QtGui import QShowEvent


HELP = (
    "Teach the model your images: label some objects in at least a few images (with "
    "GPCIS, or any labels you have), then train. Ten images with some objects each "
    "are a good start."
)
SOURCE_HELP = "Where the images and their labels come from."
NAME_HELP = "The new model is listed by this name."
MINUTES_HELP = (
    "The longest time for everything. It may end earlier, when more training does not "
    "help."
)
START_HELP = "Train in a process of its own: you can go on working here."
RESUME_HELP = "An unfinished training of this name is here."
STOP_HELP = "End now; the best model so far is saved, if it needs fewer clicks."
TITLES = "Start from", "Name", "Minutes"
START, BEGIN_AGAIN = "Start training", "Begin again"
RESUME, STOP = "Go on where it stopped", "Stop, keep the best"
READING, STARTING = "Reading the layers ...", "Starting ..."
NOT_STARTED = "Not started: {}."
STOPPED = "Stopped before training began: nothing was kept, and no model was made."
STOPPING = "Stopping: the best so far is being saved ..."
STOPPING_EARLY = "Stopping ..."
FAILED = "No model was made: {}"
READY = "<b>{}</b> is ready."
USED = "<b>{}</b> is in use: the clicks in the GPCIS widget are answered by it."
NO_BETTER = " It needs no fewer clicks: {} for {} before."
NO_HELP = (
    "Training did not help: the clicks are no fewer, {} for {} before. Nothing was "
    "kept; GPCIS goes on with <b>{}</b>. More labelled images help more than time."
)
NO_HELP_SO_FAR = (
    "Training has not helped so far: the clicks are no fewer, {} for {} before. No "
    "model was made; GPCIS goes on with <b>{}</b>. To train on, press {!r}."
)
READY_NOTE = "The model {} is ready."
KEPT = f" What was learnt is kept: press {RESUME!r}."
GOES_ON_WITH = (
    "{}: from {}, {:g} minutes in all, on its own copy of {} images with {} objects."
)
GOING_ON = "Going on"
CAME_FROM = " They came from {}."
CLOSING, RUNS = "Training", "{!r} is being trained. Closing ends that."
GOES_ON = (
    "About a minute of it is lost at most: to go on, open 'Fine-tune' again, give the "
    f"same name, and press {RESUME!r}."
)
BEGINS_ANEW = "It has not got far enough to go on later: it would have to begin again."
END = "End the training"
PACKAGES_MISSING = (
    "Training needs more packages ({}). In a terminal: "
    f"<b>{INSTALL}</b>, then start napari again."
)
LAYERS, FOLDERS = "Layers of this viewer", "Folders of files"


class FinetuneWidget(Docked):
    """Dock widget that fine-tunes a model on the user's labels.

    Parameters
    ----------
    viewer
        The viewer, given by napari.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self._closed = False
        self._files = TemporaryFolder()
        self._guard: CloseGuard | None = None
        self._job: Job | None = None
        self._run: UnfinishedRun | None = None
        self._own: tuple[str | None, float] | None = None
        self._resumed = False
        self._connections = Connections()
        self.more_arguments: list[str] = []
        self.process = TrainingProcess(self)
        self.reader = BackgroundThread(self, "reading layers")
        self.source = QComboBox()
        self.source.addItems([LAYERS, FOLDERS])
        self.layers, self.folders = LayerPairs(viewer), Folders()
        self.pages = QStackedWidget()
        self.model = StartModel()
        self.name = QLineEdit(free_name())
        self.minutes = QDoubleSpinBox()
        self.start_button = QPushButton(START)
        self.resume_button = QPushButton(RESUME)
        self.stop_button = QPushButton(STOP)
        self.goes_on = QLabel()
        self.progress = Progress()
        self._lay_out()
        self._wheel_filter = WheelFilter(self)
        self._tabs = Tabs(self, "finetune")
        self._connect()
        self._show_theme()
        self._show_state()

    @property
    def busy(self) -> bool:
        """True while a training runs or its layers are being read."""
        return self.process.running or self.reader.busy("files")

    def start(self, *, resume: bool = False) -> None:
        """Start training; the widget shows an error if something is missing."""
        try:
            check_name(self.name.text().strip())
            self._resumed = resume
            if resume:
                self._train(Path.cwd(), Path.cwd(), resume=True)
            elif self.source.currentText() == FOLDERS:
                self._train(*self.folders.folders())
            else:
                self._read_layers()
        except GPCISError as error:
            self.progress.say(NOT_STARTED.format(error))
        self._show_state()

    def stop(self) -> None:
        """End the training and keep the best so far."""
        if self.reader.busy("files"):
            self.reader.cancel("files")
            self._files.remove()
            self.progress.end(STOPPED)
        else:
            self.process.stop()
            self.progress.say(STOPPING if self.progress.training else STOPPING_EARLY)
        self.stop_button.setEnabled(False)
        self._show_state()

    def shut_down(self) -> None:
        """End the child and the thread; the last checkpoint stays on disk.

        If Qt deletes the widget with its window, they end as well.
        """
        if self._closed:
            return
        self._closed = True
        self.layers.close_links()
        self.model.close_links()
        self._connections.end()
        self.process.kill()
        self.reader.close()
        self._files.remove()
        if self._guard is not None:
            self._guard.end()

    def showEvent(self, event: QShowEvent) -> None:
        """Ask from now on before a training is ended by closing."""
        super().showEvent(event)
        if self._guard is None and not self._closed:
            QTimer.singleShot(0, self, self._guard_dock)  # it is placed by then

    def _guard_dock(self) -> None:
        if self._guard is None:
            self._guard = guard_dock(
                self, lambda: self.busy, self.may_close, self._closing_words
            )

    def may_close(self) -> bool:
        """Ask whether a training may end, if one runs; ``False`` to go on."""
        if not self.busy:
            return True
        box = QMessageBox(self)
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle(CLOSING)
        words, more = self._closing_words().split("\n", 1)
        box.setText(breakable(words))
        box.setInformativeText(more)
        end = box.addButton(END, QMessageBox.ButtonRole.AcceptRole)
        box.setDefaultButton(box.addButton(QMessageBox.StandardButton.Cancel))
        box.setEscapeButton(QMessageBox.StandardButton.Cancel)
        box.exec()
        return box.clickedButton() is end

    def _closing_words(self) -> str:
        """Return what is lost if it is closed now, and what is not: two lines."""
        name = self.name.text().strip()
        job = self._job
        kept = self.process.running and job is not None and is_unfinished(job.name)
        return f"{RUNS.format(name)}\n{GOES_ON if kept else BEGINS_ANEW}"

    # Layout -----------------------------------------------------------------------

    def _lay_out(self) -> None:
        content = QWidget()
        self.scroll_area = VerticalScrollArea(content)
        column = QVBoxLayout(content)
        text = QLabel(HELP)
        text.setWordWrap(True)
        column.addWidget(text)
        column.addWidget(self.source)
        for page in (self.layers, self.folders):
            self.pages.addWidget(page)
        self.pages.setSizePolicy(
            QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum
        )
        column.addWidget(self.pages)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        for title, field in zip(
            TITLES, (self.model, self.name, self.minutes), strict=True
        ):
            form.addRow(title, field)
        column.addLayout(form)
        self.minutes.setSizePolicy(
            QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed
        )
        self.source.setToolTip(SOURCE_HELP)
        self.source.setAccessibleName("Source of the labels")
        self.name.setToolTip(NAME_HELP)
        self.minutes.setRange(0.5, 1440)
        self.minutes.setDecimals(1)
        self.minutes.setValue(15)
        self.minutes.setToolTip(MINUTES_HELP)
        explain_labels(form)
        buttons = QGridLayout()
        buttons.addWidget(self.start_button, 0, 0)
        buttons.addWidget(self.stop_button, 0, 1)
        buttons.addWidget(self.goes_on, 1, 0, 1, 2)
        buttons.addWidget(self.resume_button, 2, 0, 1, 2)
        self.goes_on.setWordWrap(True)
        self.start_button.setToolTip(START_HELP)
        self.resume_button.setToolTip(RESUME_HELP)
        self.stop_button.setToolTip(STOP_HELP)
        column.addLayout(buttons)
        column.addWidget(self.progress)
        column.addStretch()
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.scroll_area)

    def _connect(self) -> None:
        self.source.currentIndexChanged.connect(self.pages.setCurrentIndex)
        self.name.textChanged.connect(self._show_state)
        self.start_button.clicked.connect(lambda: self.start())
        self.resume_button.clicked.connect(lambda: self.start(resume=True))
        self.stop_button.clicked.connect(self.stop)
        self.progress.use_wanted.connect(self.use_model)
        self.process.event_read.connect(self._on_event)
        self.process.succeeded.connect(self._on_success)
        self.process.stopped.connect(self._on_stopped)
        self.process.failed.connect(self._on_failure)
        self._connections.connect(self.viewer.events.theme, self._show_theme)
        for end in (self.process.end_process, self.reader.end_thread):
            self.destroyed.connect(end)
        self.destroyed.connect(self._files.remove)  # nobody writes into it by now
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.shut_down)

    # Training ---------------------------------------------------------------------

    def _read_layers(self) -> None:
        """Write the labelled planes to files, on the thread."""
        pairs = self.layers.pairs()
        folder = self._files.make()
        self.progress.reset(READING)
        job = partial(write_pairs, pairs, folder)
        self.reader.submit("files", job, self._on_files, self._on_no_files)

    def _on_files(self, folders: tuple[Path, Path] | None, _seconds: float) -> None:
        if folders is not None:
            self._train(*folders)
        self._show_state()

    def _on_no_files(self, error: Exception) -> None:
        self._files.remove()
        self.progress.end(NOT_STARTED.format(error))
        self._show_state()

    def _train(self, images: Path, labels: Path, *, resume: bool = False) -> None:
        run = self._run if resume else None
        if run is not None:
            self.model.choose(run.start)
            self.minutes.setValue(run.minutes)
        self._job = Job(
            start=self.model.key if run is None else run.start,
            name=self.name.text().strip(),
            minutes=self.minutes.value() if run is None else run.minutes,
            images=images,
            labels=labels,
            skip=self.folders.skip.isChecked(),
            resume=resume,
        )
        self.progress.reset(STARTING, self._job.minutes)
        self.process.start([*self._job.arguments(), *self.more_arguments])
        self._bring_into_sight()

    def _on_event(self, event: dict[str, Any]) -> None:
        self.progress.take(event)
        if event["event"] == "prepared":
            self._files.remove()  # the child has its own copy by now
        if event["event"] == "before":  # there are more texts now
            self._bring_into_sight()

    def _on_success(self, event: dict[str, Any]) -> None:
        after, before = (f"{event[key]['score']:.2f}" for key in ("after", "before"))
        kept = event["path"] is not None
        if kept:
            better = "" if event["improved"] else NO_BETTER.format(after, before)
            text = READY.format(event["name"]) + better
        else:
            used = MODELS.find(PREFERENCES.model)
            title = PREFERENCES.model if used is None else used.title
            words = NO_HELP_SO_FAR if event["goes_on"] else NO_HELP
            text = words.format(after, before, title, RESUME)
        self.progress.end(text, usable=kept)
        if kept:
            show_info(READY_NOTE.format(event["name"]))
            MODELS.changed.emit()
        self._show_state()
        self._bring_into_sight()

    def _on_stopped(self) -> None:
        self._files.remove()
        self.progress.end(STOPPED)
        self._show_state()

    def _on_failure(self, message: str) -> None:
        kept = ""
        if self._job is not None and is_unfinished(self._job.name):
            kept = KEPT
        text = FAILED.format(message if message.endswith(".") else f"{message}.")
        self.progress.end(f"{text}{kept}")
        show_error(f"Fine-tuning: {text}{kept}")
        self._files.remove()
        self._show_state()

    def use_model(self) -> None:
        """Choose the new model in the annotation widget, opened if need be."""
        if self._job is not None:
            _, widget = self.viewer.window.add_plugin_dock_widget(
                "napari-gpcis", "GPCIS"
            )
            widget.model_choice.use(self._job.name)
            self.progress.end(USED.format(self._job.name))

    # What is shown ----------------------------------------------------------------

    def _show_state(self) -> None:
        missing = missing_packages()
        if missing and not self.busy:
            self.progress.say(PACKAGES_MISSING.format(", ".join(missing)))
        if not self.busy:
            self._resumed = False
        waiting = not self.busy and is_unfinished(self.name.text().strip())
        self._show_run()
        self.start_button.setText(BEGIN_AGAIN if waiting else START)
        self.start_button.setEnabled(not self.busy and not missing)
        self.resume_button.setVisible(waiting and not missing)
        self.stop_button.setVisible(self.busy)
        if not self.busy:
            self.stop_button.setEnabled(True)
        for widget in (self.source, self.pages, self.model, self.name, self.minutes):
            widget.setEnabled(not self.busy)
        for widget in (self.source, self.pages):  # it has its own images
            widget.setVisible(not self._resumed)

    def _bring_into_sight(self) -> None:
        """Scroll to the progress, once it has its place.

        With no delay at all it would be done before what is posted, as layouts are.
        """
        show = partial(self.scroll_area.ensureWidgetVisible, self.progress)
        QTimer.singleShot(1, self, show)

    def _show_run(self) -> None:
        """Show what an unfinished run of this name goes on with, before and then.

        Model and minutes are those of the run, until the name is another one.
        """
        if not self.busy:
            run = unfinished_run(self.name.text().strip())
            if run != self._run:
                self._take_fields(run)
        run = self._run if self._resumed or not self.busy else None
        self.goes_on.setVisible(run is not None)
        if run is not None:
            title = GOING_ON if self.busy else RESUME
            words = GOES_ON_WITH.format(
                title, run.title, run.minutes, run.planes, run.objects
            )
            if run.images.is_dir():
                words += CAME_FROM.format(run.images)
            self.goes_on.setText(breakable(words))

    def _take_fields(self, run: UnfinishedRun | None) -> None:
        """Show model and minutes of a run, or what they were before."""
        shown, self._run = self._run, run
        if self._own is None:
            self._own = self.model.picked, self.minutes.value()
        picked, minutes = self._own
        if run is None:
            self._own = None
        else:
            picked, minutes = run.start, run.minutes
        # what the user has chosen meanwhile, to begin again, stays
        if shown is None or self.model.key == shown.start:
            self.model.choose(picked)
        if shown is None or self.minutes.value() == shown.minutes:
            self.minutes.setValue(minutes)

    def _show_theme(self, _event: Any = None) -> None:
        colour = get_theme(self.viewer.theme).text.as_rgb_tuple()
        self.progress.curves.set_text_colour(QColor(*colour[:3]))
