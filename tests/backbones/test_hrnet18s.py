"""HRNet-W18-small-v2 with OCR head, against its description."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from _hrnet_oracle import HRNetOracle
from napari_gpcis.backbones.hrnet18s import HRNet18s
from napari_gpcis.model.gpcis import build_model


def randomise(network: nn.Module) -> None:
    """Give every norm a mean and scale, so that no layer is the identity."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.0)
            nn.init.normal_(layer.bias, std=0.1)
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.8, 1.2)


@pytest.fixture(scope="module")
def network() -> HRNet18s:
    torch.manual_seed(3)
    network = HRNet18s()
    randomise(network)
    return network.eval()


def _oracle(network: HRNet18s) -> HRNetOracle:
    prefixes = ("backbone.", "ocr.")
    return HRNetOracle(
        {
            name.partition(".")[2]: value
            for name, value in network.state_dict().items()
            if name.startswith(prefixes)
        }
    )


@pytest.mark.parametrize("size", [(64, 96), (45, 70)])
def test_trunk_and_head_follow_the_published_names(
    network: HRNet18s, size: tuple[int, int]
) -> None:
    image = torch.rand(2, 3, *size)
    guidance = torch.randn(2, 64, -(-size[0] // 2), -(-size[1] // 2))
    seen: list[list[Tensor]] = []
    hooks = [
        stage.register_forward_hook(lambda _, __, output: seen.append(output))
        for stage in (network.backbone.stage2, network.backbone.stage3)
    ]
    with torch.no_grad():
        encoded = network.encode(image)
        branches = network.backbone.trunk(encoded[0] + guidance)
        features = network.fuse(encoded, guidance)
        oracle = _oracle(network)
        expected = oracle.branches(network.normalise(image), guidance)
        expected_features = oracle.features(expected[-1])
    for hook in hooks:
        hook.remove()
    for ours, theirs in zip([*seen[:2], branches], expected, strict=True):
        assert len(ours) == len(theirs)
        for branch, wanted in zip(ours, theirs, strict=True):
            torch.testing.assert_close(branch, wanted, rtol=1e-4, atol=1e-4)
    assert features.std() > 1e-2
    torch.testing.assert_close(features, expected_features, rtol=1e-4, atol=1e-4)


def test_branches_halve_from_stride_4(network: HRNet18s) -> None:
    with torch.no_grad():
        branches = network.backbone.trunk(network.encode(torch.rand(1, 3, 50, 70))[0])
    shapes = [tuple(branch.shape[1:]) for branch in branches]
    assert shapes == [(18, 13, 18), (36, 7, 9), (72, 4, 5), (144, 2, 3)]


def test_number_of_parameters() -> None:
    # FocalClick's network has 4,231,377: 11,330 of them are its refiner, which is not
    # part of this one, and 97 its classifier, here 48 features wide.
    model = build_model("hrnet18s")
    gaussian_process = (51 + 1) * 256 + (51 + 1) * 96 + 97 + 256 + 1 + 48 + 1
    published = 4_231_377 - 11_330 - 97 + 48 * 97
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == published + gaussian_process


def test_attention_to_one_region_ignores_query_and_key(network: HRNet18s) -> None:
    image, guidance = torch.rand(1, 3, 32, 32), torch.zeros(1, 64, 16, 16)
    block = network.ocr.ocr_distri_head.object_context_block
    before = {name: value.clone() for name, value in block.state_dict().items()}
    with torch.no_grad():
        features = network.fuse(network.encode(image), guidance)
        for part in (block.f_pixel, block.f_object):
            for parameter in part.parameters():
                parameter.add_(1.0)
        changed = network.fuse(network.encode(image), guidance)
        expected = _oracle(network)
        wanted = expected.features(
            expected.branches(network.normalise(image), guidance)[-1]
        )
    block.load_state_dict(before)
    assert torch.equal(changed, features)
    torch.testing.assert_close(wanted, features, rtol=1e-4, atol=1e-4)
