"""The interface of the model, and what it promises about clicks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from _toy_backbone import make_toy_model
from napari_gpcis.backbones import available
from napari_gpcis.clicks import Click, points_tensor
from napari_gpcis.errors import GPCISError, UnknownModelError
from napari_gpcis.model import GPCIS, GPScores, build_model

NAMES = ["mobilenet_v2", "resnet50", "hrnet18s", "segformer_b0"]
SIZE = (48, 64)
CLICKS = [
    Click(10, 12),
    Click(40.7, 20.2, positive=False),
    Click(30, 50),
    Click(5, 60, positive=False),
    Click(22, 33),
]
NO_CLICK = torch.full((1, 2, 3), -1.0)


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest) -> GPCIS:
    torch.manual_seed(1)
    network = build_model(request.param).eval()
    network.epsilon2 = 1e-7
    return network


def _input(seed: int = 0, size: tuple[int, int] = SIZE, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 4, *size, generator=generator)


def _forward(model: GPCIS, x: Tensor, points: Tensor) -> GPScores:
    with torch.no_grad():
        return model(x, points)


def _assert_close(left: GPScores, right: GPScores, atol: float) -> None:
    for name, value in left._asdict().items():
        expected = getattr(right, name)
        torch.testing.assert_close(value, expected, rtol=0, atol=atol)


# -- building --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nope", "", "ResNet50"])
def test_unknown_model_is_refused_with_the_known_names(name: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        build_model(name)
    assert isinstance(caught.value, (KeyError, GPCISError))
    for part in (repr(name), *available()):
        assert part in str(caught.value)


def test_known_models() -> None:
    assert set(NAMES) <= set(available())


@pytest.mark.parametrize("name", NAMES)
def test_options_reach_the_model(name: str) -> None:
    model = build_model(name, gp_stride=2, basis=64)
    assert model.gp_stride == 2
    assert model.omega.shape == (64, 1)
    assert model.epsilon2 == 1e-2
    assert model.training


# -- the forward pass ------------------------------------------------------------


def test_encode_then_predict_equals_forward(model: GPCIS) -> None:
    x, points = _input(), points_tensor(CLICKS)
    expected = _forward(model, x, points)
    with torch.no_grad():
        encoded = model.encode(x[:, :3])
        first, variance = model.predict(encoded, points, x[:, 3:])
        again, _ = model.predict(encoded, points, x[:, 3:])
    assert variance is None
    for scores in (first, again):
        assert all(map(torch.equal, scores, expected))


def test_encoding_is_kept_whatever_the_clicks(model: GPCIS) -> None:
    x = _input(size=(45, 70))
    with torch.no_grad():
        kept = model.encode(x[:, :3])
        copies = [tensor.clone() for tensor in kept.features]
        for count in (1, 5, 2):
            points = points_tensor(CLICKS[:count])
            previous = torch.rand(1, 1, 45, 70)
            cached, _ = model.predict(kept, points, previous)
            fresh = _forward(model, torch.cat([x[:, :3], previous], dim=1), points)
            assert all(map(torch.equal, cached, fresh))
    assert all(map(torch.equal, kept.features, copies))
    other = model.encode(x[:, :3].flip(3)).features
    assert not torch.equal(other[0], kept.features[0])


def test_logits_are_the_sum_of_prior_and_update(model: GPCIS) -> None:
    scores = _forward(model, _input(), points_tensor(CLICKS))
    assert [tuple(value.shape) for value in scores] == [(1, 1, *SIZE)] * 3
    assert torch.equal(scores.logits, scores.prior + scores.update)
    assert scores.update.abs().max() > 0


def test_prediction_is_deterministic_and_draws_no_random_number(
    model: GPCIS,
) -> None:
    state = torch.random.get_rng_state()
    first = _forward(model, _input(), points_tensor(CLICKS))
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(7)
    second = _forward(model, _input(), points_tensor(CLICKS))
    assert all(map(torch.equal, first, second))


@pytest.mark.parametrize("size", [(33, 47), (50, 31), (17, 16), (65, 98), (16, 19)])
@pytest.mark.parametrize("gp_stride", [1, 4])
def test_any_height_and_width(
    size: tuple[int, int], gp_stride: int, model: GPCIS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "gp_stride", gp_stride)
    x = _input(size=size)
    points = points_tensor(
        [Click(size[0] - 0.1, size[1] - 0.1), Click(0, 0, positive=False)]
    )
    with torch.no_grad():
        encoded = model.encode(x[:, :3])
        raw = model.features(encoded, points, x[:, 3:])
        scores, variance = model.predict(encoded, points, x[:, 3:], variance=True)
    grid = (-(-size[0] // 4), -(-size[1] // 4))
    assert raw.shape == (1, model.model.feature_dim, *grid)
    for value in (*scores, variance):
        assert value.shape == (1, 1, *size)
        assert bool(value.isfinite().all())


@pytest.mark.parametrize("gp_stride", [1, 4])
def test_images_of_a_batch_are_independent(
    gp_stride: int, model: GPCIS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "gp_stride", gp_stride)
    x = _input(batch=3)
    few = points_tensor(CLICKS[:1])
    points = NO_CLICK.repeat(3, 3, 1)
    points[0] = points_tensor(CLICKS)
    points[1, 0], points[1, 3] = few[0, 0], few[0, 1]
    together = _forward(model, x, points)
    for image, alone in enumerate([points_tensor(CLICKS), few, NO_CLICK]):
        scores = _forward(model, x[image : image + 1], alone)
        batch_item = GPScores(*(value[image : image + 1] for value in together))
        _assert_close(batch_item, scores, atol=2e-5)


def test_previous_mask_and_clicks_reach_the_features(model: GPCIS) -> None:
    x = _input()
    moved = x.clone()
    moved[:, 3] = 1 - moved[:, 3]
    points = points_tensor(CLICKS)
    prior = _forward(model, x, points).prior
    assert not torch.equal(_forward(model, moved, points).prior, prior)
    assert not torch.equal(_forward(model, x, points_tensor(CLICKS[1:])).prior, prior)


# -- clicks ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "points",
    [
        NO_CLICK,
        torch.tensor([[[SIZE[0] + 0.5, 10.0, 0.0], [-2.0, 20.0, 1.0]]]),
        torch.tensor([[[10.0, float(SIZE[1]), 0.0], [20.0, -0.25, 1.0]]]),
        torch.tensor([[[1e9, 1e9, 0.0], [-1e9, 3.0, 1.0]]]),
    ],
)
def test_without_a_click_inside_the_prior_remains(model: GPCIS, points: Tensor) -> None:
    scores = _forward(model, _input(), points)
    assert not scores.update.any()
    assert torch.equal(scores.logits, scores.prior)
    trained, loss = model.forward_train(_input(), points)
    assert loss.item() == 0
    assert not trained.update.any()


def test_click_far_outside_changes_nothing(model: GPCIS) -> None:
    expected = _forward(model, _input(), points_tensor(CLICKS))
    far = [*CLICKS, Click(500, 20), Click(-300, 900, positive=False)]
    scores = _forward(model, _input(), points_tensor(far))
    _assert_close(scores, expected, atol=1e-6)


def test_slots_of_a_side_may_be_in_any_order(model: GPCIS) -> None:
    points = points_tensor(CLICKS)
    shuffled = points[:, [2, 0, 1, 5, 4, 3]]
    assert not torch.equal(shuffled, points)
    expected = _forward(model, _input(), points)
    _assert_close(_forward(model, _input(), shuffled), expected, atol=1e-5)


@pytest.mark.parametrize("gp_stride", [1, 4])
def test_same_click_twice_is_one_click(
    gp_stride: int, model: GPCIS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "gp_stride", gp_stride)
    expected = _forward(model, _input(), points_tensor(CLICKS))
    twice = _forward(model, _input(), points_tensor([*CLICKS, CLICKS[2]]))
    _assert_close(twice, expected, atol=1e-6)


@pytest.mark.parametrize("gp_stride", [1, 4])
@pytest.mark.parametrize("positive", [True, False])
def test_of_two_labels_in_one_pixel_the_last_alone_counts(
    gp_stride: int, positive: bool
) -> None:
    model = make_toy_model(gp_stride=gp_stride)
    here = [Click(20, 32, positive=not positive), Click(20.4, 32.3, positive)]
    scores = _forward(model, _input(), points_tensor([*CLICKS, *here]))
    expected = _forward(model, _input(), points_tensor([*CLICKS, here[1]]))
    _assert_close(scores, expected, atol=1e-6)
    other = _forward(model, _input(), points_tensor([*CLICKS, here[0]]))
    assert not torch.allclose(scores.logits, other.logits, atol=1e-2)


@pytest.mark.parametrize("positive", [True, False])
def test_relabelled_pixel_has_the_last_label(
    positive: bool, model: GPCIS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "gp_stride", 1)
    here = [Click(20, 32, positive=not positive), Click(20, 32, positive)]
    logits = _forward(model, _input(), points_tensor(here)).logits
    assert bool(logits[0, 0, 20, 32] > 0) is positive


_clicks = st.lists(
    st.builds(
        Click,
        row=st.floats(0, SIZE[0] - 0.01),
        col=st.floats(0, SIZE[1] - 0.01),
        positive=st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


@given(_clicks, st.integers(0, 5))
@settings(max_examples=40)
def test_clicked_pixel_has_the_label_of_its_last_click(
    clicks: list[Click], seed: int
) -> None:
    scores = _forward(make_toy_model(seed), _input(seed), points_tensor(clicks))
    last = {(int(click.row), int(click.col)): click.positive for click in clicks}
    for (row, col), positive in last.items():
        assert bool(scores.logits[0, 0, row, col] > 0) is positive


# -- variance --------------------------------------------------------------------


@given(_clicks, st.integers(0, 5))
@settings(max_examples=20)
def test_variance_is_small_at_clicks_and_bounded_by_the_prior(
    clicks: list[Click], seed: int
) -> None:
    model = make_toy_model(seed)
    x = _input(seed)
    with torch.no_grad():
        encoded = model.encode(x[:, :3])
        _, variance = model.predict(encoded, points_tensor(clicks), x[:, 3:], True)
    prior_variance = 1 + torch.nn.functional.softplus(model.weights).item()
    assert variance.min().item() >= 0
    assert variance.max().item() <= prior_variance + 1e-4
    for click in clicks:
        at_click = variance[0, 0, int(click.row), int(click.col)].item()
        assert at_click == pytest.approx(1e-4, abs=1e-5)


def test_variance_comes_with_the_same_scores(model: GPCIS) -> None:
    x, points = _input(), points_tensor(CLICKS)
    with torch.no_grad():
        encoded = model.encode(x[:, :3])
        plain, _ = model.predict(encoded, points, x[:, 3:])
        scores, variance = model.predict(encoded, points, x[:, 3:], variance=True)
        _, prior_variance = model.predict(encoded, NO_CLICK, x[:, 3:], variance=True)
    assert all(map(torch.equal, plain, scores))
    assert variance.shape == (1, 1, *SIZE)
    assert variance.min() < 0.1 * prior_variance.min()
    expected = 1 + torch.nn.functional.softplus(model.weights.detach())
    torch.testing.assert_close(prior_variance, expected.expand(1, 1, *SIZE))


# -- training --------------------------------------------------------------------


def test_training_pass_without_draws_equals_forward(model: GPCIS) -> None:
    x, points = _input(), points_tensor(CLICKS)
    with torch.no_grad():
        scores, loss = model.forward_train(x, points, sample=False)
    _assert_close(scores, _forward(model, x, points), atol=1e-4)
    assert loss.item() > 0


def test_training_pass_draws_weights_and_targets(model: GPCIS) -> None:
    x, points = _input(), points_tensor(CLICKS)

    def draw(seed: int) -> GPScores:
        torch.manual_seed(seed)
        with torch.no_grad():
            return model.forward_train(x, points)[0]

    first, same, other = draw(3), draw(3), draw(4)
    assert torch.equal(first.logits, same.logits)
    assert not torch.equal(first.prior, other.prior)


def test_targets_are_drawn_around_their_means() -> None:
    model = make_toy_model()
    x, points = _input(), points_tensor(CLICKS)
    rows, cols = [10, 40, 30, 5, 22], [12, 20, 50, 60, 33]
    torch.manual_seed(6)
    with torch.no_grad():
        mean = _forward(model, x, points).logits[0, 0, rows, cols]
        draws = torch.stack(
            [
                model.forward_train(x, points)[0].logits[0, 0, rows, cols]
                for _ in range(200)
            ]
        )
    torch.testing.assert_close(draws.mean(0), mean, rtol=0, atol=0.004)
    torch.testing.assert_close(draws.std(0), torch.full((5,), 0.01), rtol=0, atol=0.002)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_trained(name: str) -> None:
    torch.manual_seed(2)
    model = build_model(name)
    scores, loss = model.forward_train(
        _input(batch=2), points_tensor(CLICKS).repeat(2, 1, 1)
    )
    (scores.logits.square().mean() + loss).backward()
    unseen = {"model.ocr.aux_head.3.bias"}  # a softmax does not see it
    for key, parameter in model.named_parameters():
        if not parameter.requires_grad or key in unseen:
            continue
        assert parameter.grad is not None, key
        assert bool(parameter.grad.isfinite().all()), key
        assert parameter.grad.abs().max() > 0, key


@pytest.mark.parametrize("name", NAMES)
def test_one_step_lowers_the_loss(name: str) -> None:
    torch.manual_seed(4)
    model = build_model(name, gp_stride=4)
    for layer in model.modules():  # no dropped branches: the steps are compared
        if isinstance(layer, torch.nn.Dropout2d):
            layer.p = 0.0
        if hasattr(layer, "drop_path"):
            layer.drop_path = 0.0
    x, points = _input(batch=2), points_tensor(CLICKS).repeat(2, 1, 1)
    target = (x[:, :1] > 0.5).float()
    target[..., :32] = 1.0
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-2)

    def loss() -> Tensor:
        scores, variational = model.forward_train(x, points, sample=False)
        entropy = torch.nn.functional.binary_cross_entropy_with_logits
        return entropy(scores.logits, target) + variational

    first = loss()
    first.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    with torch.no_grad():
        assert loss() < first
