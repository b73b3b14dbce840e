"""The convolutions of the small network, and its size."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from napari_gpcis.backbones._inverted_residual import DepthwiseConv, SameConv
from napari_gpcis.backbones.mobilenet_v2 import MobileNetV2

SIZES = [(8, 8), (7, 10), (9, 5), (13, 13)]


def _maps(size: tuple[int, int], channels: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, channels, *size, generator=generator)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2), (1, 3)])
def test_depthwise_shortcuts_change_no_value(
    size: tuple[int, int], stride: int, dilation: int, kernel: int
) -> None:
    layer = DepthwiseConv(4, stride, dilation, kernel)
    maps = _maps(size)
    trained = layer(maps)
    with torch.no_grad():
        predicted = layer(maps)
    torch.testing.assert_close(trained, predicted, rtol=0, atol=1e-6)
    assert trained.requires_grad
    assert trained.shape[-2:] == tuple(-(-side // stride) for side in size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2), (1, 3)])
def test_depthwise_shortcuts_change_no_gradient(
    size: tuple[int, int], stride: int, dilation: int
) -> None:
    layer = DepthwiseConv(4, stride, dilation, kernel=5)
    maps = _maps(size).requires_grad_()
    found = layer(maps)
    given = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    asked = (maps, *layer.parameters())
    plain = SameConv.forward(layer, maps)
    torch.testing.assert_close(
        torch.autograd.grad(found, asked, given),
        torch.autograd.grad(plain, asked, given),
        rtol=1e-5,
        atol=1e-5,
    )


def test_large_depthwise_kernels_train_in_low_precision() -> None:
    layer = DepthwiseConv(4, 1, 1, kernel=5)
    maps = _maps((9, 12)).requires_grad_()
    exact = torch.autograd.grad(layer(maps).square().sum(), layer.weight)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(maps)
    assert found.dtype == torch.bfloat16
    low = torch.autograd.grad(found.float().square().sum(), layer.weight)[0]
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, exact, rtol=0, atol=0.02 * float(exact.abs().max()))


@pytest.mark.parametrize("size", SIZES)
def test_same_padding_adds_more_at_the_bottom_and_right(size: tuple[int, int]) -> None:
    layer = SameConv(4, 3, 3, stride=2)
    # TensorFlow: an even side is padded by (0, 1), an odd side by (1, 1)
    top, left = (side % 2 for side in size)
    padded = functional.pad(_maps(size), (left, 1, top, 1))
    expected = functional.conv2d(padded, layer.weight, layer.bias, stride=2)
    torch.testing.assert_close(layer(_maps(size)), expected)


def test_network_is_small_and_its_click_branch_meets_the_stem() -> None:
    network = MobileNetV2()
    assert sum(parameter.numel() for parameter in network.parameters()) < 3_000_000
    (stem,) = network.encode(torch.rand(1, 3, 45, 62))
    guidance = network.make_maps_transform()(torch.rand(1, 3, 45, 62))
    assert guidance.shape == stem.shape == (1, 32, 23, 31)
    assert network.fuse((stem,), guidance).shape == (1, 48, 12, 16)
