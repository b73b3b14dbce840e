"""Section "Models": facts about the chosen model, its device, the user's files."""

from __future__ import annotations

from html import escape
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, ClassVar

from qtpy.QtCore import QEvent, QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QLabel,
    QMessageBox,
    QPushButton,
)

from napari_gpcis.checkpoints.registry import DEFAULT_MODEL, facts, model_files
from napari_gpcis.errors import CheckpointError
from napari_gpcis.plugin.dock.base import explain_labels
from napari_gpcis.plugin.dock.model_list import MODELS
from napari_gpcis.plugin.dock.pages import SETTINGS
from napari_gpcis.plugin.dock.panels.base import Panel
from napari_gpcis.plugin.settings.preferences import PREFERENCES, follow

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.dock.model_choice import ModelChoice

DEVICES = {
    "auto": "automatic",
    "cpu": "processor (CPU)",
    "cuda": "graphics card (CUDA)",
    "mps": "graphics chip (MPS)",
}
DEVICE_HELP = (
    "Where the model runs. Automatic: the graphics card if there is one that PyTorch "
    "can use, else the processor."
)
LOAD_HELP = (
    "Use a model you have fine-tuned: a .safetensors file, from gpcis-train finetune "
    "or napari-gpcis convert. It stays in the list."
)
LOAD = "Load my fine-tuned file ..."
REMOVE = "Remove this model ..."
REMOVE_HELP = (
    "Take a model of your own out of the list. A fine-tuned one is deleted, with its "
    "card and curves; a file that you loaded from elsewhere stays where it is."
)
NOT_OWN = "This model comes with the program."
DELETE = (
    "Delete the model {}?\n\n{}\n\nIt cannot be brought back. Clicks that were made "
    "with it open with another model then."
)
BESIDE = "Deleted with it: {}."
FORGET = "Take {} out of the list? The file stays where it is:\n\n{}"
TAKES_OVER = "{} is used in its place."
DELETED, FORGOTTEN = "The model {} was deleted", "{} is out of the list"
NOW_IN_USE = "{}: {} is in use now"
_ANSWERS = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No
DEVICE = "Runs on"
FACTS_HELP = "About the model that is shown above."
NOT_LOADED = "Not loaded: {}."
HERE, NOT_HERE = "here", "not here yet: choose it to download it"

LONGEST = 120
"""Characters of the training data that are seen without the mouse over them."""


