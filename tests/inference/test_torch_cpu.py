"""The fast path: the same function folded, and nearly the same in low precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from _toy import ToyModel, toy_info
from napari_gpcis import Click, Segmenter
from napari_gpcis.clicks import points_tensor
from napari_gpcis.inference.torch_cpu import TorchCPUModel, has_bfloat16
from napari_gpcis.model.gpcis import build_model

# after a sum; in the attention over several regions, of which there is one
KEPT = {"segformer_b0": 1, "hrnet18s": 4}
NETWORKS = ["mobilenet_v2", "segformer_b0", "hrnet18s", "resnet50"]


def prepared_model(name, seed=0):
    """Return a network whose batch norms do something."""
    torch.manual_seed(seed)
    model = build_model(name).eval()
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.running_mean, -0.3, 0.3)
            torch.nn.init.uniform_(part.running_var, 0.7, 1.4)
            torch.nn.init.uniform_(part.weight, 0.8, 1.2)
            torch.nn.init.uniform_(part.bias, -0.2, 0.2)
    model.epsilon2 = 1e-7
    return model


def batch_norms(model):
    return sum(isinstance(part, torch.nn.BatchNorm2d) for part in model.modules())


def features(model):
    generator = torch.Generator().manual_seed(1)
    rgb = torch.rand(1, 3, 64, 96, generator=generator)
    previous = torch.rand(1, 1, 64, 96, generator=generator)
    points = points_tensor([Click(20, 30), Click(50, 9, False)])
    with torch.inference_mode():
        raw = model.features(model.encode(rgb), points, previous)
    return torch.nn.functional.normalize(raw, dim=1)


@pytest.mark.parametrize("name", NETWORKS)
def test_folding_changes_nothing(name):
    model = prepared_model(name)
    fast = TorchCPUModel(model, torch.float32)
    assert batch_norms(fast._model) <= KEPT.get(name, 0)
    assert_allclose(features(fast), features(model), atol=2e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_low_precision_changes_features_little(name):
    model = prepared_model(name)
    found = features(TorchCPUModel(model, torch.bfloat16))
    assert found.dtype == torch.float32
    expected = features(model)
    assert (found * expected).sum(1).min() > 0.99  # cosine
    assert not torch.equal(found, expected)


def test_the_model_itself_stays_as_it_is():
    model = prepared_model("mobilenet_v2")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    TorchCPUModel(model, torch.bfloat16)
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True, "avx512_bf16": False}, True),
        ({"avx2": True}, False),
    ],
)
def test_bfloat16_where_the_cpu_computes_with_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(
        torch.cpu, "get_capabilities", lambda: capabilities, raising=False
    )
    assert has_bfloat16() == expected


def test_older_pytorch_does_not_tell(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not has_bfloat16()


@pytest.fixture(scope="module")
def image():
    rows, cols = np.mgrid[:90, :120]
    disk = np.hypot(rows - 45, cols - 50) < 25
    noise = np.random.default_rng(0).normal(0, 10, (90, 120))
    return (60 + 120 * disk + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def segmenters():
    def load(**options):
        return Segmenter.from_pretrained("gpcis-mobilenet-v2", "cpu", **options)

    return load(exact=True), load(backend="torch")


def test_fast_masks_agree_with_exact_ones(image, segmenters):
    clicks = [Click(45, 50), Click(10, 100, False), Click(60, 60)]
    exact, fast = (s.predict(image, clicks) for s in segmenters)
    overlap = (exact.mask & fast.mask).sum() / (exact.mask | fast.mask).sum()
    assert exact.mask.sum() > 500
    assert overlap > 0.999
    assert fast.mask[45, 50]
    assert not fast.mask[10, 100]


def test_fast_previews_and_maps(image, segmenters):
    fast = segmenters[1]
    prepared = fast.prepare(image)
    found = fast.step(prepared, [Click(45, 50)])
    ahead = fast.preview(prepared, Click(10, 100, False), found)
    assert ahead.maps.variance.dtype == np.float32
    logits = ahead.maps.prior + ahead.maps.update
    assert_allclose(ahead.maps.probability, 1 / (1 + np.exp(-logits)), atol=1e-6)


def test_same_clicks_same_mask(image, segmenters):
    clicks = [Click(45, 50), Click(10, 100, False)]
    fast = segmenters[1]
    first = fast.predict(image, clicks).probability
    assert_array_equal(fast.predict(image, clicks).probability, first)


def test_exact_segmenter_runs_the_model_itself():
    model = prepared_model("mobilenet_v2")
    info = toy_info(gp_stride=4)
    assert Segmenter(model, info)._engine._model is model
    fast = Segmenter(model, info, exact=False, backend="torch")
    assert isinstance(fast._engine._model, TorchCPUModel)


def test_other_models_run_as_they_are(image):
    model = ToyModel()
    Segmenter(model, toy_info(), exact=False).predict(image, [Click(45, 50)])
    assert len(model.encoded) == 1
