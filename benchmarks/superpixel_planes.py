"""Time and peak memory of superpixels of one plane; run in a fresh process.

    python benchmarks/superpixel_planes.py slic [--shape 10000 10000] [--number 10000]
    python benchmarks/superpixel_planes.py cds-lite slic --table

A method is a name or a checkpoint. Memory is what the process held at most since the
plane was there, less what it held then; 4 bytes of each pixel of it are the answer.
`--table` measures the methods in turn, each plane in a process of its own, and prints a
table in Markdown: least time of so many rounds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from memory import peak
from superpixel_gp import plane, reset_peak

from napari_gpcis.superpixels import superpixels

TABLE = ((321, 481, 600), (1024, 1024, 4096), (4096, 4096, 16_384))
"""Height, width and number of superpixels of the planes of the table."""
THREADS = 1, 2


def measured(
    method: str, shape: tuple[int, int], number: int
) -> tuple[int, float, float, float]:
    """Return superpixels, seconds, seconds of processors, and mebibytes."""
    image = plane(max(shape))[: shape[0], : shape[1]]
    superpixels(image[:256, :256], 64, method=method)  # all is imported
    held, start, used = reset_peak(), time.perf_counter(), time.process_time()
    labels = superpixels(image, number, method=method)
    seconds, used = time.perf_counter() - start, time.process_time() - used
    return int(labels.max()), seconds, used, peak() - held


def table(methods: list[str], rounds: int) -> list[str]:
    """Return the lines of the table."""
    names = [f"`{Path(method).stem}`" for method in methods]
    lines = [
        f"| plane | superpixels | threads | {' | '.join(names)} |",
        f"|---|---|---|{'---|' * len(methods)}",
    ]
    for height, width, number in TABLE:
        for threads in THREADS:
            found: dict[str, list[tuple[float, ...]]] = {one: [] for one in methods}
            for _ in range(rounds):
                for method in methods:
                    found[method].append(_fresh(method, height, width, number, threads))
            cells = [
                f"{min(one[1] for one in runs):.2f} s, {runs[0][3]:.0f} MiB"
                for runs in found.values()
            ]
            lines.append(
                f"| {height} x {width} | {number} | {threads} | {' | '.join(cells)} |"
            )
    return lines


def _fresh(
    method: str, height: int, width: int, number: int, threads: int
) -> tuple[float, ...]:
    """Measure in a process of its own."""
    options = f"--shape {height} {width} --number {number} --threads {threads} --plain"
    done = subprocess.run(
        [sys.executable, __file__, method, *options.split()],
        check=True,
        capture_output=True,
        text=True,
    )
    return tuple(float(word) for word in done.stdout.split())


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description="Superpixels of a plane.")
    parser.add_argument("methods", nargs="+", metavar="method")
    parser.add_argument("--shape", type=int, nargs=2, default=(10_000, 10_000))
    parser.add_argument("--number", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plain", action="store_true", help="numbers alone")
    arguments = parser.parse_args()
    if arguments.table:
        print("\n".join(table(arguments.methods, arguments.rounds)))
        return
    torch.set_num_threads(arguments.threads)
    for method in arguments.methods:
        count, seconds, used, most = measured(
            method, tuple(arguments.shape), arguments.number
        )
        if arguments.plain:
            print(count, seconds, used, most)
            continue
        print(
            f"{method}: {arguments.shape[0]} x {arguments.shape[1]}, {count} "
            f"superpixels, {seconds:.1f} s ({used:.1f} s of processors), "
            f"{most:.0f} MiB"
        )


if __name__ == "__main__":
    main()
