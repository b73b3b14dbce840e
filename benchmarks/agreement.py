"""How far the masks of faster ways agree with the exact ones, on validation objects.

    python benchmarks/agreement.py DATA_ROOT bsds500_val 24 [MODEL]

The robot user clicks on the exact masks. Every way predicts after each click, from the
exact prediction of the click before; the table says the IoU with the exact mask.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from gpcis_training.evaluation.datasets import (
    first_view,
    ground_truth,
    load_objects,
    read_image,
)
from gpcis_training.evaluation.robot import next_click
from napari_gpcis import Segmenter
from napari_gpcis.checkpoints import load_checkpoint
from napari_gpcis.checkpoints.registry import DEFAULT_MODEL
from napari_gpcis.inference import openvino
from napari_gpcis.inference.torch_cpu import TorchCPUModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLICKS = 6
TARGET = 0.9


def ways(name: str) -> dict[str, Segmenter]:
    """Return the faster ways of a model."""
    model, info = load_checkpoint(name)
    low = TorchCPUModel(model, torch.bfloat16)
    found = {
        "float32": Segmenter(model, info, exact=False, backend="torch"),
        "bfloat16": Segmenter(low, info),
    }
    if openvino.available():
        found["OpenVINO"] = Segmenter(model, info, exact=False, backend="openvino")
    return found


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the IoU; 1 where both are empty."""
    union = (one | other).sum()
    return float((one & other).sum() / union) if union else 1.0


def main(root: Path, name: str, count: int, model: str = DEFAULT_MODEL) -> None:
    """Print one line for each way."""
    torch.set_num_threads(1)
    exact, faster = Segmenter(*load_checkpoint(model)), ways(model)
    chosen = load_objects(name)
    step = max(1, len(chosen.objects) // count)
    agreed: dict[str, list[float]] = {key: [] for key in faster}
    for item in chosen.objects[::step][:count]:
        folder = root / chosen.folder
        image = read_image(folder / "images" / item.image)
        gt = ground_truth(folder, item)
        mask, free = np.zeros(gt.shape, bool), np.ones(gt.shape, bool)
        prepared, clicks, previous, view = exact.prepare(image), [], None, None
        while len(clicks) < CLICKS and overlap(mask & (gt >= 0), gt == 1) < TARGET:
            click = next_click(gt, mask, free)
            if click is None:
                break
            if not clicks:
                view = first_view(gt.shape, click.pixel, chosen.rule.window)
            free[click.pixel] = False
            clicks.append(click)
            found = exact.step(prepared, clicks, previous, view)
            mask = found.mask
            for key, way in faster.items():
                other = way.step(prepared, clicks, previous, view).mask
                agreed[key].append(overlap(mask, other))
            previous = found
    for key, values in agreed.items():
        low, mean = np.quantile(values, 0.05), np.mean(values)
        print(f"{key}: {len(values)} masks, mean {mean:.4f}, 5th percentile {low:.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
