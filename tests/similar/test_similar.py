"""Find similar: tiles, examples, the map, candidates, and the session's part."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from _blob_model import blob_segmenter, blobs
from _toy import toy_segmenter
from napari_gpcis import Click, Segmenter, Session
from napari_gpcis.checkpoints import InferenceSettings, ModelInfo
from napari_gpcis.errors import InputError
from napari_gpcis.geometry import slices
from napari_gpcis.inference.engine import FrameFeatures
from napari_gpcis.inference.tiled import TiledPlane
from napari_gpcis.model.gpcis import build_model
from napari_gpcis.prompts import read_prompts
from napari_gpcis.similar import Candidate, Examples, resolved
from napari_gpcis.similar.examples import Points, _points, farthest_points
from napari_gpcis.similar.search import _Grid
from napari_gpcis.similar.similarity import (
    COLOUR_LENGTH,
    COLOUR_WEIGHT,
    SimilarityMap,
)
from napari_gpcis.similar.tiles import lay_tiles, nearest_first, tile_at

SHAPE = (170, 200)
CENTRES = [(row, col) for row in (20, 60, 100, 140) for col in (25, 70, 120, 170)]
IMAGE, TRUTH = blobs(SHAPE, CENTRES)


@pytest.fixture
def session():
    """Sixteen disks, of which the sixth is labelled."""
    return Session(blob_segmenter(), IMAGE, labels=np.where(TRUTH == 6, 6, 0))


def label_under(candidate: Candidate, truth: np.ndarray = TRUTH) -> int:
    """The true object that a candidate covers but for its border; else 0."""
    mask = np.zeros(truth.shape, dtype=bool)
    mask[slices(candidate.box)] = candidate.mask
    number = int(np.bincount(truth[mask]).argmax())
    return number if agree(mask, truth == number) else 0


def agree(mask: np.ndarray, other: np.ndarray) -> bool:
    """Whether two masks are the same but for what resampling does to their borders."""
    return (mask & other).sum() > 0.8 * (mask | other).sum()


# -- tiles -------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(30, 40), (200, 90), (1000, 700), (161, 160)])
def test_cores_cover_each_pixel_once(shape):
    tiles = lay_tiles(shape, 20)
    count = np.zeros(shape, int)
    for tile in tiles:
        count[slices(tile.core)] += 1
        for axis in (0, 1):
            low, high = tile.core[axis], tile.core[axis + 2]
            start, stop = tile.frame[axis], tile.frame[axis + 2]
            assert 0 <= start <= low < high <= stop <= shape[axis]
            assert stop - start == min(100, shape[axis])
            # an object at the border of a core has its half and more within the frame
            assert low - start >= 15 or start == low == 0
            assert stop - high >= 15 or stop == high == shape[axis]
    assert (count == 1).all()
    assert tile_at(tiles, Click(shape[0] - 1, 0)).core[2] == shape[0]


def test_tiles_near_the_examples_come_first_and_none_is_lost():
    tiles = lay_tiles((3000, 3000), 40)
    ordered = nearest_first(tiles, [Click(2900, 100)])
    assert ordered[0] == tile_at(tiles, Click(2900, 100))
    assert sorted(ordered) == sorted(tiles)


# -- features ----------------------------------------------------------------------


@pytest.mark.parametrize("network", ["efficientnet_lite0", "mobilenet_v2"])
def test_features_know_no_clicks_and_have_length_one(network):
    torch.manual_seed(0)
    info = ModelInfo("n", network, inference=InferenceSettings(infer_size=64))
    segmenter = Segmenter(build_model(network), info)
    prepared = segmenter.prepare(IMAGE)
    before = segmenter.features(prepared, (0, 0, 90, 100))
    segmenter.step(prepared, (Click(60, 70),), None, (0, 0, 90, 100))
    after = segmenter.features(prepared, (0, 0, 90, 100))
    assert before.colour.shape == (3, 16, 16)
    assert before.deep.shape[1:] == (16, 16)
    assert_array_equal(before.deep, after.deep)
    if network == "mobilenet_v2":  # interpolated keys are shorter between cells
        assert_allclose(np.linalg.norm(before.deep, axis=0), 1, atol=1e-5)
    keys = segmenter.features(prepared, (60, 60, 170, 200)).deep
    assert not np.allclose(keys, before.deep)


def test_a_network_without_features_gives_colours(session):
    found = session.segmenter.features(session.prepared, (0, 0, *SHAPE))
    assert found.deep.shape == (0, 24, 24)
    assert found.colour.shape == (3, 24, 24)


def test_farthest_points_begin_in_the_middle_and_leave_out_equals():
    values = np.array([[0.0], [1], [1], [4], [9]], dtype=np.float32)
    assert farthest_points(values, 3).tolist() == [3, 4, 0]
    assert len(farthest_points(np.ones((5, 2), np.float32), 4)) == 1


# -- the map -----------------------------------------------------------------------


def test_the_map_is_the_closed_form_of_a_gaussian_process():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(7, 8)).astype(np.float32)
    y = np.array([1.0, 1, 1, -1, -1, -1, -1])
    noise = np.full(7, 0.5)
    examples = Examples(Points(x, y, noise), (9,), (60,), (Click(0, 0),), "m")
    cells = rng.normal(size=(8, 2, 3)).astype(np.float32)
    found = SimilarityMap(examples).mean(FrameFeatures(cells[:5], cells[5:]))

    def kernel(a, b):
        deep = ((a[:, None, :5] - b[None, :, :5]) ** 2).sum(-1)
        colour = ((a[:, None, 5:] - b[None, :, 5:]) ** 2).sum(-1) / COLOUR_LENGTH**2
        return np.exp(-deep / 2) + COLOUR_WEIGHT * np.exp(-colour / 2)

    x = x.astype(float)
    flat = cells.reshape(8, 6).T.astype(float)
    weights = np.linalg.solve(kernel(x, x) + np.diag(noise), y)
    assert_allclose(found.ravel(), kernel(flat, x) @ weights, atol=1e-5)


# -- candidates --------------------------------------------------------------------


def test_all_others_are_found_and_nothing_is_written(session):
    before = session.labels.copy()
    found = session.find_similar()
    assert sorted(map(label_under, found)) == [n for n in range(1, 17) if n != 6]
    assert_array_equal(session.labels, before)
    assert session.steps == ()
    confidences = [one.confidence for one in found]
    assert confidences == sorted(confidences, reverse=True)
    with pytest.raises(FrozenInstanceError):
        found[0].confidence = 1.0
    assert not found[0].mask.flags.writeable


@pytest.mark.parametrize("example", [1, 4, 13, 16])
def test_an_even_example_in_a_corner_does_as_well(example):
    labels = np.where(example == TRUTH, 1, 0)
    found = Session(blob_segmenter(), IMAGE, labels=labels).find_similar()
    assert len(found) == 15


def test_few_points_that_differ_stand_for_as_many_observations():
    features = FrameFeatures(np.zeros((0, 4, 4), np.float32), np.ones((3, 4, 4)))
    cells = np.ones((4, 4), dtype=bool)
    made = _points(features, cells, Click(0, 0), (0, 0, 4, 4), 12, (1.0, 1.5))
    assert len(made.features) == 1
    assert_allclose(made.noise, 1.5 / 12)


def test_objects_of_a_tile_share_its_encoding():
    segmenter = blob_segmenter()
    session = Session(segmenter, IMAGE, labels=np.where(TRUTH == 6, 6, 0))
    assert len(session.find_similar()) == 15
    tiles = len(lay_tiles(SHAPE, 17))
    assert segmenter._engine._model.encoded <= tiles + 1 < 15


def test_a_blurred_rim_is_not_clicked_again(monkeypatch):
    rims, _ = blobs(SHAPE, CENTRES, radius=11)
    small, ids = blobs(SHAPE, [(80, 98)], radius=4)  # so a rim is deep enough
    image = np.maximum(np.where(rims > 100, 60, rims), np.maximum(IMAGE, small))
    examples = np.where(TRUTH == 6, 2, ids)
    clicks = counted_clicks(monkeypatch)
    found = Session(blob_segmenter(), image, labels=examples).find_similar()
    assert len({label_under(candidate) for candidate in found} - {0}) == 15
    assert len(clicks) <= 20  # 85 when rims were clicked


def test_what_gives_no_candidate_is_not_clicked_over_and_over(monkeypatch):
    small, ids = blobs(SHAPE, [(80, 98)], radius=3)
    clicks = counted_clicks(monkeypatch)
    session = Session(blob_segmenter(), np.maximum(IMAGE, small), labels=ids)
    assert not session.find_similar()  # all others are too large
    assert 16 <= len(clicks) <= 400  # 1,988 when the same places were tried


def test_an_object_between_two_tiles_is_clicked_once(monkeypatch):
    centres = [(row, col) for row in range(20, 400, 40) for col in range(25, 400, 41)]
    image, ids = blobs((400, 410), centres)
    tiles = lay_tiles(image.shape, 17)
    cut = sum(
        len({tile_at(tiles, Click(row + y, col + x)) for y in (-6, 6) for x in (-6, 6)})
        > 1
        for row, col in centres
    )
    clicks = counted_clicks(monkeypatch)
    session = Session(blob_segmenter(), image, labels=np.where(ids == 6, 6, 0))
    found = session.find_similar()
    assert sorted(label_under(one, ids) for one in found) == sorted(
        set(range(1, len(centres) + 1)) - {6}
    )
    assert cut >= 20
    assert len(clicks) <= len(found) + cut  # 157 when its flanks were clicked


def counted_clicks(monkeypatch) -> list[Click]:
    """First clicks of the steps of all segmenters from now on."""
    clicks = []
    step = Segmenter.step

    def count(self, prepared, clicked, *rest, **options):
        clicks.append(clicked[0])
        return step(self, prepared, clicked, *rest, **options)

    monkeypatch.setattr(Segmenter, "step", count)
    return clicks


def test_objects_of_other_sizes_are_less_confident():
    image, labels = blobs((120, 300), [(60, 40), (60, 100)])
    image[52:69, 150:290] = 200  # bright, and eight times as large
    session = Session(blob_segmenter(), image, labels=np.where(labels == 1, 1, 0))
    (found,) = session.find_similar()
    assert label_under(found, labels) == 2


def test_of_two_candidates_on_one_object_the_better_stays():
    mask = np.ones((4, 4), dtype=bool)

    def candidate(row, confidence):
        return Candidate(
            (row, 0, row + 4, 4),
            mask,
            Click(row, 0),
            (0, 0, 9, 9),
            0.5,
            confidence,
            1,
            1,
        )

    low, high, apart = candidate(0, 0.4), candidate(1, 0.6), candidate(4, 0.5)
    assert resolved([low, high, apart]) == [high, apart]
    assert resolved([low, apart, high], least=0.55) == [high]
    assert resolved([low, apart], rejected=[high]) == [apart]


def test_a_huge_plane_is_read_once():
    image, labels = blobs((1300, 1300), [(50, 50), (50, 120), (1250, 1200)], radius=20)
    reads = np.zeros((1300, 1300), int)

    class Counting:
        shape, dtype = image.shape, image.dtype

        def __getitem__(self, index):
            reads[index] += 1
            return image[index]

    plane = TiledPlane(Counting())
    session = Session(
        blob_segmenter(), plane, contrast=(0, 255), labels=np.where(labels == 1, 1, 0)
    )
    reads[:] = 0  # what sampled the contrast
    found = session.find_similar()
    assert len(found) == 2
    assert reads.max() == 1


def test_a_search_can_be_cancelled(session):
    assert session.find_similar(cancelled=lambda: True) == ()


# -- accepting and rejecting -------------------------------------------------------


def test_accepting_all_is_one_step(session):
    found = session.find_similar()
    ids = session.accept_candidates(found)
    assert ids == tuple(range(7, 22))
    assert agree(session.labels > 0, TRUTH > 0)
    assert set(session.undo_candidates()) == set(found)
    assert_array_equal(session.labels, np.where(TRUTH == 6, 6, 0))
    session.accept_candidates(found)
    assert session.reopen() == 21
    assert session.clicks == ()
    assert_array_equal(session.labels, np.where(TRUTH == 6, 6, 0))


def test_accepting_one_takes_no_pixel_of_others_unless_asked(session):
    first = session.find_similar()[0]
    inside = session.labels[slices(first.box)]
    inside[first.mask & (np.arange(first.mask.shape[0])[:, None] < 4)] = 6
    kept = (session.labels == 6).copy()
    label = session.accept_candidate(first)
    assert label == 7
    assert (session.labels[kept] == 6).all()
    session.undo_candidates()
    assert session.accept_candidate(first, overwrite=True) == 7
    assert (session.labels == 7).sum() == first.area
    assert (session.labels[kept] == 7).any()


def test_saved_prompts_replay_to_the_same_labels(session, tmp_path):
    session.accept_candidates(session.find_similar())
    session.save(tmp_path / "clicks.json")
    again = Session.load(
        tmp_path / "clicks.json",
        blob_segmenter(),
        IMAGE,
        labels=np.where(TRUTH == 6, 6, 0),
    )
    assert (session.labels > 6).any()
    assert_array_equal(again.labels, session.labels)


def test_a_real_network_replays_candidates_as_well(tmp_path):
    torch.manual_seed(0)
    settings = InferenceSettings(infer_size=64, frames="stay", first_frames=3)
    network = build_model("mobilenet_v2")
    segmenter = Segmenter(network, ModelInfo("n", "mobilenet_v2", {}, settings))
    labels = np.where(TRUTH == 6, 6, 0)
    session = Session(segmenter, IMAGE, labels=labels, tidy=None)
    session.threshold = 0.65  # masks of the size of the example
    found = session.find_similar(least=0)
    assert len(found) > 5
    session.accept_candidates(found)
    session.save(tmp_path / "clicks.json")
    again = Session.load(tmp_path / "clicks.json", segmenter, IMAGE, labels=labels)
    assert_array_equal(again.labels, session.labels)


def test_what_was_found_replays_in_its_view_and_older_files_as_they_did(
    session, tmp_path, monkeypatch
):
    session.accept_candidates(session.find_similar()[:2])
    session.save(tmp_path / "clicks.json")
    asked, step = [], Segmenter.step

    def spy(self, *given, exact_view=False):
        asked.append(exact_view)
        return step(self, *given, exact_view=exact_view)

    monkeypatch.setattr(Segmenter, "step", spy)
    segmenter, labels = blob_segmenter(), np.where(TRUTH == 6, 6, 0)
    again = Session.load(tmp_path / "clicks.json", segmenter, IMAGE, labels=labels)
    assert asked == [True, True]
    assert [one.found for one in again.objects] == [True, True]
    data = json.loads((tmp_path / "clicks.json").read_text())
    assert data["version"] == 4
    data["version"] = 3
    for one in data["objects"]:
        assert one.pop("found")
    (tmp_path / "older.json").write_text(json.dumps(data))
    Session.load(tmp_path / "older.json", segmenter, IMAGE, labels=labels)
    assert asked[2:] == [False, False]


def test_rejections_and_classes_are_saved(session, tmp_path):
    found = session.find_similar()
    session.accept_candidates(found[4:6])
    session.reject_candidate(*found[:2])
    session.classify([7], "cell", "#00ff00")
    with pytest.raises(InputError, match="got 99"):
        session.classify([99], "cell")
    session.save(tmp_path / "clicks.json")
    labels = np.where(TRUTH == 6, 6, 0)
    again = Session.load(
        tmp_path / "clicks.json", blob_segmenter(), IMAGE, labels=labels
    )
    for one, other in zip(again.rejected, found, strict=False):
        assert (one.box, one.click) == (other.box, other.click)
        assert_array_equal(one.mask, other.mask)
    assert len(again.rejected) == 2
    assert not {one.click for one in again.find_similar(least=0)} & {
        one.click for one in found[:2]
    }
    assert again.classes.of(7) == ("cell", "#00ff00")
    assert again.classes.of(8).name == "object"
    saved = read_prompts(tmp_path / "clicks.json")
    assert (saved.classes, len(saved.planes[0].rejected)) == (again.classes, 2)


def test_what_was_rejected_does_not_return_until_that_is_taken_back(session):
    found = session.find_similar()
    before = len(session.examples().points.targets)
    session.reject_candidate(*found[:2])
    rejected = session.examples().points
    assert len(rejected.targets) > before
    assert (rejected.targets[before:] == -1).all()
    clicks = {one.click for one in session.find_similar(least=0)}
    assert not clicks & {one.click for one in found[:2]}
    assert session.undo_candidates() == found[:2]
    assert len(session.find_similar()) == 15


def test_candidates_are_taken_back_in_their_turn(session):
    first, second, *_ = session.find_similar()
    session.accept_candidate(first)
    session.delete(6)
    with pytest.raises(InputError, match="after them"):
        session.undo_candidates()
    session.withdraw()
    assert session.undo_candidates() == (first,)
    with pytest.raises(InputError, match="no candidate"):
        session.undo_candidates()
    session.accept_candidate(second)
    with pytest.raises(InputError, match="adds no pixel"):
        session.accept_candidate(second)
    assert len(session.steps) == 1


def test_examples_of_one_image_find_objects_in_another(session):
    image, labels = blobs((100, 120), [(30, 30), (70, 90)])
    other = Session(blob_segmenter(), image)
    found = other.find_similar(examples=session.examples([6]))
    assert other.accept_candidates(found) == (1, 2)
    assert agree(other.labels > 0, labels > 0)
    joined = session.examples().joined(other.examples([1]))
    assert joined.areas == (197, int((other.labels == 1).sum()))
    assert len(joined.points.targets) == len(joined.points.noise)


# -- mistakes ----------------------------------------------------------------------


def test_mistakes_are_told(session):
    with pytest.raises(InputError, match="there is none"):
        Session(blob_segmenter(), IMAGE).find_similar()
    with pytest.raises(InputError, match="got 9"):
        session.find_similar([6, 9])
    with pytest.raises(InputError, match="least"):
        session.find_similar(least=2)
    with pytest.raises(InputError, match="both"):
        session.find_similar([6], examples=session.examples())
    toy = Session(toy_segmenter(), IMAGE)
    with pytest.raises(InputError, match="of the model 'toy'"):
        toy.find_similar(examples=session.examples())
    small = Session(blob_segmenter(), IMAGE[:50, :50])
    last = max(session.find_similar(), key=lambda one: one.box)
    with pytest.raises(InputError, match="candidate must"):
        small.accept_candidate(last)
    with pytest.raises(InputError, match="label must"):
        session.accept_candidate(last, label=0)
    assert session.steps == ()


def test_cells_about_a_candidate_are_near_it_and_no_others():
    grid = _Grid((0, 0, 64, 64), np.zeros((32, 32), np.float32))
    mask = np.ones((20, 20), dtype=bool)
    for top, left in ((22, 22), (0, 40)):
        about = grid.about((top, left, top + 20, left + 20), mask)
        rows, cols = np.nonzero(about)
        reach = 0.25 * np.sqrt(400 / np.pi)
        assert rows.min() == max(0, top - int(reach))
        assert (rows.max(), cols.min()) == (top + 19 + int(reach), left - int(reach))
        assert not about[-1].any()
        assert not about[:, 0].any()
