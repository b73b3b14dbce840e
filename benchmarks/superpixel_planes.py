"""Time and peak memory of superpixels of one large plane; run in a fresh process.

    python benchmarks/superpixel_planes.py slic [--side 10000] [--number 10000]

The method is a name or a checkpoint. Memory is what the process held at most since the
plane was there, less what it held then; 4 bytes of each pixel of it are the answer.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from memory import peak
from superpixel_gp import plane, reset_peak

from napari_gpcis.superpixels import superpixels


def main() -> None:
    """Measure, and print one line."""
    parser = argparse.ArgumentParser(description="Superpixels of a large plane.")
    parser.add_argument("method")
    parser.add_argument("--side", type=int, default=10_000)
    parser.add_argument("--number", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    image = plane(arguments.side)
    superpixels(image[:256, :256], 64, method=arguments.method)  # all is imported
    held, start, used = reset_peak(), time.perf_counter(), time.process_time()
    labels = superpixels(image, arguments.number, method=arguments.method)
    seconds, used = time.perf_counter() - start, time.process_time() - used
    most = peak() - held
    print(
        f"{arguments.method}: {arguments.side} x {arguments.side}, {labels.max()} "
        f"superpixels, {seconds:.0f} s ({used:.0f} s of processors), "
        f"{most:.0f} MiB"
    )


if __name__ == "__main__":
    main()
