"""What a person asked for, as arguments of the training process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_gpcis.checkpoints import user_model_file, user_model_folder
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

UNFINISHED = ".unfinished"
DEFAULT_NAME = "my-model"


@dataclass(frozen=True)
class Job:
    """One fine-tuning.

    Parameters
    ----------
    start
        Model to start from: a name, or a file.
    name
        Name of the new model.
    minutes
        Wall-clock limit.
    images, labels
        Folders.
    skip
        Leave out files that cannot be used.
    resume
        Go on with an unfinished run.
    """

    start: str
    name: str
    minutes: float
    images: Path
    labels: Path
    skip: bool = False
    resume: bool = False

    def arguments(self) -> list[str]:
        """Return the arguments of ``gpcis-train finetune``."""
        arguments = [self.start, "--images", str(self.images)]
        arguments += ["--labels", str(self.labels), f"--output={self.name}"]
        arguments += [f"--max-minutes={self.minutes:g}"]
        arguments += [f"--on-error={'skip' if self.skip else 'refuse'}"]
        arguments += ["--resume"] if self.resume else ["--overwrite"]
        return arguments


def check_name(name: str) -> None:
    """Raise `InputError` unless a new model can have this name."""
    if user_model_file(name).exists():
        msg = f"there is a model {name!r} already: choose another name"
        raise InputError(msg)


def is_unfinished(name: str) -> bool:
    """Return whether a run of this name was begun and not finished."""
    return (user_model_folder() / f"{name}{UNFINISHED}" / "plan.json").is_file()


def free_name() -> str:
    """Return a name that no model of the user has."""
    name, number = DEFAULT_NAME, 1
    while (user_model_folder() / f"{name}.safetensors").exists():
        number += 1
        name = f"{DEFAULT_NAME}-{number}"
    return name
