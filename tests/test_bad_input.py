"""Bad input: each gets an error that names the argument and what is accepted."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
import torch

from _fake_segmenter import FakeSegmenter
from _toy import toy_segmenter
from napari_gpcis import Click, Segmenter, Session
from napari_gpcis.checkpoints import ModelInfo, save_checkpoint
from napari_gpcis.errors import (
    CheckpointError,
    GPCISError,
    InputError,
    UnknownModelError,
)
from napari_gpcis.export import Calibration, coco, object_table
from napari_gpcis.inference import image as normalise
from napari_gpcis.model.gpcis import build_model
from napari_gpcis.outlines import geojson
from napari_gpcis.similar import Candidate

IMAGE = np.random.default_rng(0).random((20, 30))


def with_value(value, dtype=float, row=3):
    image = IMAGE.astype(dtype)
    image[row, 4] = value
    return image


BAD_IMAGES = {
    "empty": (np.zeros((0, 10)), r"image must have at least one pixel.*\(0, 10\)"),
    "no channel": (np.zeros((9, 9, 0)), r"at least one pixel.*\(9, 9, 0\)"),
    "NaN": (IMAGE * np.nan, "all values in it are NaN or infinite"),
    "infinite": (np.full((9, 9), -np.inf, "f4"), "finite values.*nan_to_num"),
    "number": (3.0, r"image must have shape \(H, W\) or \(H, W, C\), got shape \(\)"),
    "1-D": (np.zeros(50), r"image must have shape.*got shape \(50,\)"),
    "4-D": (np.zeros((2, 9, 9, 3)), r"image must have shape.*\(2, 9, 9, 3\)"),
    "complex": (IMAGE * 1j, "image must have a boolean, integer or real.*complex128"),
    "object": (IMAGE.astype(object), "image must have a boolean.*object"),
    "text": (np.full((4, 4), "a"), "image must have a boolean.*U1"),
    "dates": (np.zeros((4, 4), "M8[s]"), "image must have a boolean.*datetime64"),
    "five channels": (np.zeros((9, 9, 5)), "channels must name up to three of the 5"),
    "channels first": (np.zeros((3, 40, 50)), "channels come last"),
    "four floats": (np.zeros((9, 9, 4)), "channels must name up to three of the 4"),
    "range": (np.array([[-1e308, 1e308]] * 9), "image must have a finite range"),
}


def predict_once(segmenter, image):
    return segmenter.predict(image, [Click(1, 1)])


@pytest.mark.parametrize("kind", BAD_IMAGES)
@pytest.mark.parametrize("use", [Segmenter.prepare, Session, predict_once])
def test_bad_image(kind, use):
    image, message = BAD_IMAGES[kind]
    with pytest.raises(InputError, match=message):
        use(toy_segmenter(), image)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "longdouble"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_pixels_without_a_value_are_worked_around(value, dtype):
    image = with_value(1, dtype)
    image[:, 20:] = value
    prepared = toy_segmenter().prepare(image)
    assert prepared.limits == toy_segmenter().prepare(image[:, :20]).limits
    read = prepared.read(slice(None), slice(None))
    assert np.all(read[:, :, 20:] == (value == np.inf))
    session = Session(toy_segmenter(), image)
    session.add_click(10, 10)
    session.add_click(10, 25, positive=False)
    assert session.prediction.mask[10, 10]


def test_values_that_a_sample_has_missed(monkeypatch):
    monkeypatch.setattr(normalise, "SAMPLE_PIXELS", 100)
    image = np.full((20, 30), np.nan)
    image[1, 1:3] = 4, 6  # every third row and column is sampled
    low, high = toy_segmenter().prepare(image).limits[0]
    assert 4 <= low < high <= 6


def test_a_channel_without_values_is_black():
    stack = np.stack([IMAGE, IMAGE * np.nan, IMAGE], axis=-1) * 9
    prepared = toy_segmenter().prepare(stack)
    assert not prepared.read(slice(None), slice(None))[1].any()


def test_nan_in_a_channel_that_is_not_used_does_no_harm():
    stack = np.stack([IMAGE, IMAGE * np.nan], axis=-1)
    found = toy_segmenter().predict(stack, [Click(5, 5)], channels=0)
    assert found.mask[5, 5]


@pytest.mark.parametrize(
    "channels", [(), (0, 1, 2, 3), (5,), (-1,), 1.5, (0, None), "01"]
)
def test_bad_channels(channels):
    with pytest.raises(InputError, match=r"^channels must be"):
        toy_segmenter().prepare(np.zeros((9, 9, 5)), channels=channels)


def test_channels_of_a_grey_image():
    with pytest.raises(InputError, match="indices from 0 to 0, got 1"):
        toy_segmenter().prepare(IMAGE, channels=1)


@pytest.mark.parametrize(
    "contrast", [(1, 1), (2, 1), (0, np.nan), (0, np.inf), (1,), 5, "ab", (0, 1, 2)]
)
def test_bad_contrast(contrast):
    with pytest.raises(InputError, match=r"^contrast must be"):
        Session(toy_segmenter(), IMAGE, contrast=contrast)


@pytest.mark.parametrize(
    ("row", "col"), [(-0.6, 3), (19.5, 3), (3, -1), (3, 29.6), (1e30, 3)]
)
def test_click_outside_the_image(row, col):
    message = r"click must lie inside the image of shape \(20, 30\).*got row"
    session = Session(toy_segmenter(), IMAGE)
    with pytest.raises(InputError, match=message):
        session.add_click(row, col)
    assert session.clicks == ()
    with pytest.raises(InputError, match=message):
        toy_segmenter().predict(IMAGE, [Click(row, col)])


@pytest.mark.parametrize("row", [np.nan, np.inf, None, "three"])
def test_click_that_is_no_position(row):
    session = Session(toy_segmenter(), IMAGE)
    with pytest.raises(InputError, match="row of a click must be a finite number"):
        session.add_click(row, 3)
    assert session.clicks == ()


def test_no_clicks():
    with pytest.raises(InputError, match="clicks must hold at least one click"):
        toy_segmenter().predict(IMAGE, [])
    segmenter = toy_segmenter()
    with pytest.raises(InputError, match="clicks must hold at least one click"):
        segmenter.step(segmenter.prepare(IMAGE), [])


def test_clicks_that_are_no_clicks():
    with pytest.raises(InputError, match=r"clicks must be Click objects, got tuple"):
        toy_segmenter().predict(IMAGE, [(3, 4)])


@pytest.mark.parametrize("view", [(0, 0, 0, 0), (50, 50, 60, 60), (1, 2, 3), "view"])
def test_bad_view(view):
    session = Session(toy_segmenter(), IMAGE)
    with pytest.raises(InputError, match=r"^view must"):
        session.view = view
    with pytest.raises(InputError, match=r"^view must"):
        toy_segmenter().predict(IMAGE, [Click(1, 1)], view=view)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((30, 20), int), r"shape \(20, 30\) of the image.*\(30, 20\)"),
        (np.zeros((2, 20, 30), int), r"labels must have the shape.*\(2, 20, 30\)"),
        (np.zeros((20, 30)), "labels must be integers, got dtype float64"),
        (np.full((20, 30), 2**40), "labels must fit int32"),
        (np.full((20, 30), 2**32 - 1, np.uint32), "labels must fit int32"),
    ],
)
def test_bad_labels(labels, message):
    with pytest.raises(InputError, match=message):
        Session(toy_segmenter(), IMAGE, labels=labels)


def test_unknown_model():
    with pytest.raises(UnknownModelError, match="gpcis-nothing"):
        Segmenter.from_pretrained("gpcis-nothing")


class Evil:
    def __reduce__(self):
        return print, ("code from a checkpoint was executed",)


def test_pickle_named_safetensors(tmp_path, capsys):
    path = tmp_path / "evil.safetensors"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CheckpointError, match=re.escape(str(path))):
        Segmenter.from_pretrained(path)
    assert capsys.readouterr().out == ""


def test_truncated_checkpoint(tmp_path):
    whole, path = tmp_path / "whole.safetensors", tmp_path / "part.safetensors"
    torch.manual_seed(0)
    save_checkpoint(whole, build_model("mobilenet_v2"), ModelInfo("m", "mobilenet_v2"))
    path.write_bytes(whole.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=re.escape(str(path))):
        Segmenter.from_pretrained(path)
    path.write_bytes(whole.read_bytes()[:5])
    with pytest.raises(CheckpointError, match=re.escape(str(path))):
        Segmenter.from_pretrained(path)


def test_missing_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.safetensors"):
        Segmenter.from_pretrained(tmp_path / "none.safetensors")


def test_errors_are_also_what_python_would_raise():
    assert issubclass(InputError, ValueError)
    assert issubclass(InputError, GPCISError)
    assert str(UnknownModelError("no 'x'")) == "no 'x'"


# One for several, and other types -----------------------------------------------------


def session_with_objects() -> Session:
    """Return a session with the objects 1 and 2."""
    labels = np.zeros((40, 40), int)
    labels[5:15, 5:15], labels[20:30, 20:30] = 1, 2
    return Session(FakeSegmenter(), np.zeros((40, 40), np.uint8), labels=labels)


def candidate(row: int, col: int) -> Candidate:
    mask = np.ones((4, 4), bool)
    box = (row, col, row + 4, col + 4)
    return Candidate(box, mask, Click(row + 1, col + 1), box, 0.5, 0.9, 0.9, 1.0)


def test_one_counts_for_several() -> None:
    session, found = session_with_objects(), [candidate(32, 4), candidate(32, 14)]
    session.classify(2, "nucleus")
    assert session.classes.numbers == {2: 1}
    session.classify(np.array([1, 2]), "nucleus")
    assert session.classes.numbers == {1: 1, 2: 1}
    assert session.accept_candidates(found[0]) == (3,)
    session.reject_candidate(found)
    assert session.rejected == tuple(found)
    session.reject_candidate(found[0], found[1])
    assert len(session.rejected) == 4
    session.replace_clicks(Click(35, 30))
    assert session.clicks == (Click(35, 30),)
    one = toy_segmenter().predict(IMAGE, Click(5, 5))
    several = toy_segmenter().predict(IMAGE, [Click(5, 5)])
    np.testing.assert_array_equal(one.mask, several.mask)


WRONG = {
    "classify": (
        lambda s: s.classify(None, "a"),
        "labels must be ids of obj.*None",
    ),
    "colour": (lambda s: s.classify([1], "a", 5), "a colour must be like.*got 5"),
    "similar": (lambda s: s.find_similar("a"), "examples must be ids of obj.*'a'"),
    "float": (lambda s: s.find_similar([1.5]), "ids of objects, got float: 1.5"),
    "unknown": (lambda s: s.find_similar(7), "ids of objects in the labels: got 7"),
    "examples": (lambda s: s.find_similar(examples=3), "examples must be.*got int: 3"),
    "accept": (lambda s: s.accept_candidates([1]), "candidates must be.*got int: 1"),
    "accept one": (lambda s: s.accept_candidate(1), "candidates must be.*int: 1"),
    "reject": (lambda s: s.reject_candidate([1]), "candidates must be.*got int: 1"),
    "clicks": (lambda s: s.replace_clicks(3), "clicks must be Click.*got int: 3"),
    "table": (lambda s: object_table(s.labels, classes=5), "classes must be a Cl.*5"),
    "counts": (lambda s: object_table(s.labels, clicks=5), "clicks must be a map.*5"),
    "pixel": (lambda s: object_table(s.labels, calibration=2), "a Calibration, got"),
    "coco": (lambda s: coco(s.labels, "x.tif", classes=5), "classes must be a Clas.*5"),
    "outlines": (lambda s: geojson(s.labels, classes=5), "classes must be a Class.*5"),
    "axes": (lambda _: Calibration.of("a"), "ndim must be a whole number, got str"),
    "scale": (lambda _: Calibration.of(2, "a"), "scale must be a number for each axis"),
}


@pytest.mark.parametrize("case", WRONG)
def test_arguments_of_other_types_are_named(case: str) -> None:
    wrong, words = WRONG[case]
    with pytest.raises(InputError, match=words):
        wrong(session_with_objects())
