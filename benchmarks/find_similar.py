"""Time, memory and figures of finding similar objects on one large plane.

    python benchmarks/find_similar.py DATA/bbbc039/val [--side 4096] [--objects 2000]

The plane is laid out with the images of the folder in turn, each enlarged so much that
the plane has about so many objects. Three of them, drawn once, are the examples.
Memory is what the process held at most since the plane was there, less what it held.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from skimage.transform import resize

sys.path.insert(0, str(Path(__file__).parent))
from memory import peak
from superpixel_gp import reset_peak

from gpcis_training.evaluation.datasets import read_image
from gpcis_training.similar import matches
from napari_gpcis import Click, Segmenter
from napari_gpcis.checkpoints.registry import DEFAULT_MODEL
from napari_gpcis.imagefiles.labels import read_labels
from napari_gpcis.similar import resolved, search
from napari_gpcis.similar.examples import collect
from napari_gpcis.similar.search import LEAST_CONFIDENCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXAMPLES = 3


def plane(
    folder: Path, side: int, wanted: int
) -> tuple[NDArray[np.generic], NDArray[np.int32]]:
    """Return a plane and its objects, 1, 2, ..., each of shape (side, side)."""
    files = sorted((folder / "images").iterdir())
    labels = [folder / "labels" / f"{file.stem}.png" for file in files]
    pairs = [
        (read_image(image), read_labels(label))
        for image, label in zip(files, labels, strict=True)
    ]
    density = sum(len(np.unique(label)) - 1 for _, label in pairs)
    density /= sum(label.size for _, label in pairs)
    scale = max(1.0, side * np.sqrt(density / wanted))
    shape = tuple(round(scale * size) for size in pairs[0][1].shape)
    image = np.zeros((side, side, *pairs[0][0].shape[2:]), pairs[0][0].dtype)
    truth = np.zeros((side, side), np.int32)
    number = 0
    for top in range(0, side, shape[0]):
        for left in range(0, side, shape[1]):
            tile, objects = pairs[number % len(pairs)]
            number += 1
            enlarged = resize(tile, shape, preserve_range=True)
            objects = resize(objects, shape, 0, preserve_range=True, clip=False)
            high, wide = min(shape[0], side - top), min(shape[1], side - left)
            place = np.s_[top : top + high, left : left + wide]
            image[place] = enlarged[:high, :wide]
            objects = objects[:high, :wide].astype(np.int32)
            truth[place] = np.where(objects > 0, objects + truth.max(), 0)
    _, ordered = np.unique(truth, return_inverse=True)
    return image, ordered.reshape(truth.shape).astype(np.int32)


def main() -> None:
    """Measure, and print a few lines."""
    parser = argparse.ArgumentParser(description="Find similar on a large plane.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--objects", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    image, truth = plane(arguments.folder, arguments.side, arguments.objects)
    areas = np.bincount(truth.ravel())
    usual = np.flatnonzero(areas > np.median(areas[1:]) / 2)[1:]
    chosen = np.random.default_rng(0).choice(usual, EXAMPLES, replace=False)
    known = np.where(np.isin(truth, chosen), truth, 0)
    segmenter = Segmenter.from_pretrained(arguments.model, "cpu")
    segmenter.step(segmenter.prepare(image[:64, :64]), [Click(9, 9)])  # imports
    held, begin, used = reset_peak(), time.perf_counter(), time.process_time()
    first = 0.0
    prepared = segmenter.prepare(image)
    examples = collect(segmenter, prepared, known)
    every = []
    tiles = 0
    for found in search(segmenter, prepared, known, examples):
        every += found.candidates
        tiles = found.total
        first = first or (time.perf_counter() - begin if every else 0.0)
    candidates = resolved(every, LEAST_CONFIDENCE)
    seconds, used = time.perf_counter() - begin, time.process_time() - used
    most = peak() - held
    left = np.where(np.isin(truth, chosen), 0, truth)
    count = len(areas) - 1 - EXAMPLES
    print(
        f"{arguments.side} x {arguments.side}, {count} objects to be found, examples "
        f"{examples.side:.0f} pixels long, {tiles} tiles, {arguments.threads} threads"
    )
    print(
        f"{seconds:.0f} s ({used:.0f} s of processors), first candidates after "
        f"{first:.1f} s, {most:.0f} MiB beside the plane"
    )
    for least in (0.5, 0.75):
        shown, right = matches(candidates, left, least)
        print(
            f"IoU {least}: recall {right / count:.2f}, precision {right / shown:.2f} "
            f"({shown} candidates)"
        )


if __name__ == "__main__":
    main()
