"""Training state on disk, complete or absent, from which a run resumes exactly."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch

from gpcis_training.engine.slots import ClickBatch, SlotSchedule, SlotState
from napari_gpcis.errors import CheckpointError
from napari_gpcis.files import replacing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from _typeshed import ReadableBuffer
    from torch import Tensor

    Gather = Callable[[Tensor], Tensor]
    """Join the tensors of all processes along the first axis."""


class _Stream(io.BufferedWriter):
    """A binary file that remembers why writing to it failed.

    The writer of PyTorch reports a full disk as a failure of its own.
    """

    failure: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        """Write all bytes, or raise what the disk said."""
        try:
            return super().write(data)
        except OSError as error:
            self.failure = error
            raise


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write a state; the file is complete at any time.

    Parameters
    ----------
    path
        The file. One that is there is replaced only when the new one is complete and
        has reached the disk.
    state
        Tensors and plain values.

    Raises
    ------
    CheckpointError
        If the disk refuses (full, no permission). The file is what it was before.
    """
    try:
        with replacing(path) as draft:
            _write(draft, state)
    except OSError as error:
        kept = "; the state saved before is kept" if path.is_file() else ""
        reason = error.strerror or error
        msg = f"training state {str(path)!r} cannot be written: {reason}{kept}"
        raise CheckpointError(msg) from error


def _write(draft: Path, state: dict[str, Any]) -> None:
    """Write to a file; the disk's own error is raised."""
    with _Stream(io.FileIO(draft, "wb")) as stream:
        try:
            torch.save(state, stream)
        except RuntimeError as error:
            if stream.failure is not None:
                raise stream.failure from error
            raise


def clear_drafts(path: Path) -> None:
    """Remove what killed processes left of states they were writing."""
    for draft in path.parent.glob(f".{path.stem}.*{path.suffix}"):
        with suppress(OSError):
            draft.unlink()


def read_state(path: Path) -> dict[str, Any]:
    """Read a state; nothing in it is executed.

    Raises
    ------
    CheckpointError
        If the file is missing or damaged.
    """
    if not path.is_file():
        msg = f"no training state {str(path)!r}"
        raise CheckpointError(msg)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # PyTorch's readers raise nearly anything
        msg = f"training state {str(path)!r} is damaged: {error}"
        raise CheckpointError(msg) from error
    if not isinstance(state, dict):
        msg = f"training state {str(path)!r} is a {type(state).__name__}, no state"
        raise CheckpointError(msg)
    return state


def slots_state(click_batch: ClickBatch, gather: Gather) -> dict[str, Tensor]:
    """Return the content of the slots of all processes."""
    state = click_batch.state()
    return {
        "index": torch.tensor(click_batch.schedule.indices),
        "turn": torch.tensor(click_batch.schedule.steps),
        "points": gather(state.points),
        "previous": gather(state.previous),
    }


def restore_schedule(
    state: dict[str, Any], seed: int, count: int, max_extra: int
) -> SlotSchedule:
    """Return the slot schedule of a state; without one, all samples are new.

    Parameters
    ----------
    state
        From :func:`read_state`, or ``{}`` for a new run. Older ones hold ``drawn``
        alone.
    seed, count, max_extra
        See :class:`gpcis_training.engine.slots.SlotSchedule`.
    """
    held = state.get("places")
    occupied = []
    if held is not None:
        indices, steps = held["index"].tolist(), held["turn"].tolist()
        occupied = list(zip(indices, steps, strict=True))
    return SlotSchedule(seed, count, max_extra, state.get("drawn", 0), occupied)


def restore_slots(
    state: dict[str, Any], schedule: SlotSchedule, slots: range, size: int
) -> SlotState | None:
    """Return the slot state of one process; ``None`` if its samples restart.

    Parameters
    ----------
    state
        See :func:`restore_schedule`.
    schedule
        Its schedule. Samples whose masks are missing, or have another size, are set
        back to their first step.
    slots
        Slots of this process.
    size
        Side of the masks.
    """
    held = state.get("places")
    known = 0
    if held is not None and held["previous"].shape[-1] == size:
        known = len(held["previous"])
    for slot in range(known, len(schedule.steps)):
        schedule.steps[slot] = 0
    if held is None or known == 0:
        return None
    rows = [min(slot, known - 1) for slot in slots]
    return SlotState(held["points"][rows], held["previous"][rows])
