"""Time and memory of clicks on the superpixels of a large plane.

    python benchmarks/superpixel_gp.py [--side 4096] [--number 16384] [--threads 2]

Prints seconds and mebibytes of each step: superpixels, features, then twenty clicks one
after the other, each with the mask of a window of 1024 x 1024 pixels. Memory is what
the process held at most once plane, model and superpixels were there, less those.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from memory import peak

from napari_gpcis import Click, Segmenter
from napari_gpcis.superpixels import SuperpixelGP, superpixels
from napari_gpcis.superpixels.connectivity import grid_labels, grid_shape

CLICKS = 20
ROUNDS = 7
TARGET_MS, TARGET_MIB = 60, 300


def plane(side: int) -> np.ndarray:
    """Return bright cells of different sizes on a dark ground, uint8, (side, side)."""
    rng = np.random.default_rng(0)
    tile = np.zeros((512, 512), np.float32)
    rows, cols = np.ogrid[:512, :512]
    for _ in range(24):
        row, col = rng.uniform(30, 482, 2)
        high, wide = rng.uniform(14, 40, 2)
        inside = ((rows - row) / high) ** 2 + ((cols - col) / wide) ** 2 < 1
        tile[inside] = rng.uniform(100, 200)
    count = -(-side // 512)
    image = np.tile(tile.astype(np.uint8), (count, count))[:side, :side]
    image += rng.integers(10, 40, (side, side), dtype=np.uint8)
    return image


def clicks_on(image: np.ndarray) -> list[Click]:
    """Return clicks near the middle, by turns on something bright and dark."""
    rng = np.random.default_rng(1)
    side = len(image)
    found: list[Click] = []
    while len(found) < CLICKS:
        row, col = rng.integers(3 * side // 8, 5 * side // 8, 2).tolist()
        wanted = len(found) % 2 == 0
        if (image[row, col] > 90) == wanted:
            found.append(Click(row, col, wanted))
    return found


def reset_peak() -> float:
    """Begin to measure the peak anew (Linux); return what is held now, in MiB."""
    refs = Path("/proc/self/clear_refs")
    if refs.exists():
        refs.write_text("5")
    return peak()


def main() -> None:
    """Measure, and print one line for each step."""
    parser = argparse.ArgumentParser(description="Clicks on superpixels.")
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--number", type=int, default=16384)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", default="gpcis-efficientnet-lite0")
    parser.add_argument("--method", default="grid", help="grid, slic or another")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    image = plane(arguments.side)
    segmenter = Segmenter.from_pretrained(arguments.model, "cpu")
    segmenter.features(segmenter.prepare(image[:256, :256]), (0, 0, 256, 256))

    start = time.perf_counter()
    if arguments.method == "grid":
        labels = grid_labels(image.shape, grid_shape(image.shape, arguments.number)) + 1
    else:
        labels = superpixels(image, arguments.number, method=arguments.method)
    print(f"superpixels: {time.perf_counter() - start:.1f} s, {labels.max()}")

    held, start = reset_peak(), time.perf_counter()
    process = SuperpixelGP(image, segmenter, labels)
    process.predict(clicks_on(image)[:1])  # the pairs of neighbours are found once
    print(
        f"features: {time.perf_counter() - start:.1f} s, peak {peak() - held:.0f} MiB "
        f"beside plane and superpixels"
    )

    clicks, spent = clicks_on(image), []
    middle = arguments.side // 2
    window = (middle - 512, middle - 512, middle + 512, middle + 512)
    reset_peak()
    for number in range(ROUNDS):
        for count in range(1, CLICKS + 1):
            start = time.perf_counter()
            found = process.predict(clicks[:count])
            between = time.perf_counter()
            found.mask(window)
            if number:
                spent.append((between - start, time.perf_counter() - between))
    times = 1000 * np.array(spent).reshape(ROUNDS - 1, CLICKS, 2)
    for name, values in (
        ("click", times[..., 0]),
        ("its mask of 1024 x 1024", times[..., 1]),
        ("click 20 with its mask", times[:, -1].sum(-1)),
    ):
        print(f"{name}: {values.min():.1f} ms at least, {np.median(values):.1f} median")
    print(f"memory: {peak() - held:.0f} MiB at most beside plane and superpixels")
    start = time.perf_counter()
    found.mask(window, refine=True)
    print(f"refined mask: {1000 * (time.perf_counter() - start):.0f} ms")
    print(f"targets: {TARGET_MS} ms, {TARGET_MIB} MiB")


if __name__ == "__main__":
    main()
