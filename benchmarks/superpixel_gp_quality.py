"""Masks of the Gaussian process on superpixels against those of the network, and truth.

    python benchmarks/superpixel_gp_quality.py DATA/bsds500/test [--images 12]

A robot user clicks into the middle of the largest mistake of the network's mask. Prints
the mean IoU after 1, 3 and 5 clicks: of the network with the truth, of the superpixels
with the network and with the truth for the same clicks, and of the superpixels with the
truth where the robot clicks at their own mistakes, as they are and refined. The last
line is what superpixels could reach.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from gpcis_training.data.folders import find_pairs, read_image, read_labels
from gpcis_training.evaluation.metrics import iou
from napari_gpcis import Click, Segmenter
from napari_gpcis.geometry import depth
from napari_gpcis.superpixels import SuperpixelGP

if TYPE_CHECKING:
    from collections.abc import Callable

COUNTS = (1, 3, 5)
VIEW = 256
"""Side of the first view, where the plane is larger and objects are small in it."""


def robot_click(truth: np.ndarray, mask: np.ndarray) -> Click | None:
    """Return a click into the middle of the largest mistake; ``None`` without one."""
    missing, wrong = (
        depth(np.pad(part, 1))[1:-1, 1:-1] for part in (truth & ~mask, mask & ~truth)
    )
    positive = missing.max() >= wrong.max()
    depths = missing if positive else wrong
    if depths.max() <= 0:
        return None
    row, col = np.unravel_index(int(depths.argmax()), depths.shape)
    return Click(int(row), int(col), bool(positive))


def simulate(
    truth: np.ndarray, answer: Callable[[list[Click]], np.ndarray]
) -> list[tuple[list[Click], np.ndarray]]:
    """Return the clicks of a robot user so far, and the mask, after each click."""
    clicks: list[Click] = []
    mask, found = np.zeros_like(truth), []
    for _ in range(max(COUNTS)):
        click = robot_click(truth, mask)
        if click is not None:
            clicks.append(click)
            mask = answer(clicks)
        found.append((list(clicks), mask))
    return found


def measure(
    segmenter: Segmenter, image: np.ndarray, truth: np.ndarray, process: SuperpixelGP
) -> np.ndarray:
    """Return IoUs of one object, shape (5, 3)."""
    prepared, state = segmenter.prepare(image), [None]
    small = np.count_nonzero(truth) < 0.02 * truth.size

    def network(clicks: list[Click]) -> np.ndarray:
        row, col = clicks[0].pixel
        half = VIEW // 2
        view = (
            max(0, row - half),
            max(0, col - half),
            min(len(truth), row + half),
            min(truth.shape[1], col + half),
        )
        state[0] = segmenter.step(
            prepared, tuple(clicks), state[0], view if small else None
        )
        return state[0].mask

    by_network = simulate(truth, network)
    own = simulate(truth, lambda clicks: process.predict(clicks).mask())
    rows = []
    for count in COUNTS:
        clicks, mask = by_network[count - 1]
        same = process.predict(clicks).mask()
        mine = process.predict(own[count - 1][0])
        true = truth.astype(int)
        rows.append(
            [
                iou(true, mask),
                iou(mask.astype(int), same),
                iou(true, same),
                iou(true, mine.mask()),
                iou(true, mine.mask(refine=True)),
            ]
        )
    return np.array(rows).T


def main() -> None:
    """Measure some images of a folder, and print the table."""
    parser = argparse.ArgumentParser(description="Quality of masks on superpixels.")
    parser.add_argument("root", type=Path)
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--objects", type=int, default=1, help="of each image")
    parser.add_argument("--side", type=int, default=14, help="of superpixels, pixels")
    parser.add_argument("--model", default="gpcis-efficientnet-lite0")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    segmenter = Segmenter.from_pretrained(arguments.model, "cpu")
    rng, found, reachable = np.random.default_rng(0), [], []
    pairs = find_pairs(arguments.root)
    for place in np.linspace(0, len(pairs) - 1, arguments.images).round().astype(int):
        image = read_image(pairs[place].image)
        labels = read_labels(pairs[place].labels[0])
        areas = np.bincount(labels.ravel())
        areas[0] = 0
        least = max(64, arguments.side**2)
        ids = np.flatnonzero((areas >= least) & (areas < 0.6 * labels.size))
        if ids.size == 0:
            continue
        process = SuperpixelGP(
            image, segmenter, n=max(labels.size // arguments.side**2, 4)
        )
        for ident in rng.choice(ids, min(arguments.objects, ids.size), replace=False):
            truth = labels == ident
            found.append(measure(segmenter, image, truth, process))
            inside = np.bincount(process.labels[truth], minlength=1)
            best = np.zeros(len(process.features.areas), bool)
            best[: inside.size] = 2 * inside > process.features.areas[: inside.size]
            reachable.append(iou(truth.astype(int), best[process.labels]))
    mean = np.mean(found, axis=0)
    names = (
        "network, truth",
        "superpixels, network (the same clicks)",
        "superpixels, truth (the same clicks)",
        "superpixels, truth (own clicks)",
        "refined, truth (own clicks)",
    )
    print(f"{len(found)} objects; clicks: {COUNTS}")
    for name, row in zip(names, mean, strict=True):
        print(name.ljust(40), "  ".join(f"{value:.3f}" for value in row))
    print("superpixels, truth, at most".ljust(40), f"{np.mean(reachable):.3f}")


if __name__ == "__main__":
    main()
