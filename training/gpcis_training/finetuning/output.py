"""Where a fine-tuned model goes, and what lies beside it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from napari_gpcis.checkpoints import user_model_file
from napari_gpcis.errors import CheckpointError, InputError

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Places:
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
        return self.model.with_suffix(".md")

    @property
    def curves(self) -> Path:
        """Picture of the curves."""
        return self.model.with_suffix(".png")

    @property
    def record(self) -> Path:
        """Split, settings and figures, JSON."""
        return self.model.with_suffix(".json")

    @property
    def work(self) -> Path:
        """Folder of an unfinished run; removed when the model is there."""
        return self.model.with_suffix(".unfinished")

    @property
    def data(self) -> Path:
        """The images in the form in which they are trained on."""
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
    def plan(self) -> Path:
        """What an unfinished run needs to go on, JSON."""
        return self.work / "plan.json"


def places_of(output: str | os.PathLike[str]) -> Places:
    """Return the files for an output: a path, or a bare name for the user's models.

    Parameters
    ----------
    output
        A path ending in ``.safetensors``, or a name: the model then goes to the
        folder of the user's models, and is known by that name.

    Raises
    ------
    InputError
        If it is neither, or a model that comes with the package has that name.
    """
    text = os.fspath(output)
    if not text.endswith(SUFFIX):
        if not text or any(sign in text for sign in (os.sep, "/", "\\")):
            msg = f"output must be a name or end in {SUFFIX}, got {text!r}"
            raise InputError(msg)
        return Places(user_model_file(text))
    path = Path(text).expanduser()
    if not path.parent.is_dir():
        msg = f"output {path}: the folder {path.parent} does not exist"
        raise InputError(msg)
    return Places(path.absolute())


def make_room(places: Places, *, resume: bool, overwrite: bool) -> bool:
    """Make the work folder; return whether it holds a run to go on with.

    Raises
    ------
    InputError
        If something is there that would be lost, or nothing to resume.
    CheckpointError
        If the folder cannot be made.
    """
    unfinished = places.plan.is_file()
    if resume:
        if not unfinished:
            msg = f"nothing to resume: no unfinished run {str(places.work)!r}"
            raise InputError(msg)
        return True
    if places.model.exists() and not overwrite:
        msg = f"output {places.model} exists; overwrite=True (--overwrite) replaces it"
        raise InputError(msg)
    if unfinished and not overwrite:
        msg = (
            f"an unfinished run of {places.name!r} is in {places.work}: resume=True "
            "(--resume) goes on with it, overwrite=True (--overwrite) begins again"
        )
        raise InputError(msg)
    try:
        if places.work.exists():
            shutil.rmtree(places.work)
        places.run.mkdir(parents=True)
    except OSError as error:
        msg = f"the folder {places.work} cannot be made: {error.strerror}"
        raise CheckpointError(msg) from error
    return False
