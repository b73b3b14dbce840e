"""Frames that stay: one encoding for many clicks, closer ones for a first click."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from _toy import ToyModel, toy_info
from napari_gpcis import Click, Segmenter, Session
from napari_gpcis.checkpoints import InferenceSettings
from napari_gpcis.errors import InputError
from napari_gpcis.inference.prediction import GridMaps, NetworkInput, Prediction
from napari_gpcis.inference.region import (
    closer_frames,
    frame_around,
    network_size,
    reaches_beyond,
    region,
)
from napari_gpcis.inference.segmenter import Request

STAY = InferenceSettings(infer_size=64, frames="stay", expansion=2.0)
SHAPE = (200, 300)


class RatedToy(ToyModel):
    """A toy whose answers come with an expected IoU, and that counts encodings."""

    def __init__(self, rate) -> None:
        super().__init__()
        self.rate = rate
        self.answers = 0

    def features(self, encoded, points, previous):
        self.answers += 1
        return previous

    def click_posterior(self, encoded, raw):
        return _Posterior(self, encoded, raw)


class _Posterior:
    def __init__(self, model, encoded, previous) -> None:
        self._arguments = model, encoded, previous

    def scores(self, points, variance=False):
        model, encoded, previous = self._arguments
        return model.predict(encoded, points, previous, variance)

    def quality(self, scores):
        model, encoded, _ = self._arguments
        return torch.tensor([model.rate(encoded)]).logit()


def rated(rate=lambda _: 0.9, **settings):
    options = {"infer_size": 64, "frames": "stay", "expansion": 2.0, "gp_stride": 1}
    model = RatedToy(rate)
    return Segmenter(model, toy_info(**{**options, **settings})), model


def prediction(roi, mask_box, clicks=(), seen=True):
    """A prediction on a box whose mask is another box."""
    grid = np.zeros((roi[2] - roi[0], roi[3] - roi[1]), dtype=np.float32)
    top, left, bottom, right = mask_box
    grid[top - roi[0] : bottom - roi[0], left - roi[1] : right - roi[1]] = 1
    maps = GridMaps(grid, grid.copy(), grid.copy(), grid.copy())
    network_input = NetworkInput(roi) if seen else None
    return Prediction(SHAPE, roi, clicks, 0.5, maps, True, network_input)


# -- places ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mask", "stays"),
    [
        ((60, 110, 100, 150), True),
        ((60, 110, 84, 134), False),  # 24 of 100 pixels
        ((60, 110, 86, 120), True),  # its longer side counts
        ((40, 110, 100, 150), False),  # at the border: may go on beyond
        ((60, 110, 140, 150), False),
    ],
)
def test_a_frame_stays_while_the_object_suits_it(mask, stays):
    frame = (40, 100, 140, 200)
    click = Click((mask[0] + mask[2]) // 2, (mask[1] + mask[3]) // 2)
    found = region(SHAPE, (click,), prediction(frame, mask), None, STAY)
    assert (found == frame) == stays
    if not stays:
        assert found == frame_around(mask, SHAPE, 2.0)


def test_a_click_outside_moves_the_frame():
    frame, mask = (40, 100, 140, 200), (60, 110, 100, 150)
    clicks = (Click(80, 130), Click(150, 130))
    found = region(SHAPE, clicks, prediction(frame, mask), None, STAY)
    assert found == frame_around((60, 110, 151, 150), SHAPE, 2.0)
    negative = (Click(80, 130), Click(150, 130, False))
    assert region(SHAPE, negative, prediction(frame, mask), None, STAY) == frame


def test_a_frame_at_the_border_of_the_image_may_be_filled_there():
    frame, mask = (0, 0, 100, 100), (0, 0, 60, 60)
    assert region(SHAPE, (Click(9, 9),), prediction(frame, mask), None, STAY) == frame


def test_a_start_mask_has_no_frame_yet():
    box = (60, 110, 100, 150)
    found = region(
        SHAPE, (Click(70, 120),), prediction(box, box, seen=False), None, STAY
    )
    assert found == (40, 90, 120, 170)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((60, 110, 100, 130), (40, 80, 120, 160)),
        ((0, 0, 10, 10), (0, 0, 32, 32)),
        ((190, 280, 200, 300), (160, 260, 200, 300)),
        ((0, 0, 200, 300), (0, 0, 200, 300)),
        ((20, 10, 140, 30), (0, 0, 200, 240)),
    ],
)
def test_frames_are_squares_within_the_image(box, expected):
    assert frame_around(box, SHAPE, 2.0) == expected


def test_masks_at_the_border_of_the_frame_may_go_on():
    frame = (0, 100, 64, 164)
    assert not reaches_beyond((0, 110, 40, 150), frame, SHAPE)
    assert reaches_beyond((10, 100, 40, 150), frame, SHAPE)
    assert reaches_beyond((10, 110, 64, 150), frame, SHAPE)
    assert not reaches_beyond((180, 280, 200, 300), (136, 236, 200, 300), SHAPE)


def test_closer_frames_hold_the_click_and_are_shared_by_neighbours():
    settings = InferenceSettings(infer_size=64, frames="stay", first_frames=3)
    whole = (0, 0, 200, 300)
    rng = np.random.default_rng(0)
    seen = set()
    for row, col in zip(
        rng.integers(0, 200, 50), rng.integers(0, 300, 50), strict=True
    ):
        frames = closer_frames(SHAPE, Click(row, col), whole, settings)
        assert [f[2] - f[0] for f in frames] == [64, 32]
        for top, left, bottom, right in frames:
            assert top <= row < bottom
            assert left <= col < right
        seen.add(frames[0])
    assert len(seen) < 45
    near = closer_frames(SHAPE, Click(9, 9), (0, 0, 60, 60), settings)
    assert near == [(0, 0, 32, 32)], "64 pixels are not much closer than 60"
    assert closer_frames(SHAPE, Click(9, 9), (0, 0, 40, 40), settings) == []
    assert closer_frames(SHAPE, Click(9, 9), whole, STAY) == []


# -- encodings -------------------------------------------------------------------------


def test_eight_clicks_on_one_object_make_two_encodings_and_undo_none():
    segmenter, model = rated()
    session = Session(segmenter, np.full((300, 300), 128, np.uint8))
    centre = Click(150, 150)
    places = [(150, 150), (160, 140), (140, 165), (170, 170), (135, 140), (150, 170)]
    session.add_click(centre.row, centre.col)
    for row, col in places[1:]:
        session.add_click(row, col)
    session.add_click(150, 200, False)
    session.add_click(100, 150, False)
    assert len(session.clicks) == 8
    assert len(model.encoded) <= 2
    before = len(model.encoded)
    while session.clicks:
        session.undo()
    for _ in range(8):
        session.redo()
    assert len(model.encoded) == before


def test_many_clicks_on_a_large_frame_are_seen_finer():
    settings = replace(STAY, fine_size=96, fine_clicks=4)
    clicks = tuple(Click(30, col) for col in range(6))
    large, exact = (0, 0, 40, 65), (0, 0, 64, 64)
    sizes = [network_size(large, clicks[:k], settings) for k in range(1, 7)]
    assert sizes == [64, 64, 64, 96, 96, 96]
    assert network_size(exact, clicks, settings) == 64, "there is nothing finer"
    assert network_size(large, clicks, STAY) == 64
    assert network_size(large, clicks, replace(settings, frames="zoom")) == 64
    for wrong in ({"fine_size": 63}, {"fine_size": -1}, {"fine_clicks": 1}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            replace(settings, **wrong)


def test_fine_inputs_are_encoded_ahead_of_the_click_that_sees_them():
    segmenter, model = rated(fine_size=96, fine_clicks=3)
    session = Session(segmenter, np.full((300, 300), 128, np.uint8))
    ahead = []
    for col in (150, 160, 170, 180):
        before = len(model.encoded)
        session.add_click(150, col)
        sizes = [one.shape[-1] for one in model.encoded[before:]]
        assert 96 not in sizes
        ahead.append(segmenter.encode_finer(session.prepared, session.prediction))
        assert [one.shape[-1] for one in model.encoded].count(96) == any(ahead)
    assert ahead == [False, True, False, False]
    coarse, _ = rated()
    session = Session(coarse, np.full((300, 300), 128, np.uint8))
    session.add_click(150, 150)
    assert not coarse.encode_finer(session.prepared, session.prediction)


def test_fine_inputs_have_an_encoding_of_their_own_and_obey_their_clicks():
    segmenter, model = rated(fine_size=96, fine_clicks=3)
    session = Session(segmenter, np.full((300, 300), 128, np.uint8))
    for col in (150, 160, 170, 180):
        session.add_click(150, col)
        shape = session.prediction.maps.probability.shape
        assert shape == ((64, 64) if len(session.clicks) < 3 else (96, 96))
        assert session.prediction.mask[150, col]
    encoded = len(model.encoded)
    assert [one.shape[-1] for one in model.encoded].count(96) == 1
    found = session.prediction
    again = segmenter._engine.recondition(
        session.prepared, found.seen, session.clicks, None
    )
    assert_array_equal(again.maps.probability, found.maps.probability)
    segmenter._engine._posteriors = type(segmenter._engine._posteriors)(4)
    again = segmenter._engine.recondition(
        session.prepared, found.seen, session.clicks, None
    )
    assert_array_equal(again.maps.probability, found.maps.probability)
    session.undo()
    session.undo()
    assert session.prediction.maps.probability.shape == (64, 64)
    session.redo()
    assert session.prediction.maps.probability.shape == (96, 96)
    assert len(model.encoded) == encoded


def test_a_view_encoded_ahead_is_not_encoded_again():
    segmenter, model = rated()
    prepared = segmenter.prepare(np.full(SHAPE, 128, np.uint8))
    view = (20, 30, 180, 250)
    segmenter.encode(prepared, view)
    segmenter.encode(prepared, view)
    assert len(model.encoded) == 1
    segmenter.run(Request(prepared, (Click(100, 100),), view=view))
    assert len(model.encoded) == 1
    with pytest.raises(InputError):
        segmenter.encode(prepared, (500, 500, 600, 600))


def test_the_preview_is_the_click():
    segmenter, _ = rated()
    prepared = segmenter.prepare(np.full(SHAPE, 128, np.uint8))
    earlier = (Click(100, 120), Click(100, 150, False))
    found = segmenter.run(Request(prepared, earlier))[-1]
    extra = Click(110, 125)
    ahead = segmenter.preview(prepared, extra, found)
    then = segmenter.step(prepared, (*earlier, extra), found)
    assert ahead.roi == then.roi
    assert_array_equal(ahead.mask, then.mask)
    first = segmenter.preview(prepared, extra)
    assert_array_equal(first.mask, segmenter.step(prepared, (extra,)).mask)


def sides(boxes):
    return [box[2] - box[0] for box in boxes]


def test_a_likely_size_fills_a_quarter_of_the_first_closer_frame():
    shape, click, whole = (400, 400), Click(200, 200), (0, 0, 400, 400)
    for count, expected in ((1, []), (2, [160]), (3, [160, 64])):
        settings = replace(STAY, first_frames=count)
        found = closer_frames(shape, click, whole, settings, typical_size=40)
        assert sides(found) == expected
    settings = replace(STAY, first_frames=3)
    assert sides(closer_frames(shape, click, whole, settings, 4)) == [32, 64]
    assert sides(closer_frames(shape, click, whole, settings, 65)) == [260, 64]
    assert sides(closer_frames(shape, click, whole, settings, 75)) == [64]  # no closer
    assert sides(closer_frames(shape, click, whole, settings)) == [64, 32]


def test_a_first_click_tries_the_frame_of_a_likely_size():
    segmenter, _ = rated(lambda _: 0.2, first_frames=2)
    prepared = segmenter.prepare(np.full((400, 400), 128, np.uint8))
    tried = []
    encode = segmenter._engine.infer

    def note(prepared, roi, *others):
        tried.append(roi)
        return encode(prepared, roi, *others)

    segmenter._engine.infer = note
    segmenter.step(prepared, (Click(200, 200),), typical_size=50.0)
    assert sides(tried) == [400, 200]
    tried.clear()
    request = Request(prepared, (Click(200, 200),), typical_size=70.0)
    segmenter.run(request)
    assert sides(tried) == [400, 280]
    tried.clear()
    segmenter.preview(prepared, Click(200, 200), typical_size=60.0)
    assert sides(tried) == [400, 240]


# -- first clicks ----------------------------------------------------------------------


def small_scene():
    """Dark, with a bright square of 12 pixels."""
    image = np.zeros((400, 400), dtype=np.uint8)
    image[194:206, 194:206] = 255
    return image


def test_the_frame_with_the_best_expected_iou_is_taken():
    def rate(encoded):  # the closer, the brighter
        return float(0.1 + 0.8 * encoded.mean())

    segmenter, model = rated(rate, first_frames=3)
    prepared = segmenter.prepare(small_scene(), contrast=(0, 255))
    found = segmenter.step(prepared, (Click(200, 200),))
    assert len(model.encoded) == 3
    assert found.roi[2] - found.roi[0] == 32
    assert found.quality == pytest.approx(rate(model.encoded[-1]), abs=1e-6)
    plain, other = rated(rate, first_frames=1)
    whole = plain.step(
        plain.prepare(small_scene(), contrast=(0, 255)), (Click(200, 200),)
    )
    assert whole.roi == (0, 0, 400, 400)
    assert len(other.encoded) == 1


def test_a_good_answer_in_the_view_is_taken_at_once():
    segmenter, model = rated(lambda _: 0.95, first_frames=3, least_fill=0.2)
    prepared = segmenter.prepare(np.full((100, 100), 128, np.uint8))
    found = segmenter.step(prepared, (Click(50, 50),))
    assert len(model.encoded) == 1
    assert found.roi == (0, 0, 100, 100)


@pytest.mark.parametrize(("quality", "tried"), [(0.81, 3), (0.83, 1)])
def test_what_could_hardly_be_clearly_better_is_not_tried(quality, tried):
    """The object may be small in the view: it is its expected IoU that counts."""
    segmenter, model = rated(lambda _: quality, first_frames=3, least_fill=0.9)
    segmenter.step(segmenter.prepare(small_scene()), (Click(200, 200),))
    assert len(model.encoded) == tried


@pytest.mark.parametrize(
    ("seen", "mask", "size", "closer"),
    [
        ((0, 0, 200, 300), (0, 0, 200, 290), 64, True),  # all of a view far away
        ((0, 0, 200, 300), (20, 20, 180, 240), 64, False),  # a large object in it
        ((0, 0, 200, 300), (0, 0, 200, 290), 128, False),  # the view is near
        ((0, 50, 200, 300), (0, 50, 200, 300), 64, False),  # so is this one
        ((10, 10, 190, 280), (10, 10, 190, 280), 64, True),  # goes on beyond the view
    ],
)
def test_an_answer_that_takes_all_of_a_view_far_away_gives_way(
    seen, mask, size, closer, monkeypatch
):
    """What was clicked is too small to be seen there, and all else is one to it."""
    segmenter, _ = rated(first_frames=2, infer_size=size)

    def infer(_prepared, roi, clicks, _previous):
        if roi == seen:
            return replace(prediction(roi, mask, clicks), quality=0.5)
        small = (95, 145, 105, 155)
        return replace(prediction(roi, small, clicks), quality=0.53)

    monkeypatch.setattr(segmenter, "_infer", infer)
    prepared = segmenter.prepare(np.zeros(SHAPE, np.uint8))
    found = segmenter.step(prepared, (Click(100, 150),), view=seen)
    assert (found.roi != seen) == closer


def test_frames_of_a_first_click_are_those_that_it_tries():
    segmenter, model = rated(lambda _: 0.2, first_frames=3)
    prepared = segmenter.prepare(np.full((400, 400), 128, np.uint8))
    click, view = Click(200, 200), (0, 0, 300, 400)
    for frame in segmenter.first_frames(prepared.shape, click, view, 50.0):
        segmenter.encode(prepared, frame)
    assert len(model.encoded) == 3
    ahead = segmenter.step(prepared, (click,), view=view, typical_size=50.0)
    assert len(model.encoded) == 3
    other, _ = rated(lambda _: 0.2, first_frames=3)
    then = other.step(
        other.prepare(np.full((400, 400), 128, np.uint8)),
        (click,),
        view=view,
        typical_size=50.0,
    )
    assert_array_equal(ahead.maps.probability, then.maps.probability)
    zooming = Segmenter(ToyModel(), toy_info())
    assert zooming.first_frames((400, 400), click, view) == [view]
    with pytest.raises(InputError, match="inside the image"):
        segmenter.first_frames((400, 400), Click(500, 3))


def test_later_clicks_and_start_masks_try_no_other_frame():
    segmenter, model = rated(lambda _: 0.2, first_frames=3)
    session = Session(segmenter, np.full((400, 400), 128, np.uint8))
    mask = np.zeros((400, 400), dtype=bool)
    mask[150:250, 150:250] = True
    session.start_from(mask)
    session.add_click(160, 160)
    assert len(model.encoded) == 1


def test_models_that_predict_no_iou_use_the_view():
    segmenter = Segmenter(ToyModel(), toy_info(frames="stay", first_frames=3))
    found = segmenter.step(segmenter.prepare(small_scene()), (Click(200, 200),))
    assert found.quality is None
    assert found.roi == (0, 0, 400, 400)


def test_temperature_changes_probabilities_and_no_mask():
    plain, _ = rated()
    warm, _ = rated(temperature=2.0)
    image = np.full((100, 100), 128, np.uint8)
    first = plain.step(plain.prepare(image), (Click(50, 50),))
    second = warm.step(warm.prepare(image), (Click(50, 50),))
    assert_array_equal(first.mask, second.mask)
    spread = np.abs(second.maps.probability - 0.5)
    assert (spread <= np.abs(first.maps.probability - 0.5) + 1e-6).all()
    assert second.maps.probability.max() < first.maps.probability.max()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frames": "move"}, "frames must be zoom or stay, got 'move'"),
        ({"least_fill": 1.0}, "least_fill must be from 0 and below 1, got 1"),
        ({"first_frames": 4}, "first_frames must be 1, 2 or 3, got 4"),
        ({"temperature": 0.0}, "temperature must be a number above 0, got 0"),
        (
            {"temperature": float("nan")},
            "temperature must be a number above 0, got nan",
        ),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        InferenceSettings(**settings)