class ModelPanel(Panel):
    """Facts about the chosen model, the device, and a button to load a file.

    Parameters
    ----------
    controller
        The annotation shown and commanded.
    """

    title: ClassVar[str] = "Models"
    page: ClassVar[str] = SETTINGS
    unfolded: ClassVar[bool] = True

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self._choice: ModelChoice | None = None
        self.facts = QLabel()
        self.facts.setWordWrap(True)
        self.facts.setToolTip(FACTS_HELP)
        self.device = _device_combo()
        self.load = QPushButton(LOAD)
        self.load.setToolTip(LOAD_HELP)
        self.remove = QPushButton(REMOVE)
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.hide()
        form = QFormLayout()
        form.addRow(DEVICE, self.device)
        explain_labels(form)
        self.column.addWidget(self.facts)
        self.column.addLayout(form)
        self.column.addWidget(self.load)
        self.column.addWidget(self.remove)
        self.column.addWidget(self.message)
        self.device.activated.connect(self._on_device)
        self.device.seen.connect(self._ask_devices)
        self.load.clicked.connect(self._on_load)
        self.remove.clicked.connect(self._on_remove)
        self._end = follow(PREFERENCES.events.device, self._show_device, self)

    def follow(self, choice: ModelChoice) -> None:
        """Show the facts about the model chosen there."""
        self._choice = choice
        choice.shown.connect(self._show_facts)
        self._show_facts()

    def close_links(self) -> None:
        """Disconnect from the preferences."""
        self._end()

    def load_file(self, file: Path) -> None:
        """Use a checkpoint file; the section shows an error if it cannot be used."""
        self.message.hide()
        try:
            added = MODELS.add_file(file)
        except CheckpointError as error:
            self.message.setText(NOT_LOADED.format(error))
            self.message.show()
            return
        if self._choice is not None:
            self._choice.use(added.key)

    def _show_facts(self) -> None:
        choice = None if self._choice is None else self._choice.choice
        own = choice is not None and MODELS.is_own(choice)
        self.remove.setEnabled(own)
        self.remove.setToolTip(REMOVE_HELP if own else NOT_OWN)
        if choice is None or choice.entry is None:
            self.facts.setText("")
            return
        known = facts(choice.entry)
        here = HERE if choice.is_here else NOT_HERE
        lines = (
            f"<b>{escape(known.name)}</b><br>{escape(known.purpose)}",
            f"Size: {known.size}, {here}",
            f"Licence: {escape(known.licence)}",
            f"Trained on: {escape(shorten(known.training_data, LONGEST))}",
        )
        self.facts.setText("<br>".join(lines))
        whole = escape(f"{FACTS_HELP} Trained on: {known.training_data}")
        self.facts.setToolTip(f"<p>{whole}</p>")  # rich text is wrapped

    def _on_device(self, place: int) -> None:
        PREFERENCES.device = tuple(DEVICES)[place]

    def _show_device(self, *_: Any) -> None:
        with QSignalBlocker(self.device):
            self.device.setCurrentIndex(tuple(DEVICES).index(PREFERENCES.device))

    @property
    def _key(self) -> Hashable:
        """Key of the request to the inference thread."""
        return id(self), "devices"

    def _ask_devices(self) -> None:
        """Have the devices found that this computer has."""
        self.controller.worker.submit(self._key, _find_devices, self._on_devices)

    def _on_devices(self, here: set[str], _seconds: float) -> None:
        self.device.mark(here)

    def _on_remove(self) -> None:
        """Remove the model that is shown, if the user says so; the default is used.

        One that cannot be deleted stays in use.
        """
        choice = None if self._choice is None else self._choice.choice
        if self._choice is None or choice is None:
            return
        file = choice.key if choice.entry is None else str(choice.entry.file)
        words, done, name = DELETE, DELETED, choice.key
        if choice.key == file:
            words, done, name = FORGET, FORGOTTEN, Path(file).name
        text, (yes, no) = words.format(name, file), _ANSWERS
        if words is DELETE and (beside := model_files(Path(file))[1:]):
            text += f" {BESIDE.format(', '.join(one.name for one in beside))}"
        text += f"\n\n{TAKES_OVER.format(DEFAULT_MODEL)}"
        if QMessageBox.question(self, "Remove a model", text, yes | no, no) != yes:
            return
        self.message.hide()
        said = done.format(name)
        try:
            MODELS.remove(choice)
        except CheckpointError as error:
            said = str(error)
            self.message.setText(f"{said}.")
            self.message.show()
        if MODELS.find(choice.key) is None:
            self._choice.use(DEFAULT_MODEL)
            said = NOW_IN_USE.format(said, self._choice.model)
        self.controller.say_once_open(f"{said}.")

    def _on_load(self) -> None:
        name, _ = QFileDialog.getOpenFileName(
            self, "Load a model", "", "Models (*.safetensors)"
        )
        if name:
            self.load_file(Path(name))


def devices_here() -> set[str]:
    """Return the devices that this computer has, by PyTorch (on the thread)."""
    import torch  # heavy: never in the GUI thread

    here = {"auto", "cpu"}
    if torch.cuda.is_available():
        here.add("cuda")
    if torch.backends.mps.is_available():
        here.add("mps")
    return here


def _find_devices(_cancelled: Callable[[], bool]) -> set[str]:
    return devices_here()


class _DeviceCombo(QComboBox):
    """Combo box of devices; those that this computer lacks cannot be chosen."""

    seen = Signal()
    """Emitted when it is first shown: importing PyTorch to ask it takes a second."""

    def __init__(self) -> None:
        super().__init__()
        self._seen = False

    def event(self, event: QEvent) -> bool:
        """Emit `seen` when it is first shown."""
        if event.type() == QEvent.Type.Show and not self._seen:
            self._seen = True
            self.seen.emit()
        return bool(super().event(event))

    def mark(self, here: set[str]) -> None:
        """Disable the devices that are not here."""
        model: Any = self.model()
        for place, name in enumerate(DEVICES):
            model.item(place).setEnabled(name in here)


def _device_combo() -> _DeviceCombo:
    combo = _DeviceCombo()
    combo.setToolTip(DEVICE_HELP)
    combo.addItems(list(DEVICES.values()))
    combo.setCurrentIndex(tuple(DEVICES).index(PREFERENCES.device))
    return combo
