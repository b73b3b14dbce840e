"""The segmenter: the published click protocol, inputs, caching and threads."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from _rule_weights import rule_state_dict
from _toy import ToyModel, toy_info, toy_segmenter
from napari_gpcis import Click, Segmenter
from napari_gpcis.checkpoints import InferenceSettings, ModelInfo, save_checkpoint
from napari_gpcis.errors import GPCISError, InputError
from napari_gpcis.inference.engine import find_device
from napari_gpcis.inference.image import counted_percentiles
from napari_gpcis.inference.segmenter import Request
from napari_gpcis.model.gpcis import build_model

DATA = Path(__file__).parents[1] / "data"
PUBLISHED = {"antialias": False, "gp_stride": 1}


@pytest.fixture(scope="module")
def fixture():
    with np.load(DATA / "gpcis_protocol_fixture.npz", allow_pickle=False) as archive:
        return dict(archive)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


class Recorder(torch.nn.Module):
    """Any model, with its inputs kept."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.inputs = []

    def encode(self, rgb):
        return rgb, self.model.encode(rgb)

    def predict(self, encoded, points, previous, variance=False):
        self.inputs.append((torch.cat([encoded[0], previous], dim=1), points))
        return self.model.predict(encoded[1], points, previous, variance)


def trace_of(segmenter, recorder, fixture, name):
    """Replay a stored trace click by click and compare all that is stored of it."""
    image = fixture["toy_image_u8" if name == "toy" else "image_u8"]
    prepared = segmenter.prepare(image)
    steps = fixture[f"{name}_steps"]
    clicks = [Click(row, col, positive == 1) for row, col, positive in steps[:, :3]]
    found = None
    for number, (row_min, row_max, col_min, col_max) in enumerate(steps[:, 3:7]):
        found = segmenter.step(prepared, clicks[: number + 1], found)
        expected = (row_min, col_min, row_max + 1, col_max + 1)
        if row_min < 0:  # the first click: no region, the whole image
            expected = (0, 0, *image.shape[:2])
        assert found.roi == expected
        assert found.extent(0.49) is not None  # nowhere the published stale region
        points = recorder.inputs[-1][1]
        assert_allclose(points, fixture[f"{name}_points_{number}"], atol=1e-4)
        if f"{name}_prob_{number}" in fixture:
            stored = fixture[f"{name}_prob_{number}"]
            assert_allclose(found.probability, stored, atol=1e-4)
            assert_array_equal(found.probability > 0.5, stored > 0.5)
    return recorder.inputs


def test_toy_trace_of_the_published_predictor(fixture):
    recorder = Recorder(ToyModel())
    segmenter = Segmenter(recorder, toy_info(infer_size=128, **PUBLISHED))
    inputs = trace_of(segmenter, recorder, fixture, "toy")
    seen = inputs[2][0][:, :, ::4, ::4]
    assert_allclose(seen, fixture["toy_netin_2_sub4"], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 96])
def test_trace_of_the_published_predictor_and_network(fixture, size):
    model = build_model("resnet50")
    model.load_state_dict(rule_state_dict(DATA / "gpcis_resnet50_keys.json"))
    recorder = Recorder(model)
    recorder.eval()
    settings = InferenceSettings(infer_size=size, **PUBLISHED)
    model.epsilon2 = settings.epsilon2
    segmenter = Segmenter(recorder, ModelInfo("r", "resnet50", inference=settings))
    inputs = trace_of(segmenter, recorder, fixture, f"e2e{size}")
    seen = inputs[3][0][:, :, ::4, ::4]
    assert_allclose(seen, fixture[f"e2e{size}_netin_3"], atol=1e-4)


