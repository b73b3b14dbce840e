"""Several processes, perhaps on several machines, that share one evaluation.

Each evaluates every n-th image; then all of them know all runs. ``torchrun`` starts the
processes, or anything else that sets ``RANK`` and ``WORLD_SIZE``.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

Key = TypeVar("Key")
Value = TypeVar("Value")

_PATIENCE = timedelta(days=7)


@dataclass(frozen=True)
class Ranks:
    """One process among those that share the work.

    Parameters
    ----------
    rank
        Its number, from 0.
    size
        How many there are. With more than one, the default process group of
        PyTorch must have been made.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def union(self, part: dict[Key, Value]) -> dict[Key, Value]:
        """Return what all processes found; each must call this."""
        if self.size == 1:
            return part
        from torch import distributed

        parts: list[dict[Key, Value]] = [{} for _ in range(self.size)]
        distributed.all_gather_object(parts, part)
        return {key: value for each in parts for key, value in each.items()}


@contextmanager
def process_group() -> Iterator[Ranks]:
    """Join the processes that the environment tells of, for the time of a block.

    Yields
    ------
    Ranks
        The only one if ``WORLD_SIZE`` is not set.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Ranks()
        return
    from torch import distributed

    distributed.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield Ranks(distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()


def local_device(device: str) -> str:
    """Return the device of this process: ``cuda`` becomes the GPU of its local rank."""
    local = os.environ.get("LOCAL_RANK")
    return f"cuda:{local}" if device == "cuda" and local is not None else device
