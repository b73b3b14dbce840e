"""Training process: started, read and stopped; it never outlives its widget.

The child is ``gpcis-train finetune --events``: it prints one JSON object a line. A line
``stop`` on its standard input keeps the best so far; the end of its input, as when
napari crashes, ends it. Its state stays on disk in any case.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QProcess, QProcessEnvironment, Signal

from napari_gpcis.checkpoints import user_model_file, user_model_folder
from napari_gpcis.errors import InputError
from napari_gpcis.plugin.connections import Connections

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


NEEDED = ("lightning_fabric", "matplotlib", "yaml")
INSTALL = 'pip install "napari-gpcis[training]"'
_ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    "TQDM_DISABLE": "1",
    # keep memory between steps: giving it back and asking again costs a third
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}
ENDED = "The training process ended unexpectedly (code {})."
LAST_OUTPUT = " Last output: {}"
NOT_STARTED = "{} cannot be started."
_TAIL = 4000
_BAR = "%|"
"""Text that only lines of a progress bar contain."""
_KILL_MS = 3000

UNFINISHED = ".unfinished"
DEFAULT_NAME = "my-model"


class _Child:
    """The child, which has no Qt parent: it is ended before Qt deletes it."""

    def __init__(self) -> None:
        self.process: QProcess | None = None

    def kill(self, *_: object) -> None:
        """End it at once and silently, if there is one."""
        process, self.process = self.process, None
        if process is None:
            return
        process.blockSignals(True)
        process.kill()
        process.waitForFinished(_KILL_MS)


class TrainingProcess(QObject):
    """Training in a process of its own, which ends with this object.

    Parameters
    ----------
    parent
        Qt parent.
    """

    event_read = Signal(dict)
    """Emitted with each event of the child."""
    succeeded = Signal(dict)
    """Emitted once when training has come to its end, with the last event."""
    stopped = Signal()
    """Emitted once when the child ended without a model, as it was asked to."""
    failed = Signal(str)
    """Emitted once when the child ended without a model, unless it was made to."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._child = _Child()
        self._connections = Connections()
        self._line = b""
        self._errors = b""
        self._last: dict[str, Any] = {}
        self.destroyed.connect(self._child.kill)

    @property
    def running(self) -> bool:
        """True while the process runs."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """Number of the child's process, 0 if there is none."""
        return 0 if self._process is None else int(self._process.processId())

    @property
    def end_process(self) -> Callable[..., None]:
        """Function that ends the child, even after Qt has deleted this object."""
        return self._child.kill

    @property
    def _process(self) -> QProcess | None:
        return self._child.process

    def start(self, arguments: Sequence[str]) -> None:
        """Start the child.

        Parameters
        ----------
        arguments
            Those of ``gpcis-train finetune``, without ``--events``.
        """
        self._line = self._errors = b""
        self._last = {}
        environment = QProcessEnvironment.systemEnvironment()
        for name, value in _ENVIRONMENT.items():
            environment.insert(name, value)
        self._child.process = process = QProcess()
        process.setProcessEnvironment(environment)
        process.readyReadStandardOutput.connect(self._read)
        process.readyReadStandardError.connect(self._read_errors)
        self._connections.end()  # those of the process before
        self._connections.connect(process.finished, self._on_finished)
        self._connections.connect(process.errorOccurred, self._on_error)
        program = ["-m", "gpcis_training.cli", "finetune", *arguments, "--events"]
        process.start(sys.executable, program)

    def stop(self) -> None:
        """Ask the child to end and to keep the best so far."""
        if self._process is not None:
            self._process.write(b"stop\n")

    def kill(self) -> None:
        """End the child at once and silently; its last checkpoint stays."""
        process = self._process
        self._connections.end()
        self._child.kill()
        self._delete_later(process)

    def _read(self) -> None:
        """Read complete lines; lines that are no events are ignored."""
        if self._process is None:
            return
        self._line += bytes(self._process.readAllStandardOutput().data())
        *lines, self._line = self._line.split(b"\n")
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and "event" in event:
                if event["event"] in ("done", "stopped", "error"):
                    self._last = event
                self.event_read.emit(event)

    def _read_errors(self) -> None:
        if self._process is not None:
            new = bytes(self._process.readAllStandardError().data())
            self._errors = (self._errors + new)[-_TAIL:]

    def _on_error(self, error: QProcess.ProcessError) -> None:
        """Report a process that could not be started (other ends come as finished)."""
        if error == QProcess.ProcessError.FailedToStart:
            self._forget()
            self.failed.emit(NOT_STARTED.format(sys.executable))

    def _on_finished(self, code: int, _status: QProcess.ExitStatus) -> None:
        self._read()
        self._read_errors()
        self._forget()
        if self._last.get("event") == "done":
            self.succeeded.emit(self._last)
        elif self._last.get("event") == "stopped":
            self.stopped.emit()
        elif self._last.get("event") == "error":
            self.failed.emit(str(self._last["message"]))
        else:
            self.failed.emit(self._unexpected(code))

    def _unexpected(self, code: int) -> str:
        """Return the message for a process that ended without an event."""
        text = self._errors.decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if _BAR not in line]
        kept = [line for line in lines if line]
        last = LAST_OUTPUT.format(kept[-1]) if kept else ""
        return f"{ENDED.format(code)}{last}"

    def _forget(self) -> None:
        process, self._child.process = self._process, None
        self._delete_later(process)

    def _delete_later(self, process: QProcess | None) -> None:
        """Delete a process that has ended, but not while it tells of its end."""
        if process is not None:
            process.setParent(self)
            process.deleteLater()


def missing_packages() -> list[str]:
    """Return the packages of the ``training`` extra that are not installed."""
    return [name for name in NEEDED if find_spec(name) is None]


@dataclass(frozen=True)
class Job:
    """Settings of one fine-tuning.

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
        Resume an unfinished run.
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


@dataclass(frozen=True)
class UnfinishedRun:
    """A run that was begun and not finished, and that can go on.

    Parameters
    ----------
    start, title
        Model that it started from, and its name.
    minutes
        Its wall-clock limit, of everything.
    planes, objects
        Number of images that it has copied, and of their objects.
    images
        Folder that they came from; it may be gone.
    """

    start: str
    title: str
    minutes: float
    planes: int
    objects: int
    images: Path


def unfinished_run(name: str) -> UnfinishedRun | None:
    """Return the unfinished run of a name; ``None`` if none can be read."""
    file = user_model_folder() / f"{name}{UNFINISHED}" / "plan.json"
    try:
        plan = json.loads(file.read_text(encoding="utf-8"))
        about, data = plan["about"], plan["about"]["data"]
        return UnfinishedRun(
            str(plan["start"]),
            str(about["start"]["name"]),
            float(about["options"]["max_minutes"]),
            int(data["planes"]),
            int(data["objects"]),
            Path(data["images"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None  # whoever goes on with a damaged one is told by the child


def free_name() -> str:
    """Return a name that no model of the user has."""
    name, number = DEFAULT_NAME, 1
    while (user_model_folder() / f"{name}.safetensors").exists():
        number += 1
        name = f"{DEFAULT_NAME}-{number}"
    return name
