"""A click model that takes the bright blob under a click; without weights."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from napari_gpcis.checkpoints import InferenceSettings, ModelInfo
from napari_gpcis.inference.segmenter import Segmenter
from napari_gpcis.model import GPScores


class BlobModel(torch.nn.Module):
    """Logits are 4 on the bright blobs under positive clicks, else -4."""

    def __init__(self) -> None:
        super().__init__()
        self.epsilon2 = 1e-7
        self.gp_stride = 1
        self.encoded = 0

    def encode(self, rgb):
        self.encoded += 1
        return rgb

    def predict(self, encoded, points, previous, variance=False):
        parts, _ = ndimage.label(encoded[0].mean(0).numpy() > 0.4)
        half = points.shape[1] // 2
        wanted = {
            int(parts[int(row), int(col)])
            for row, col, order in points[0, :half].tolist()
            if order >= 0
        }
        mask = torch.from_numpy(np.isin(parts, sorted(wanted - {0})))[None, None]
        logits = torch.where(mask, 4.0, -4.0)
        nothing = torch.zeros_like(logits)
        return GPScores(logits, logits, nothing), nothing if variance else None


def blob_segmenter(size: int = 96) -> Segmenter:
    info = ModelInfo(
        "blobs", "blobs", inference=InferenceSettings(infer_size=size, gp_stride=1)
    )
    return Segmenter(BlobModel(), info)


def blobs(
    shape: tuple[int, int], centres: list[tuple[int, int]], radius: int = 8
) -> tuple[np.ndarray, np.ndarray]:
    """An image of bright disks on dark ground, and their labels."""
    rows, cols = np.indices(shape)
    labels = np.zeros(shape, dtype=np.int32)
    for number, (row, col) in enumerate(centres, start=1):
        labels[(rows - row) ** 2 + (cols - col) ** 2 <= radius**2] = number
    return np.where(labels > 0, 200, 20).astype(np.uint8), labels
