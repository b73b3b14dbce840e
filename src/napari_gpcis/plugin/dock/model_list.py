"""List of models to choose from: bundled, published, and the user's files."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from psygnal import Signal

from napari_gpcis.checkpoints import ModelEntry, list_models, read_info
from napari_gpcis.checkpoints.registry import (
    megabytes,
    model_files,
    user_model_folder,
)
from napari_gpcis.errors import CheckpointError
from napari_gpcis.files import replacing
from napari_gpcis.plugin.saving.recovery_file import state_folder

FILE_NAME = "model-files.json"


@dataclass(frozen=True)
class Choice:
    """Entry of the list of models.

    Attributes
    ----------
    key
        What `Segmenter.from_pretrained` is called with: a name, or a file.
    entry
        What is known of the model; ``None`` for a file that is not there any more.
    """

    key: str
    entry: ModelEntry | None

    @property
    def is_here(self) -> bool:
        """True if the model needs no download."""
        return self.entry is not None and self.entry.is_here

    @property
    def title(self) -> str:
        """Text in the combo box."""
        if self.entry is None:
            return f"{Path(self.key).name} (file not found)"
        if self.entry.is_here:
            return self.entry.name
        return f"{self.entry.name} (download, {megabytes(self.entry.size)})"


class ModelList:
    """List of models, shared by all widgets of the process.

    Files that the user has opened are remembered by their path; they are not copied.
    """

    changed = Signal()
    """Emitted when a model came or went, or a file was added."""

    def choices(self) -> list[Choice]:
        """Return all models: those of `list_models`, then the user's files."""
        named = [Choice(entry.name, entry) for entry in list_models()]
        known = {choice.entry.file for choice in named if choice.entry is not None}
        own = [_choice(file) for file in _remembered() if file not in known]
        return named + own

    def find(self, key: str) -> Choice | None:
        """Return the entry of a key, if there is one."""
        return next((one for one in self.choices() if one.key == key), None)

    def add_file(self, file: Path) -> Choice:
        """Remember a checkpoint file and return its entry.

        Raises
        ------
        CheckpointError
            If it is not a checkpoint of this program; nothing is remembered.
        """
        file = file.expanduser().resolve()
        choice = Choice(str(file), _describe(file))
        files = [other for other in _remembered() if other != file]
        with suppress(OSError):  # a read-only home: it is there until napari is closed
            _remember([*files, file])
        _THIS_TIME.add(file)
        self.changed.emit()
        return choice

    def is_own(self, choice: Choice) -> bool:
        """Return true for a model of the user, which `remove` can take away."""
        return _is_kept_here(choice) or Path(choice.key) in _remembered()

    def remove(self, choice: Choice) -> None:
        """Remove a model of the user from the list.

        Its file is deleted if it lies in the folder of the user's models, with card,
        curves and record that fine-tuning has written beside it; one that was opened
        elsewhere is only forgotten.

        Raises
        ------
        CheckpointError
            If a file cannot be deleted; if it is that of the model, nothing is changed.
        """
        if choice.entry is not None and _is_kept_here(choice):
            file = choice.entry.file
            assert file is not None
            for one in model_files(file):
                try:
                    one.unlink(missing_ok=True)
                except OSError as error:
                    if one != file:
                        self.changed.emit()
                    msg = f"{one} cannot be deleted: {error.strerror}"
                    raise CheckpointError(msg) from error
        else:
            file = Path(choice.key)
            _THIS_TIME.discard(file)
            with suppress(OSError):  # as in `add_file`
                _remember([other for other in _remembered() if other != file])
        self.changed.emit()


def _is_kept_here(choice: Choice) -> bool:
    """Return true for a file in the folder of the user's models."""
    file = None if choice.entry is None else choice.entry.file
    return file is not None and file.parent == user_model_folder()


def _choice(file: Path) -> Choice:
    """Return the entry of a remembered file."""
    try:
        return Choice(str(file), _describe(file))
    except CheckpointError:
        return Choice(str(file), None)


def _describe(file: Path) -> ModelEntry:
    """Describe a file under its own name."""
    info = replace(read_info(file), name=file.stem)
    return ModelEntry(info, file.stat().st_size, file)


def _remembered() -> list[Path]:
    """Return the files that were added, this time or another."""
    files: list[Path] = []
    with suppress(OSError, ValueError, TypeError):
        content = json.loads((state_folder() / FILE_NAME).read_text(encoding="utf-8"))
        files = [Path(str(name)) for name in content]
    return files + sorted(_THIS_TIME - set(files))


def _remember(files: list[Path]) -> None:
    with replacing(state_folder() / FILE_NAME) as temporary:
        temporary.write_text(json.dumps([str(file) for file in files]), "utf-8")


_THIS_TIME: set[Path] = set()

MODELS = ModelList()
"""The list that all widgets share."""
