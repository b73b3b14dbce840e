"""Output files of one fine-tuning: the model, its record, the work folder."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from napari_gpcis.checkpoints import user_model_file
from napari_gpcis.checkpoints.registry import (
    CARD_SUFFIX,
    CURVES_SUFFIX,
    RECORD_SUFFIX,
    SUFFIX,
)
from napari_gpcis.errors import CheckpointError, InputError
from napari_gpcis.files.names import check_length
from napari_gpcis.imagefiles import WRITABLE

_OTHER_FILES = (*WRITABLE, ".jpg", ".jpeg", ".csv", ".json", ".pt", ".pth", ".ckpt")
"""Endings of files that are no models; a name may have points otherwise."""


@dataclass(frozen=True)
class OutputFiles:
    """The files of one fine-tuning.

    Parameters
    ----------
    model
        The checkpoint.
    """

    model: Path

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.model.stem

    @property
    def card(self) -> Path:
        """Model card, Markdown."""
        return self.model.with_suffix(CARD_SUFFIX)

    @property
    def curves(self) -> Path:
        """Picture of the curves."""
        return self.model.with_suffix(CURVES_SUFFIX)

    @property
    def record(self) -> Path:
        """Split, settings and figures, JSON."""
        return self.model.with_suffix(RECORD_SUFFIX)

    @property
    def work(self) -> Path:
        """Folder of an unfinished run; removed when the model is there."""
        return self.model.with_suffix(".unfinished")

    @property
    def data(self) -> Path:
        """Training data: the images as PNG planes."""
        return self.work / "data"

    @property
    def run(self) -> Path:
        """State and log of the training."""
        return self.work / "run"

    @property
    def best(self) -> Path:
        """State with the fewest clicks."""
        return self.run / "best.pt"

    @property
    def start(self) -> Path:
        """Copy of the start model: the run needs it until its end."""
        return self.work / f"start{SUFFIX}"

    @property
    def plan(self) -> Path:
        """Plan of an unfinished run, JSON."""
        return self.work / "plan.json"


def output_files(output: str | os.PathLike[str]) -> OutputFiles:
    """Return the files of an output, given as a path or a model name.

    Parameters
    ----------
    output
        A path ending in ``.safetensors``, or a name: the model then goes to the
        folder of the user's models, and is known by that name.

    Raises
    ------
    InputError
        If it is neither, too long, or a model that comes with the package has that
        name.
    """
    text = os.fspath(output)
    if not text.endswith(SUFFIX):
        if not text or any(sign in text for sign in (os.sep, "/", "\\")):
            msg = f"output must be a name or end in {SUFFIX}, got {text!r}"
            raise InputError(msg)
        if text.lower().endswith(_OTHER_FILES):
            msg = f"output must be a name or end in {SUFFIX}: {text!r} is another file"
            raise InputError(msg)
        return OutputFiles(user_model_file(text))
    path = Path(text).expanduser()
    check_length(path, "output")
    if not path.parent.is_dir():
        msg = f"output {path}: the folder {path.parent} does not exist"
        raise InputError(msg)
    return OutputFiles(path.absolute())


def open_work_folder(files: OutputFiles, *, resume: bool, overwrite: bool) -> bool:
    """Create the work folder; return ``True`` if it holds a run to resume.

    Raises
    ------
    InputError
        If something is there that would be lost, or nothing to resume.
    CheckpointError
        If the folder cannot be made.
    """
    unfinished = files.plan.is_file()
    if resume:
        if not unfinished:
            msg = f"nothing to resume: no unfinished run {str(files.work)!r}"
            raise InputError(msg)
        return True
    if files.model.exists() and not overwrite:
        msg = f"output {files.model} exists; overwrite=True (--overwrite) replaces it"
        raise InputError(msg)
    if unfinished and not overwrite:
        msg = (
            f"an unfinished run of {files.name!r} is in {files.work}: resume=True "
            "(--resume) goes on with it, overwrite=True (--overwrite) begins again"
        )
        raise InputError(msg)
    try:
        if files.work.exists():
            shutil.rmtree(files.work)
        files.run.mkdir(parents=True)
    except OSError as error:
        msg = f"the folder {files.work} cannot be made: {error.strerror}"
        raise CheckpointError(msg) from error
    return False
