"""The ResNet50 network against the published code, with rule-made weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from _rule_weights import rule_state_dict, state_dict_digest
from napari_gpcis.clicks import disk_maps
from napari_gpcis.model.gpcis import GPCIS, build_model

DATA = Path(__file__).parents[1] / "data"
KEYS = DATA / "gpcis_resnet50_keys.json"
ATOL = 2e-5  # float32 against float64 already differs by 5e-6
CASES = [("a", "eps1e-7"), ("a", "eps1e-2"), ("c", "eps1e-7")]
EPSILONS = {"eps1e-7": 1e-7, "eps1e-2": 1e-2}

Stored = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def stored() -> Stored:
    with np.load(DATA / "gpcis_resnet50_parity.npz", allow_pickle=False) as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return rule_state_dict(KEYS)


@pytest.fixture(scope="module")
def model(state: dict[str, Tensor]) -> GPCIS:
    network = build_model("resnet50")
    network.load_state_dict(state, strict=True)
    return network.eval()


def _inputs(stored: Stored, case: str) -> tuple[Tensor, Tensor]:
    """Return network input and points of a case."""
    image, previous = stored["image"], stored["prev_mask"]
    if case == "c":
        previous = np.zeros_like(previous)
    x = np.concatenate([image, previous])[None]
    if case == "d":
        x = np.concatenate([x, x[..., ::-1]])
    return torch.from_numpy(x), torch.from_numpy(stored[f"points_{case}"])


def test_rule_is_the_one_of_the_fixture(
    stored: Stored, state: dict[str, Tensor]
) -> None:
    check = json.loads(str(stored["rule_check_json"]))
    assert check["first3"]
    for key, values in check["first3"].items():
        assert state[key].flatten()[:3].tolist() == values
    assert state_dict_digest(state) == check["sha256_all_sorted_keys"]


def test_keys_shapes_and_size_are_the_published_ones(model: GPCIS) -> None:
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    assert shapes == json.loads(KEYS.read_text("utf-8"))
    assert len(shapes) == 403
    assert sum(parameter.numel() for parameter in model.parameters()) == 39_388_964


@pytest.mark.parametrize(("case", "name"), CASES)
def test_scores(case: str, name: str, model: GPCIS, stored: Stored) -> None:
    model.epsilon2 = EPSILONS[name]
    with torch.no_grad():
        scores = model(*_inputs(stored, case))
    for key, value in scores._asdict().items():
        expected = stored[f"{case}_{key}_{name}"]
        np.testing.assert_allclose(value, expected, rtol=0, atol=ATOL, err_msg=key)


@pytest.mark.parametrize("name", EPSILONS)
def test_scores_against_float64(name: str, model: GPCIS, stored: Stored) -> None:
    model.epsilon2 = EPSILONS[name]
    with torch.no_grad():
        scores = model(*_inputs(stored, "a"))
    for key, value in scores._asdict().items():
        expected = stored[f"a_{key}_{name}_f64"]
        np.testing.assert_allclose(value, expected, rtol=0, atol=ATOL, err_msg=key)


def test_batch_with_clicks_at_and_beyond_the_border(
    model: GPCIS, stored: Stored
) -> None:
    model.epsilon2 = 1e-7
    with torch.no_grad():
        scores = model(*_inputs(stored, "d"))
    np.testing.assert_allclose(
        scores.logits, stored["d_logits_eps1e-7"], rtol=0, atol=ATOL
    )


def test_tensors_inside_the_network(model: GPCIS, stored: Stored) -> None:
    x, points = _inputs(stored, "a")
    modules = {
        "maps": model.maps_transform,
        "c1": model.model.backbone.layer1,
        "c4": model.model.backbone.layer4,
        "aspp": model.model.aspp,
        "head": model.model.head,
    }
    seen: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(
            lambda _module, _inputs, output, name=name: seen.update({name: output})
        )
        for name, module in modules.items()
    ]
    with torch.no_grad():
        model(x, points)
    for hook in hooks:
        hook.remove()
    compared = {
        # the published code computes 256 maps and uses the first 128
        "maps": (seen["maps"][:, ::8, ::4, ::4], stored["a_maps_sub4"][:, :16]),
        "c1": (seen["c1"][:, ::16, ::2, ::2], stored["a_c1_sub"]),
        "c4": (seen["c4"][:, ::64], stored["a_c4_sub"]),
        "aspp": (seen["aspp"][:, ::8], stored["a_aspp_sub"]),
        "head": (seen["head"], stored["a_head"]),
    }
    for name, (value, expected) in compared.items():
        np.testing.assert_allclose(value, expected, rtol=0, atol=1e-4, err_msg=name)


def test_click_maps(stored: Stored) -> None:
    x, points = _inputs(stored, "a")
    drawn = disk_maps(points, (96, 128))
    np.testing.assert_array_equal(drawn[0], stored["a_coord"][0, 1:])
    np.testing.assert_allclose(x[:, 3], stored["a_coord"][:, 0], rtol=0, atol=3e-4)


@pytest.mark.parametrize("case", ["a", "d"])
def test_variational_term(case: str, model: GPCIS, stored: Stored) -> None:
    model.epsilon2 = 1e-2
    with torch.no_grad():
        _, loss = model.forward_train(*_inputs(stored, case), sample=False)
    expected = stored[f"{case}_u_loss_times_1e-3_eps1e-2"].item()
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_training_scores_without_draws_are_the_published_ones(
    model: GPCIS, stored: Stored
) -> None:
    model.epsilon2 = 1e-2
    scores, _ = model.forward_train(*_inputs(stored, "a"), sample=False)
    for key, value in scores._asdict().items():
        expected = stored[f"a_{key}_eps1e-2"]
        np.testing.assert_allclose(
            value.detach(), expected, rtol=0, atol=ATOL, err_msg=key
        )
