"""Time everything against the reference click, in turn, and print one table.

    python benchmarks/table.py [--rounds 4] [--threads 2] [--write docs/speed.md]

On a busy machine `--threads 1 --cpu` counts processor time instead, and `--only` leaves
networks out.

The reference is one following click of `resnet50` at 384 x 384 as published: Gaussian
process at full resolution, float32, PyTorch as it is.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from _cases import ACTIONS, REFERENCE, SIZES, Setup, action, ways
from _interleaved import measure, ratio

from napari_gpcis.checkpoints.registry import DEFAULT_MODEL
from napari_gpcis.inference import openvino

START, END = "<!-- benchmark: start -->", "<!-- benchmark: end -->"

Case = tuple[Setup, str, int]


def timings(chosen: list[Setup], rounds: int, *, cpu: bool) -> dict[Case, float]:
    """Return seconds of every case, all measured in turn."""
    cases = {(REFERENCE, name, 384): 0 for name in ACTIONS}
    for way in chosen:
        sizes = SIZES if way.network == DEFAULT_MODEL and not way.exact else (384,)
        cases |= {(way, name, size): 0 for size in sizes for name in ACTIONS}
    runs = {case: action(case[0], case[1], case[2]) for case in cases}
    return measure(runs, rounds, cpu=cpu)


def time_table(found: dict[Case, float]) -> list[str]:
    """Return the table of ratios in Markdown."""
    reference = found[REFERENCE, "following 5", 384]
    lines = [
        f"| network | image | {' | '.join(ACTIONS)} |",
        f"|---|---|{'---|' * len(ACTIONS)}",
    ]
    for way, size in dict.fromkeys((way, size) for way, _, size in found):
        cells = [ratio(found[way, name, size], reference) for name in ACTIONS]
        lines.append(f"| {way.label} | {size}² | {' | '.join(cells)} |")
    lines += ["", f"The reference click took {1000 * reference:,.0f} ms in this run."]
    return lines


def memory_table(sizes: tuple[int, ...]) -> list[str]:
    """Return peak memory of fresh processes in Markdown."""
    lines = ["| image, float32 RGB | peak, MiB | limit, MiB |", "|---|---|---|"]
    script = Path(__file__).with_name("memory.py")
    for size in sizes:
        done = subprocess.run(
            [sys.executable, str(script), str(size)],
            check=True,
            capture_output=True,
            text=True,
        )
        peak, limit = done.stdout.split()[:2]
        lines.append(f"| {size}² | {peak} | {limit} |")
    return lines


def write_between(path: Path, lines: list[str]) -> None:
    """Replace what stands between the markers of a file."""
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    body = "\n".join(lines)
    path.write_text(f"{before}{START}\n\n{body}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Run, print, and write where asked to."""
    parser = argparse.ArgumentParser(description="Time everything as a ratio.")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--only", nargs="+", metavar="NETWORK")
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    backends = ("torch", "openvino") if openvino.available() else ("torch",)
    only = arguments.only
    chosen = [way for way in ways(backends) if only is None or way.network in only]
    found = timings(chosen, arguments.rounds, cpu=arguments.cpu)
    kind = "processor time" if arguments.cpu else "time"
    lines = [
        f"`python benchmarks/table.py {' '.join(sys.argv[1:])}`",
        "",
        f"PyTorch {torch.__version__}, {platform.machine()}, "
        f"threads: {arguments.threads}, least {kind} of {arguments.rounds} rounds.",
        "",
        *time_table(found),
        "",
        *memory_table(SIZES),
    ]
    print("\n".join(lines))
    if arguments.write is not None:
        write_between(arguments.write, lines)


if __name__ == "__main__":
    main()