@pytest.mark.parametrize("antialias", [False, True])
def test_empty_mask_drops_the_region_of_earlier_clicks(image, antialias):
    # The published code would paste the answer into the region of an earlier click.
    # No mask in its stored traces is empty, so none of them is affected.
    segmenter = toy_segmenter(antialias=antialias)
    prepared = segmenter.prepare(image)
    clicks = [Click(30, 40), Click(30, 40, False), Click(30, 40, False)]
    first = segmenter.step(prepared, clicks[:1])
    second = segmenter.step(prepared, clicks[:2], first)
    assert second.roi != first.roi == (0, 0, 60, 80)
    assert second.extent(0.49) is None
    assert segmenter.step(prepared, clicks, second).roi == (0, 0, 60, 80)
    view = (20, 20, 50, 60)
    assert segmenter.step(prepared, clicks, second, view).roi == view


def test_first_click_is_zoomed_to_the_view(image):
    segmenter = toy_segmenter()
    found = segmenter.predict(image, [Click(30, 40)], view=(20, 30, 45, 900))
    assert found.roi == (20, 30, 45, 80)
    assert found.mask[30, 40]
    assert not found.mask[:20].any()


def test_view_grows_to_hold_positive_clicks(image):
    clicks = [Click(3, 4, False), Click(50, 70)]
    segmenter = toy_segmenter()
    found = segmenter.predict(image, clicks, view=(20, 20, 40, 40))
    assert found.roi == (20, 20, 51, 71)
    assert found.mask[50, 70]


@pytest.mark.parametrize("antialias", [False, True])
def test_every_click_is_obeyed(image, antialias):
    rng = np.random.default_rng(3)
    clicks = [
        Click(rng.uniform(-0.5, 59.4), rng.uniform(-0.5, 79.4), rng.random() < 0.5)
        for _ in range(15)
    ]
    mask = toy_segmenter(antialias=antialias).predict(image, clicks).mask
    wanted = {click.pixel: click.positive for click in clicks}
    assert {pixel: bool(mask[pixel]) for pixel in wanted} == wanted


def test_replay_is_step_by_step_and_bit_for_bit(image):
    clicks = [Click(30, 40), Click(20, 20, False), Click(40, 60)]
    once = toy_segmenter().predict(image, clicks)
    segmenter, found = toy_segmenter(), None
    prepared = segmenter.prepare(image)
    for number in range(1, 4):
        found = segmenter.step(prepared, clicks[:number], found)
    assert_array_equal(found.probability, once.probability)
    assert_array_equal(found.mask, once.mask)
    assert found.clicks == tuple(clicks)


def test_run_gives_one_prediction_per_missing_click(image):
    segmenter = toy_segmenter()
    request = Request(segmenter.prepare(image), (Click(30, 40), Click(9, 9, False)))
    first, second = segmenter.run(request)
    later = Request(request.prepared, (*request.clicks, Click(35, 50)), (first, second))
    (third,) = segmenter.run(later)
    assert [len(p.clicks) for p in (first, second, third)] == [1, 2, 3]
    assert (
        segmenter.run(Request(later.prepared, later.clicks, (first, second, third)))
        == ()
    )


def test_cancelled_run_is_given_up(image):
    segmenter = toy_segmenter()
    request = Request(segmenter.prepare(image), (Click(30, 40), Click(9, 9, False)))
    answers = iter([False, True])
    assert segmenter.run(request, lambda: next(answers)) == ()


def test_clicks_on_one_region_encode_it_once(image):
    model = ToyModel()
    segmenter = Segmenter(model, toy_info())
    prepared = segmenter.prepare(image)
    for row in (10, 20, 30):
        segmenter.step(prepared, [Click(row, 40)])
    assert len(model.encoded) == 1
    segmenter.step(segmenter.prepare(image), [Click(10, 40)])
    assert len(model.encoded) == 2


def test_few_encodings_are_kept(image):
    model = ToyModel()
    segmenter = Segmenter(model, toy_info())
    prepared = segmenter.prepare(image)
    views = [(0, 0, 30 + n, 60) for n in range(6)]
    for view in [*views, views[-1], views[0]]:
        segmenter.step(prepared, [Click(10, 40)], view=view)
    assert len(model.encoded) == 7
    for view in (views[3], (0, 0, 50, 60), (0, 0, 51, 60), (0, 0, 52, 60), views[3]):
        segmenter.step(prepared, [Click(10, 40)], view=view)
    assert len(model.encoded) == 10  # the one last used was kept


