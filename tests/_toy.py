"""The toy network of the protocol fixture: fast, deterministic, without weights."""

from __future__ import annotations

import torch

from napari_gpcis.checkpoints import InferenceSettings, ModelInfo
from napari_gpcis.inference.segmenter import Segmenter
from napari_gpcis.model import GPScores


class ToyModel(torch.nn.Module):
    """Logits fall with the distance to positive and rise with that to negative clicks.

    logits = -2 + 2 (previous - .5) + 2 (red - .5)
             + sum_i s_i exp(-d_i^2 / (2 (0.1 min(H, W))^2)),  s_i = +-8
    """

    def __init__(self) -> None:
        super().__init__()
        self.epsilon2 = 1e-2
        self.gp_stride = 1
        self.encoded: list[torch.Tensor] = []
        self.points: list[torch.Tensor] = []
        self.previous: list[torch.Tensor] = []
        self.failures = 0

    def encode(self, rgb):
        self.encoded.append(rgb)
        return rgb

    def predict(self, encoded, points, previous, variance=False):
        if self.failures:
            self.failures -= 1
            raise RuntimeError("out of memory, say")
        self.points.append(points)
        self.previous.append(previous)
        height, width = encoded.shape[-2:]
        rows, cols = torch.meshgrid(
            torch.arange(height), torch.arange(width), indexing="ij"
        )
        update = torch.zeros(1, 1, height, width)
        spread = 2 * (0.1 * min(height, width)) ** 2
        half = points.shape[1] // 2
        for slot, point in enumerate(points[0]):
            if (point < 0).any():
                continue
            square = (rows - point[0]) ** 2 + (cols - point[1]) ** 2
            update += (8 if slot < half else -8) * torch.exp(-square / spread)
        prior = -2 + 2 * (previous - 0.5) + 2 * (encoded[:, :1] - 0.5)
        scores = GPScores(prior + update, prior, update)
        return scores, torch.exp(-update.abs()) if variance else None


def toy_info(**settings) -> ModelInfo:
    settings = {"infer_size": 64, "gp_stride": 1, **settings}
    return ModelInfo("toy", "toy", inference=InferenceSettings(**settings))


def toy_segmenter(**settings) -> Segmenter:
    return Segmenter(ToyModel(), toy_info(**settings))
