"""The loss on the coarse guess of HRNet's head."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from _toy_backbone import make_toy_model
from gpcis_training.engine.step import AuxiliaryLoss
from napari_gpcis.clicks import Click, points_tensor
from napari_gpcis.model.gpcis import GPCIS, build_model

SIZE = (33, 48)
POINTS = points_tensor([Click(5, 6), Click(20, 30, positive=False)]).repeat(2, 1, 1)


@pytest.fixture(scope="module")
def model() -> GPCIS:
    torch.manual_seed(0)
    return build_model("hrnet18s", gp_stride=4)


def _target() -> torch.Tensor:
    target = (torch.rand(2, 1, *SIZE) > 0.5).float()
    target[:, :, :4] = -1
    return target


def test_it_is_the_weighted_entropy_of_the_guess(model: GPCIS) -> None:
    loss, x, target = AuxiliaryLoss(model, 0.4), torch.rand(2, 4, *SIZE), _target()
    guesses: list[torch.Tensor] = []
    head = model.model.ocr.aux_head
    hook = head.register_forward_hook(lambda _, __, guess: guesses.append(guess))
    model.forward_train(x, POINTS)
    hook.remove()
    value = loss(target)
    logits = functional.interpolate(
        guesses[0], SIZE, mode="bilinear", align_corners=True
    )
    valid = target >= 0
    expected = functional.binary_cross_entropy_with_logits(logits[valid], target[valid])
    torch.testing.assert_close(value, 0.4 * expected)
    assert loss(target).item() == 0  # one pass, one loss


def test_it_trains_the_guess_and_nothing_behind_it(model: GPCIS) -> None:
    loss = AuxiliaryLoss(model, 0.4)
    model.zero_grad()
    model.forward_train(torch.rand(2, 4, *SIZE), POINTS)
    loss(_target()).backward()
    trained = {key for key, p in model.named_parameters() if p.grad is not None}
    assert "model.ocr.aux_head.3.bias" in trained
    assert "model.backbone.conv1.weight" in trained
    assert "maps_transform.0.weight" in trained
    behind = ("model.ocr.cls_head", "model.ocr.conv3x3", "theta", "u_mlp", "omega")
    assert not any(key.startswith(behind) for key in trained)


def test_nothing_is_kept_without_gradients_weight_or_head(model: GPCIS) -> None:
    loss, off = AuxiliaryLoss(model, 0.4), AuxiliaryLoss(model, 0.0)
    toy = make_toy_model()
    none = AuxiliaryLoss(toy, 0.4)
    x, target = torch.rand(2, 4, *SIZE), _target()
    with torch.no_grad():
        model(x, POINTS)
    assert loss(target).item() == 0
    model.forward_train(x, POINTS)
    toy.forward_train(x, POINTS)
    assert loss(target).item() > 0
    assert off(target).item() == 0
    assert none(target).item() == 0
