"""Time of a click while other programs keep the processor busy.

OpenMP's threads can wait for work by spinning or by sleeping (``OMP_WAIT_POLICY``).
Each policy gets processes of its own, in turns, beside ``--busy`` processes that
compute all the time.

    python benchmarks/busy.py --busy 2
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
from itertools import pairwise
from statistics import median
from time import perf_counter

POLICIES = ("ACTIVE", "PASSIVE")
CENTRES = ((46, 105), (89, 43), (150, 43), (46, 43))
"""Coins of the picture, (x, y)."""


def main() -> None:
    """Print the median time of a first and of a following click for each policy."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--busy", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="gpcis-efficientnet-lite0")
    parser.add_argument("--clicks", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.clicks:
        print(json.dumps(clicks(arguments.model)))
        return
    print(f"{os.cpu_count()} cores, {arguments.busy} busy processes, {arguments.model}")
    others = [multiprocessing.Process(target=_compute) for _ in range(arguments.busy)]
    for other in others:
        other.start()
    try:
        _compare(arguments.rounds, arguments.model)
    finally:
        for other in others:
            other.terminate()


def _compare(rounds: int, model: str) -> None:
    times: dict[str, list[tuple[float, float]]] = {policy: [] for policy in POLICIES}
    for policy in POLICIES * rounds:
        command = [sys.executable, __file__, "--clicks", "--model", model]
        environment = {**os.environ, "OMP_WAIT_POLICY": policy}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        )
        times[policy] += [tuple(pair) for pair in json.loads(done.stdout)]
    for policy, pairs in times.items():
        first, following = (median(column) for column in zip(*pairs, strict=True))
        print(
            f"{policy}: first click {first:.0f} ms, following click {following:.0f} ms"
        )


def clicks(model: str) -> list[tuple[float, float]]:
    """Time two clicks on several coins: milliseconds of the first and of the second."""
    from skimage.data import coins

    from napari_gpcis import Segmenter, Session

    segmenter = Segmenter.from_pretrained(model)
    times = []
    for x, y in (CENTRES[0], *CENTRES * 3):
        session = Session(segmenter, coins())
        session.view = (x - 60, y - 40, x + 60, y + 70)
        moments = [perf_counter()]
        session.add_click(x, y)
        moments.append(perf_counter())
        session.add_click(x + 40, y, positive=False)
        moments.append(perf_counter())
        first, second = (1e3 * (b - a) for a, b in pairwise(moments))
        times.append((first, second))
    return times[1:]


def _compute() -> None:
    while True:
        sum(range(10_000))


if __name__ == "__main__":
    main()
