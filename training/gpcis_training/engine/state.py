"""The state of a run on disk: complete or not there, and enough to go on exactly."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch

from gpcis_training.engine.slots import CarryOver, Roster, Standing
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
    """Write a state; whatever happens, a complete one is there.

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


def places_state(carry: CarryOver, gather: Gather) -> dict[str, Tensor]:
    """Return what the places of all processes hold."""
    standing = carry.standing()
    return {
        "index": torch.tensor(carry.roster.indices),
        "turn": torch.tensor(carry.roster.turns),
        "points": gather(standing.points),
        "previous": gather(standing.previous),
    }


def restore_roster(
    state: dict[str, Any], seed: int, places: int, max_extra: int
) -> Roster:
    """Return the roster of a state; all samples are new where it names none.

    Parameters
    ----------
    state
        From :func:`read_state`, or ``{}`` for a new run. Older ones hold ``drawn``
        alone.
    seed, places, max_extra
        See :class:`gpcis_training.engine.slots.Roster`.
    """
    held = state.get("places")
    pairs = []
    if held is not None:
        pairs = list(zip(held["index"].tolist(), held["turn"].tolist(), strict=True))
    return Roster(seed, places, max_extra, state.get("drawn", 0), pairs)


def restore_standing(
    state: dict[str, Any], roster: Roster, mine: range, size: int
) -> Standing | None:
    """Return what the places of one process held; their samples restart otherwise.

    Parameters
    ----------
    state
        See :func:`restore_roster`.
    roster
        Its roster. Samples whose masks are not there, or have another size, are set
        back to their first turn.
    mine
        Places of this process.
    size
        Side of the masks.
    """
    held = state.get("places")
    known = 0
    if held is not None and held["previous"].shape[-1] == size:
        known = len(held["previous"])
    for place in range(known, len(roster.turns)):
        roster.turns[place] = 0
    if held is None or known == 0:
        return None
    rows = [min(place, known - 1) for place in mine]
    return Standing(held["points"][rows], held["previous"][rows])
