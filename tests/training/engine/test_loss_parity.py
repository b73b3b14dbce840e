"""The normalised focal loss against the published code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gpcis_training.engine.step import normalised_focal_loss

FIXTURE = Path(__file__).parents[2] / "data" / "gpcis_resnet50_parity.npz"


@pytest.mark.parametrize(
    ("target", "loss", "gradient"),
    [
        ("gt", "nfl", "nfl_grad_sub4"),
        ("gt_ignore", "nfl_ignore", "nfl_ignore_grad_sub4"),
    ],
)
def test_normalised_focal_loss_is_the_published_one(
    target: str, loss: str, gradient: str
) -> None:
    stored = np.load(FIXTURE, allow_pickle=False)
    logits = torch.from_numpy(stored["a_logits_eps1e-7"]).requires_grad_()
    value = normalised_focal_loss(logits, torch.from_numpy(stored[target])[None])
    value.sum().backward()
    assert value.shape.numel() == 1
    assert value.item() == pytest.approx(stored[loss].item(), rel=1e-5)
    assert logits.grad is not None
    found, expected = logits.grad[:, :, ::4, ::4], stored[gradient]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * abs(expected).max())