def test_threads_share_a_segmenter(image):
    segmenter = toy_segmenter()
    jobs = [[Click(5 * n + 5, 40), Click(50, 8 * n, False)] for n in range(8)]
    alone = [segmenter.predict(image, job).mask for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda job: segmenter.predict(image, job).mask, jobs))
    assert_array_equal(alone, together)


def test_settings_of_the_model_are_those_of_its_information():
    model = ToyModel().train()
    Segmenter(model, toy_info(epsilon2=1e-5, gp_stride=4))
    assert (model.epsilon2, model.gp_stride, model.training) == (1e-5, 4, False)


def test_maps_add_up(image):
    found = toy_segmenter().predict(image, [Click(30, 40), Click(10, 10, False)])
    logits = found.crop("prior") + found.crop("update")
    grid = found.maps
    assert_allclose(grid.probability, 1 / (1 + np.exp(-grid.prior - grid.update)), 1e-5)
    assert logits.shape == found.crop("variance").shape
    assert found.crop("variance").min() >= 0


def test_damaged_model_is_reported(image):
    class Damaged(ToyModel):
        def encode(self, rgb):
            return rgb * float("nan")

    with pytest.raises(GPCISError, match="did not return finite scores"):
        Segmenter(Damaged(), toy_info()).predict(image, [Click(3, 3)])


@pytest.mark.parametrize("device", ["abacus", "cuda:99", "xpu:7"])
def test_unknown_device(device):
    with pytest.raises(InputError, match=f"device must be .*{device}"):
        Segmenter(ToyModel(), toy_info(), device)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(False, False, "cpu"), (False, True, "mps"), (True, True, "cuda")],
)
def test_automatic_device(monkeypatch, cuda, mps, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert find_device("auto") == expected


def test_torch_waits_for_a_model():
    code = "import sys, napari_gpcis.session.session; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_checkpoint_file_to_mask(tmp_path, image):
    torch.manual_seed(0)
    model = build_model("mobilenet_v2")
    info = ModelInfo("mine", "mobilenet_v2")
    save_checkpoint(tmp_path / "mine.safetensors", model, info)
    segmenter = Segmenter.from_pretrained(tmp_path / "mine.safetensors", device="cpu")
    clicks = [Click(30, 40), Click(20, 20, False)]
    found = segmenter.predict(image, clicks)
    assert segmenter.info == info
    assert segmenter.device == "cpu"
    assert found.mask[30, 40]
    assert not found.mask[20, 20]
    assert 0 <= found.crop("variance").min() < found.crop("variance").max()
    again = Segmenter.from_pretrained(tmp_path / "mine.safetensors").predict(
        image, clicks
    )
    assert_allclose(again.probability, found.probability, atol=1e-3)


# -- what counts as an image -------------------------------------------------------


def seen_by_model(image, **options):
    model = ToyModel()
    segmenter = Segmenter(model, toy_info(infer_size=64, antialias=False))
    segmenter.predict(image, [Click(3, 3)], **options)
    return model.encoded[0][0].numpy()


GREY = np.random.default_rng(1).random((64, 64)) * 0.8 + 0.1


@pytest.mark.parametrize(
    "dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "g"]
)
def test_any_real_dtype_looks_alike(dtype):
    dtype = np.dtype(dtype)
    scaled = GREY
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        half = limits.max / 2
        scaled = np.floor((GREY - (0.5 if dtype.kind == "i" else 0)) * half * 2)
    found = seen_by_model(scaled.astype(dtype))
    expected = seen_by_model(GREY)
    assert found.dtype == np.float32
    assert (found[0] == found[1]).all()
    assert_allclose(found, expected, atol=0.02)
    assert found.min() == 0
    assert found.max() == 1


def test_boolean_image():
    assert_array_equal(seen_by_model(GREY > 0.5)[0], (GREY > 0.5).astype(np.float32))


def test_colour_is_taken_as_it_is():
    colour = (np.random.default_rng(2).random((64, 64, 3)) * 100 + 50).astype(np.uint8)
    expected = np.moveaxis(colour / np.float32(255), -1, 0)
    assert_allclose(seen_by_model(colour), expected, atol=1e-6)
    assert_allclose(seen_by_model(colour / 255), expected, atol=1e-6)
    alpha = np.zeros((64, 64, 1), np.uint8)
    rgba = np.concatenate([colour, alpha], axis=2)
    assert_allclose(seen_by_model(rgba), expected, atol=1e-6)


def test_channels_are_chosen_in_order():
    stack = np.random.default_rng(3).random((64, 64, 5))
    limits = {"contrast": (0, 1)}
    chosen = seen_by_model(stack, channels=(4, 0, 2), **limits)
    assert_allclose(chosen, np.moveaxis(stack[..., [4, 0, 2]], -1, 0), atol=1e-6)
    one = seen_by_model(stack, channels=np.int64(3), **limits)
    assert_allclose(one, np.stack([stack[..., 3]] * 3), atol=1e-6)
    assert_array_equal(seen_by_model(stack[..., 3:4], **limits), one)
    red, green, blue = seen_by_model(stack[..., :2], **limits)
    assert_allclose(blue, (red + green) / 2, atol=1e-6)
    assert_allclose(green, stack[..., 1], atol=1e-6)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16])
