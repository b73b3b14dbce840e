"""Timing many things in turn, so that a busy machine is busy for all of them."""

from __future__ import annotations

from time import perf_counter, process_time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Key = TypeVar("Key")


def measure(
    actions: Mapping[Key, Callable[[], object]], rounds: int, *, cpu: bool = False
) -> dict[Key, float]:
    """Return the least seconds of each action over some rounds.

    A round runs every action once, fast ones several times; the first is not timed.

    Parameters
    ----------
    actions
        What to run.
    rounds
        How often.
    cpu
        Count the processor time of this process instead of the time that passes: on
        one thread it hardly depends on what else the machine does.
    """
    clock = process_time if cpu else perf_counter
    best: dict[Key, float] = {}
    for number in range(rounds + 1):
        for key, run in actions.items():
            repeats = 1 if number == 0 or best.get(key, 0.0) > 0.1 else 5
            for _ in range(repeats):
                start = clock()
                run()
                spent = clock() - start
                if number > 0:
                    best[key] = min(best.get(key, spent), spent)
    return best


def ratio(seconds: float, reference: float) -> str:
    """Return ``1/n`` of the reference, or a decimal above a half."""
    quotient = reference / max(seconds, 1e-9)
    if quotient < 2:
        return f"{1 / quotient:.2f}"
    return f"1/{quotient:,.1f}" if quotient < 10 else f"1/{quotient:,.0f}"
