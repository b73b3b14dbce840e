"""Processor time of one pass of a network after a click, one thread, by who runs it.

    python benchmarks/passes.py mobilenet_v2 256
    python benchmarks/passes.py resnet50 384

prints milliseconds, and how far normalised features lie from those of the model itself.
Weights are random, save those of `mobilenet_v2`.
"""

from __future__ import annotations

import sys
from time import process_time
from typing import TYPE_CHECKING

import torch

from napari_gpcis import Click
from napari_gpcis.checkpoints import load_checkpoint
from napari_gpcis.clicks import points_tensor
from napari_gpcis.inference import openvino
from napari_gpcis.inference.openvino import OpenVINOModel
from napari_gpcis.inference.torch_cpu import TorchCPUModel, has_bfloat16
from napari_gpcis.model.gpcis import build_model

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5


def least(run: Callable[[], object]) -> float:
    """Return the least processor time of some runs, in milliseconds."""
    run()
    spent = []
    for _ in range(ROUNDS):
        start = process_time()
        run()
        spent.append(process_time() - start)
    return 1000 * min(spent)


def main(network: str, size: int) -> None:
    """Measure every way."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = build_model(network).eval()
    if network == "mobilenet_v2":
        model = load_checkpoint("gpcis-mobilenet-v2")[0].eval()
    ways = {"PyTorch": model, "folded": TorchCPUModel(model)}
    if has_bfloat16():
        ways["bfloat16"] = TorchCPUModel(model, torch.bfloat16)
    if openvino.available():
        ways["OpenVINO"] = OpenVINOModel(model)
    rgb, previous = torch.rand(1, 3, size, size), torch.rand(1, 1, size, size)
    points = points_tensor([Click(size / 3, size / 3), Click(9, 9, positive=False)])
    expected = None
    with torch.inference_mode():
        for name, way in ways.items():
            encoded = way.encode(rgb)
            raw = way.features(encoded, points, previous)
            found = torch.nn.functional.normalize(raw, dim=1)
            expected = found if expected is None else expected
            encode = least(lambda way=way: way.encode(rgb))
            spent = least(
                lambda way=way, encoded=encoded: way.features(encoded, points, previous)
            )
            far = (found - expected).abs().max()
            print(f"{name}: encode {encode:.0f}, pass {spent:.0f}, far {far:.1e}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
