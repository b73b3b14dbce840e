"""Sessions: objects that begin with a mask; adding, cutting, replacing, deleting."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from _toy import ToyModel, toy_info
from napari_gpcis import Click, Segmenter, Session
from napari_gpcis.errors import InputError
from napari_gpcis.geometry import mask_of_runs, run_lengths
from napari_gpcis.inference.start_mask import inner_click, make_start_mask

SHAPE = (60, 80)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)


@pytest.fixture
def cells() -> np.ndarray:
    """Two objects that another program found."""
    labels = np.zeros(SHAPE, dtype=np.uint16)
    labels[10:30, 10:35] = 7
    labels[40:55, 50:75] = 9
    return labels


@pytest.fixture
def model() -> ToyModel:
    return ToyModel()


@pytest.fixture
def session(model, image, cells) -> Session:
    return Session(Segmenter(model, toy_info()), image, labels=cells)


def reloaded(session, image, cells, tmp_path) -> Session:
    session.save(tmp_path / "prompts.json")
    return Session.load(
        tmp_path / "prompts.json", session.segmenter, image, labels=cells
    )


# -- refining ----------------------------------------------------------------------


def test_refining_begins_with_the_object_as_it_is(session, model, cells):
    found = session.refine(7)
    assert_array_equal(found.mask, cells == 7)
    assert_array_equal(session.labels, cells)
    assert len(session.clicks) == 1
    assert session.clicks[0].positive
    assert cells[session.clicks[0].pixel] == 7
    assert model.points == []
    assert session.request() is None


def test_the_network_sees_the_mask_before_the_first_click(session, model):
    session.refine(7)
    session.add_click(20, 40)
    assert len(model.points) == 1
    assert int((model.points[0][0, :, 2] >= 0).sum()) == 2
    previous = model.previous[0][0, 0].numpy()
    # the crop is 1.4 times the box of rows 10 to 29, columns 10 to 40
    rows = np.linspace(6, 34, 64, endpoint=False)
    cols = np.linspace(4, 47, 64, endpoint=False)
    inside = ((rows > 11) & (rows < 28))[:, None] & ((cols > 11) & (cols < 33))
    outside = ((rows < 8) | (rows > 31))[:, None] | ((cols < 8) | (cols > 37))
    assert previous[inside].min() > 0.9
    assert previous[outside].max() < 0.1


def test_accepting_replaces_the_object_and_no_other(session, cells):
    session.refine(7)
    mask = session.add_click(44, 52).mask
    assert (mask & (cells == 9)).any()
    assert session.accept() == 7
    assert_array_equal(session.labels == 7, mask & (cells != 9))
    assert_array_equal(session.labels == 9, cells == 9)
    assert [(done.id, done.how) for done in session.objects] == [(7, "replace")]


def test_undo_gives_the_object_back_and_redo_goes_on(session, cells):
    session.refine(7)
    session.add_click(20, 40)
    assert_array_equal(session.undo().mask, cells == 7)
    assert session.undo() is None
    assert session.start is None
    assert_array_equal(session.labels, cells)
    session.redo()
    assert_array_equal(session.redo().mask[20, 40], True)
    session.clear()
    assert session.start is None
    assert_array_equal(session.labels, cells)


def test_accepting_unchanged_changes_nothing(session, cells):
    session.refine(9)
    assert session.accept() == 9
    assert_array_equal(session.labels, cells)


def test_an_accepted_refinement_can_be_taken_back(session, cells):
    session.refine(7)
    mask = session.add_click(20, 40).mask
    session.accept()
    assert_array_equal(session.undo_accept().mask, mask)
    assert_array_equal(session.labels, cells)
    assert session.start is not None
    session.accept()
    assert_array_equal(session.labels == 7, mask & (cells != 9))


def test_a_moved_first_click_is_predicted(session, model):
    session.refine(7)
    session.replace_clicks([Click(15, 15)])
    assert len(model.points) == 1
    assert model.previous[0].max() > 0.9


def test_refining_needs_an_object_and_no_clicks(session):
    with pytest.raises(InputError, match="label must be the id of an object"):
        session.refine(5)
    session.add_click(5, 60)
    with pytest.raises(InputError, match="the current one has clicks"):
        session.refine(7)


def test_two_phases_give_the_same(session, image, cells):
    whole = Session(session.segmenter, image, labels=cells)
    whole.refine(7)
    want = whole.add_click(20, 40).mask
    session.refine(7)
    session.push_click(20, 40)
    request = session.request()
    assert request.start is session.start
    answer = session.segmenter.run(request)
    assert session.fulfil(request, answer)
    assert_array_equal(session.prediction.mask, want)
    session.clear()
    session.refine(7)
    session.push_click(20, 41)
    assert session.prediction is None


def test_an_answer_for_another_start_is_dropped(session):
    session.refine(7)
    session.push_click(20, 40)
    request = session.request()
    answer = session.segmenter.run(request)
    session.clear()
    session.refine(9)
    session.push_clicks(request.clicks)
    assert session.prediction is None
    session.fulfil(request, answer)
    assert session.prediction is None


def test_another_session_goes_on_from_the_same_start(session, image, cells):
    mask = np.zeros(SHAPE, dtype=bool)
    mask[30:38, 5:20] = True
    want = session.start_from(mask, [Click(33, 8), Click(25, 8, False)]).mask
    other = Session(session.segmenter, image, labels=cells)
    other.push_start(session.start)
    other.replace_clicks(session.clicks)
    assert_array_equal(other.prediction.mask, want)
    with pytest.raises(InputError, match="the current one has clicks"):
        other.push_start(session.start)


# -- starting from any mask --------------------------------------------------------


def test_a_mask_from_elsewhere_begins_a_new_object(session, cells):
    mask = np.zeros(SHAPE, dtype=bool)
    mask[30:38, 5:20] = True
    found = session.start_from(mask)
    assert_array_equal(found.mask, mask)
    assert session.accept() == 10
    assert_array_equal(session.labels == 10, mask)
    assert [done.how for done in session.objects] == ["add"]


def test_with_clicks_the_network_predicts_from_the_mask(session, model):
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[30:38, 5:20] = 255
    session.start_from(mask, [Click(33, 8), Click(25, 8, False)])
    assert len(model.points) == 2
    assert model.previous[0].max() > 0.9
    assert session.clicks == (Click(33, 8), Click(25, 8, False))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros(SHAPE, bool), "at least one pixel"),
        (np.ones((70, 80), bool), "must have the image's shape"),
        (np.ones((3, 4), bool), r"must have the image's shape .*, got \(3, 4\)"),
        (np.ones(SHAPE), "booleans or integers"),
        (np.ones((2, *SHAPE), bool), "must have the image's shape"),
    ],
)
def test_masks_that_cannot_begin_an_object(session, mask, message):
    with pytest.raises(InputError, match=message):
        session.start_from(mask)
    assert session.clicks == ()


# -- adding, cutting, deleting -----------------------------------------------------


def test_add_enlarges_an_object(session, cells):
    mask = session.add_click(20, 40).mask
    assert session.accept(label=7, how="add") == 7
    assert_array_equal(session.labels == 7, (cells == 7) | (mask & (cells == 0)))


def test_cut_takes_from_one_object_only(session, cells):
    mask = session.add_click(25, 30).mask
    assert session.accept(label=7, how="cut") == 7
    assert_array_equal(session.labels == 7, (cells == 7) & ~mask)
    assert_array_equal(session.labels == 9, cells == 9)
    session.undo_accept()
    assert_array_equal(session.labels, cells)


def test_replace_puts_the_mask_in_the_objects_place(session, cells):
    mask = session.add_click(10, 60).mask
    session.accept(label=7, how="replace")
    assert_array_equal(session.labels == 7, mask & (cells != 9))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"how": "cut"}, "label must be given with how='cut'"),
        ({"how": "replace"}, "label must be given with how='replace'"),
        ({"how": "cut", "label": 9}, "covers no pixel of object 9"),
        ({"how": "swap", "label": 9}, "how must be one of add, cut, replace"),
    ],
)
def test_accept_says_what_is_wrong(session, cells, options, message):
    session.add_click(20, 20)
    with pytest.raises(InputError, match=message):
        session.accept(**options)
    assert_array_equal(session.labels, cells)
    assert len(session.clicks) == 1


def test_a_deleted_object_comes_back(session, cells):
    session.delete(7)
    assert_array_equal(session.labels, np.where(cells == 7, 0, cells))
    assert [step.how for step in session.steps] == ["delete"]
    assert session.objects == ()
    assert session.reopen() == 7
    assert_array_equal(session.labels, cells)
    with pytest.raises(InputError, match="label must be the id"):
        session.delete(8)


def test_objects_are_those_that_still_count(session):
    session.add_click(5, 60)
    first = session.accept()
    session.add_click(35, 10)
    second = session.accept()
    session.refine(first)
    session.accept()
    session.delete(second)
    assert [(done.id, done.how) for done in session.objects] == [(first, "replace")]
    assert len(session.steps) == 4


def test_a_deleted_id_is_not_used_again(session):
    session.add_click(5, 60)
    first = session.accept()
    session.delete(first)
    session.add_click(5, 60)
    assert session.accept() == first + 1


# -- saved and replayed ------------------------------------------------------------


def test_all_of_it_is_saved_and_replayed(session, image, cells, tmp_path):
    session.refine(7)
    session.add_click(20, 40)
    session.accept()
    session.add_click(45, 60)
    session.accept(label=9, how="cut")
    session.add_click(50, 10)
    new = session.accept()
    session.delete(new)
    session.threshold = 0.3
    session.refine(9)
    session.add_click(45, 40, positive=False)
    again = reloaded(session, image, cells, tmp_path)
    assert_array_equal(again.labels, session.labels)
    assert_array_equal(again.prediction.mask, session.prediction.mask)
    assert again.threshold == 0.3
    assert again.clicks == session.clicks
    assert [(s.id, s.how) for s in again.steps] == [
        (s.id, s.how) for s in session.steps
    ]
    assert again.accept() == session.accept() == 9
    assert_array_equal(again.labels, session.labels)


def test_the_starting_mask_is_kept_as_runs(session, image, cells, tmp_path):
    session.refine(7)
    session.save(tmp_path / "prompts.json")
    saved = json.loads((tmp_path / "prompts.json").read_text())
    assert saved["current"]["start"]["box"] == [10, 10, 30, 35]
    assert saved["current"]["start"]["runs"] == [0, 500]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"runs": [0, 499]}, "damaged"),
        ({"runs": [0, "500"]}, "damaged"),
        ({"box": [10, 10, 30]}, "damaged"),
        ({"box": [50, 10, 70, 35]}, "must lie inside the image"),
    ],
)
def test_damaged_starts(session, image, cells, tmp_path, change, message):
    session.refine(7)
    path = tmp_path / "prompts.json"
    session.save(path)
    saved = json.loads(path.read_text())
    saved["current"]["start"].update(change)
    path.write_text(json.dumps(saved))
    with pytest.raises(InputError, match=message):
        Session.load(path, session.segmenter, image, labels=cells)


def test_files_of_version_1_are_read(session, image, cells, tmp_path):
    session.add_click(5, 60)
    session.accept()
    path = tmp_path / "prompts.json"
    session.save(path)
    saved = json.loads(path.read_text())
    saved["version"] = 1
    for item in (*saved["objects"], saved["current"]):
        del item["how"], item["start"]
    path.write_text(json.dumps(saved))
    again = Session.load(path, session.segmenter, image, labels=cells)
    assert_array_equal(again.labels, session.labels)


@pytest.mark.parametrize("seed", range(4))
def test_runs_there_and_back(seed):
    mask = np.random.default_rng(seed).random((7, 9)) < (0.1, 0.5, 0.9, 2)[seed]
    assert_array_equal(mask_of_runs(run_lengths(mask), mask.shape), mask)


def test_the_inner_click_is_deep_inside():
    mask = np.zeros((600, 900), dtype=bool)
    mask[100:500, 200:800] = True
    click = inner_click(mask, (1000, 2000))
    assert abs(click.row - 1000 - 300) < 10
    assert 2000 + 390 < click.col < 2000 + 610
    thin = np.zeros((3, 2000), dtype=bool)
    thin[1, 1001] = True
    assert inner_click(thin).pixel == (1, 1001)


def test_a_start_is_cut_to_its_box():
    mask = np.zeros((20, 30), dtype=np.int32)
    mask[5:9, 7:8] = 3
    start = make_start_mask(mask, SHAPE, corner=(10, 20))
    assert start.box == (15, 27, 19, 28)
    assert start.mask.all()