@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_percentiles_of_small_integers_are_those_of_numpy(kind, count):
    limits = np.iinfo(kind)
    values = np.random.default_rng(count).integers(
        limits.min, limits.max, count, dtype=kind, endpoint=True
    )
    asked = (0, 0.1, 33.3, 50, 99.9, 100)
    expected = np.percentile(values.astype(float), asked)
    np.testing.assert_allclose(counted_percentiles(values, asked), expected, rtol=1e-12)


def test_each_channel_has_its_own_percentiles():
    stack = np.stack([GREY * 1000, GREY * 7 - 3], axis=-1)
    red, green, _ = seen_by_model(stack)
    assert_allclose(red, green, atol=1e-5)


def test_contrast_clips():
    found = seen_by_model(GREY * 100, contrast=(20, 60))[0]
    assert_allclose(found, np.clip((GREY * 100 - 20) / 40, 0, 1), atol=1e-6)


@pytest.mark.parametrize(
    "image", [(GREY * 100).astype(np.int64) + 2**40, GREY * 1e-2 + 1e5]
)
def test_offset_beyond_float32_keeps_its_contrast(image):
    assert len(np.unique(seen_by_model(image))) > 50


def test_contrast_beyond_float32():
    image = (GREY * 200).astype(np.uint8)
    assert_array_equal(seen_by_model(image, contrast=(-1e300, 1e300)), 0.5)


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_constant_image_is_black(value):
    assert_array_equal(seen_by_model(np.full((64, 64), value, np.uint16)), 0)


def test_rare_bright_pixels_are_not_lost():
    sparse = np.zeros((64, 64), np.uint16)
    sparse[5, 5], sparse[5, 6] = 900, 450
    assert list(seen_by_model(sparse)[0, 5, 4:7]) == [0, 1, 0.5]


def test_lists_and_fortran_order_and_views_are_images():
    nested = [[0, 1, 2], [3, 4, 5]]
    found = toy_segmenter().predict(nested, [Click(1, 1)])
    assert found.shape == (2, 3)
    flipped = np.asfortranarray(GREY)[::-1, ::2]
    assert_array_equal(seen_by_model(flipped), seen_by_model(flipped.copy()))


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (3, 2000)])
@pytest.mark.parametrize("antialias", [False, True])
def test_tiny_and_thin_images(shape, antialias):
    pixel = shape[0] - 1, shape[1] - 1
    segmenter = toy_segmenter(antialias=antialias)
    found = segmenter.predict(np.zeros(shape), [Click(0, 0), Click(*pixel)])
    assert found.mask.shape == shape
    assert found.mask[0, 0]
    assert found.mask[pixel]
