"""How many processor cores a background thread computes on."""

from __future__ import annotations

import os

FEW = 4
"""With fewer cores than this, all of them compute."""


def polite_count(cores: int | None) -> int | None:
    """Return how many threads leave a core to the window.

    Parameters
    ----------
    cores
        Number of cores; ``None`` if unknown.

    Returns
    -------
    int or None
        One less than there are, from four cores on. ``None``: as it is; with fewer,
        the window waits less for a short computation on all cores than for a long one
        on all but one.
    """
    return None if cores is None or cores < FEW else cores - 1


def leave_a_core() -> None:
    """Let PyTorch leave one core alone when this thread computes."""
    count = polite_count(os.cpu_count())
    if count is not None:
        import torch  # heavy: only when a model is about to be used

        torch.set_num_threads(min(count, torch.get_num_threads()))
