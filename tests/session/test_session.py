"""Sessions: history, two-phase use, finished objects, prompts on disk."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from _toy import ToyModel, toy_info, toy_segmenter
from napari_gpcis import Click, Segmenter, Session
from napari_gpcis.checkpoints import InferenceSettings, ModelInfo
from napari_gpcis.errors import InputError
from napari_gpcis.model.gpcis import build_model
from napari_gpcis.session.labels import digest_of

SHAPE = (60, 80)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)


@pytest.fixture
def model():
    return ToyModel()


@pytest.fixture
def session(model, image):
    return Session(Segmenter(model, toy_info()), image)


def finish(session, row, col, **options):
    session.add_click(row, col)
    return session.accept(**options)


# -- clicks and their history ------------------------------------------------------


def test_each_click_gives_a_prediction(session):
    assert session.prediction is None
    assert (session.can_undo, session.can_redo) == (False, False)
    first = session.add_click(30, 40)
    second = session.add_click(30.0, 60, positive=False)
    assert first.mask[30, 40]
    assert not second.mask[30, 60]
    assert session.clicks == (Click(30, 40), Click(30, 60, False))
    assert session.prediction.clicks == session.clicks


def test_session_predicts_what_the_segmenter_predicts(session, image):
    clicks = [Click(30, 40), Click(30, 60, False), Click(20, 45)]
    for click in clicks:
        found = session.add_click(click.row, click.col, click.positive)
    once = toy_segmenter().predict(image, clicks)
    assert_array_equal(found.probability, once.probability)


def test_undo_and_redo_need_no_inference(session, model):
    masks = [session.add_click(30, 10 * n + 20).mask for n in range(3)]
    asked = len(model.points)
    assert_array_equal(session.undo().mask, masks[1])
    assert_array_equal(session.undo().mask, masks[0])
    assert session.undo() is None
    assert session.undo() is None
    assert (session.can_undo, session.can_redo) == (False, True)
    assert_array_equal(session.redo().mask, masks[0])
    session.redo()
    assert_array_equal(session.redo().mask, masks[2])
    assert not session.can_redo
    assert_array_equal(session.redo().mask, masks[2])
    assert len(model.points) == asked


def test_new_click_forgets_what_was_undone(session):
    session.add_click(30, 40)
    session.add_click(30, 60)
    session.undo()
    session.add_click(10, 10, positive=False)
    assert not session.can_redo
    assert [c.col for c in session.clicks] == [40, 10]
    assert_array_equal(
        session.prediction.mask,
        toy_segmenter().predict(session_image(session), session.clicks).mask,
    )


def session_image(session):
    return np.stack(session._prepared.planes, axis=-1)


def test_clear_can_be_undone(session, model):
    before = session.add_click(30, 40)
    assert session.clear() is None
    assert session.clicks == ()
    asked = len(model.points)
    assert session.undo() is before
    assert len(model.points) == asked
    session.redo()
    assert session.clicks == ()


def test_clear_of_nothing_is_no_step(session):
    assert session.clear() is None
    assert not session.can_undo


def test_replaced_clicks_are_one_step(session, model):
    clicks = [Click(30, 20), Click(30, 40), Click(30, 60, False)]
    for click in clicks:
        before = session.add_click(click.row, click.col, click.positive)
    asked = len(model.points)
    dragged = [clicks[0], Click(45, 40), clicks[2]]
    found = session.replace_clicks(dragged)
    assert session.clicks == tuple(dragged)
    assert len(model.points) == asked + 2  # the first click's answer is known
    once = toy_segmenter().predict(session_image(session), dragged)
    assert_array_equal(found.probability, once.probability)
    assert session.undo() is before
    assert session.clicks == tuple(clicks)
    assert session.redo() is found
    assert len(model.points) == asked + 2
    assert session.replace_clicks(clicks[:1]).clicks == (clicks[0],)
    assert session.undo() is found


def test_replaced_by_nothing_is_clear(session):
    before = session.add_click(30, 40)
    assert session.replace_clicks([]) is None
    assert session.clicks == ()
    assert session.undo() is before


def test_replaced_by_the_same_is_no_step(session):
    session.add_click(30, 40)
    session.undo()
    session.redo()
    session.replace_clicks([Click(30, 40)])
    session.undo()
    assert not session.can_undo
    assert session.can_redo


def test_replacing_the_first_click_keeps_its_view(session):
    session.view = (10, 20, 42, 60)
    session.replace_clicks([Click(30, 40)])
    session.view = (0, 0, 5, 5)
    session.replace_clicks([Click(25, 45)])
    assert session.prediction.roi == (10, 20, 42, 60)


@pytest.mark.parametrize("wrong", [Click(60, 0), Click(0, -1), (1, 2)])
def test_replacing_by_a_wrong_click_changes_nothing(session, wrong):
    session.add_click(30, 40)
    with pytest.raises(InputError, match=r"must lie inside|must be Click objects"):
        session.replace_clicks([Click(10, 10), wrong])
    assert session.clicks == (Click(30, 40),)
    session.undo()
    assert not session.can_undo


def test_unreachable_predictions_are_forgotten(session):
    for col in (20, 40, 60):
        session.add_click(30, col)
        session.undo()
    assert len(session.current._known) == 1
    session.redo()
    session.accept()
    assert not session.current._known


def test_threshold_needs_no_inference(session, model):
    plain = session.add_click(30, 40)
    session.threshold = 0.9
    assert len(model.points) == 1
    assert session.prediction.mask.sum() < plain.mask.sum()
    assert session.add_click(30, 42).threshold == 0.9
    with pytest.raises(InputError, match="threshold must lie between"):
        session.threshold = 1.5


# -- the first view ----------------------------------------------------------------


def test_first_click_sees_the_whole_image_or_the_view(session):
    assert session.add_click(30, 40).roi == (0, 0, *SHAPE)
    session.clear()
    session.view = (10, 20, 50, 900)
    assert session.view == (10, 20, 50, 80)
    assert session.add_click(30, 40).roi == session.view
    session.view = None
    assert session.undo() is None
    assert session.add_click(30, 40).roi == (0, 0, *SHAPE)


def test_finished_objects_give_the_view(model):
    session = Session(Segmenter(model, toy_info()), np.zeros((600, 700)))
    session.view = (0, 0, 60, 60)
    finish(session, 30, 30)
    (done,) = session.objects
    session.view = None
    side = max(64, 4 * max(done.size))
    assert session.add_click(300, 400).roi == (
        300 - side // 2,
        400 - side // 2,
        300 - side // 2 + side,
        400 - side // 2 + side,
    )
    session.clear()
    session.view = (200, 300, 500, 600)
    assert session.add_click(300, 400).roi == (200, 300, 500, 600)


def test_view_is_kept_with_the_object(session):
    session.view = (10, 20, 50, 70)
    session.add_click(30, 40)
    session.view = (0, 0, 5, 5)
    session.add_click(32, 40)
    session.accept()
    assert session.objects[0].view == (10, 20, 50, 70)


# -- two phases --------------------------------------------------------------------


def test_two_phases(session, model):
    assert session.request() is None
    session.push_click(30, 40)
    assert session.prediction is None
    assert not model.points
    request = session.request()
    answer = session.segmenter.run(request)
    assert session.fulfil(request, answer)
    assert session.prediction.maps is answer[-1].maps
    assert session.request() is None


def test_two_phases_of_replacing(session, model):
    for col in (20, 40, 60):
        session.add_click(30, col)
    session.push_clicks([Click(30, 20), Click(30, 60)])
    assert session.prediction is None
    request = session.request()
    assert [found.clicks for found in request.done] == [(Click(30, 20),)]
    assert session.undo_click()
    asked = len(model.points)
    assert session.request() is None
    answer = session.segmenter.run(request)
    assert session.fulfil(request, answer)  # redo can reach it
    assert session.redo_click()
    assert session.prediction.maps is answer[-1].maps
    assert len(model.points) == asked + 1


def test_answer_is_of_use_after_another_click(session):
    session.push_click(30, 40)
    request = session.request()
    session.push_click(30, 60)
    assert session.fulfil(request, session.segmenter.run(request))
    assert session.prediction is None
    later = session.request()
    assert len(later.done) == 1
    assert session.fulfil(later, session.segmenter.run(later))
    assert session.prediction.clicks == session.clicks


def test_answer_is_of_use_after_undo(session, model):
    session.push_click(30, 40)
    request = session.request()
    assert session.undo_click()
    assert not session.undo_click()
    assert session.request() is None
    assert session.fulfil(request, session.segmenter.run(request))
    assert session.prediction is None
    asked = len(model.points)
    assert session.redo_click()
    assert not session.redo_click()
    assert session.prediction.mask[30, 40]
    assert len(model.points) == asked


def test_stale_answers_are_dropped(session, image):
    session.push_click(30, 40)
    request = session.request()
    answer = session.segmenter.run(request)
    session.undo_click()
    session.push_click(10, 10)
    assert not session.fulfil(request, answer)
    assert session.prediction is None
    session.undo_click()
    session.push_click(30, 40)
    other = Session(session.segmenter, image)
    other.push_click(30, 40)
    assert not other.fulfil(request, answer)
    assert not session.fulfil(request, ())


def test_answer_that_comes_after_accept_is_dropped(session):
    session.push_click(30, 40)
    request = session.request()
    answer = session.segmenter.run(request)
    session.fulfil(request, answer)
    session.accept()
    assert not session.fulfil(request, answer)


def test_undo_and_redo_predict_what_is_missing(session):
    session.push_click(30, 40)
    session.push_click(30, 60)
    assert session.undo().clicks == (Click(30, 40),)
    assert session.redo().clicks == (Click(30, 40), Click(30, 60))


# -- failures ----------------------------------------------------------------------


def test_failure_in_the_model_loses_no_click(session, model):
    session.add_click(30, 40)
    model.failures = 2
    with pytest.raises(RuntimeError, match="out of memory"):
        session.add_click(30, 60)
    with pytest.raises(RuntimeError, match="out of memory"):
        session.add_click(50, 60)
    assert session.prediction is None
    with pytest.raises(InputError, match="its prediction is missing"):
        session.accept()
    assert not session.labels.any()
    assert len(session.add_click(10, 10, positive=False).clicks) == 4


def test_click_that_failed_can_be_undone(session, model):
    before = session.add_click(30, 40)
    model.failures = 1
    with pytest.raises(RuntimeError, match="out of memory"):
        session.add_click(30, 60)
    assert session.undo() is before


# -- finished objects --------------------------------------------------------------


def test_accept_writes_the_mask_and_begins_anew(session):
    mask = session.add_click(30, 40).mask
    assert session.accept() == 1
    assert session.labels.dtype == np.int32
    assert_array_equal(session.labels, mask.astype(int))
    assert session.clicks == ()
    assert session.prediction is None
    assert not session.can_undo
    (done,) = session.objects
    assert (done.id, done.clicks, done.view) == (1, (Click(30, 40),), None)


def test_finished_objects_are_protected(session):
    finish(session, 30, 40)
    first = session.labels == 1
    mask = session.add_click(30, 44).mask
    assert session.accept() == 2
    assert (mask & first).any()
    assert_array_equal(session.labels == 1, first)
    assert_array_equal(session.labels == 2, mask & ~first)


def test_overwrite_takes_pixels(session):
    finish(session, 30, 40)
    mask = session.add_click(30, 44).mask
    session.accept(overwrite=True)
    assert_array_equal(session.labels == 2, mask)


def test_object_that_adds_no_pixel_is_refused(session):
    finish(session, 30, 40)
    before = session.labels.copy()
    session.add_click(30, 40)
    with pytest.raises(InputError, match="all its pixels belong to objects already"):
        session.accept()
    assert_array_equal(session.labels, before)
    assert session.clicks
    assert session.accept(overwrite=True) == 2
    session.add_click(3, 3, positive=False)
    with pytest.raises(InputError, match="the mask is empty"):
        session.accept()


def test_nothing_to_accept(session):
    with pytest.raises(InputError, match="there is no click"):
        session.accept()


def test_chosen_label(session):
    assert finish(session, 30, 20, label=7) == 7
    assert finish(session, 30, 60) == 8
    assert finish(session, 10, 60, label=7) == 7
    assert session.labels[30, 20] == session.labels[10, 60] == 7
    assert [done.id for done in session.objects] == [7, 8, 7]


@pytest.mark.parametrize("label", [0, -1, 2**31, 1.0, True, "1"])
def test_wrong_label(session, label):
    session.add_click(30, 40)
    with pytest.raises(InputError, match="label must be an integer from 1 to"):
        session.accept(label=label)
    assert session.clicks


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda session: setattr(session, "tidy", True), "tidy must be a Tidy or None"),
        (lambda session: setattr(session, "threshold", "a"), "threshold must lie"),
        (lambda session: session.choose(1.5), "index must be a whole number, got 1.5"),
        (lambda session: session.choose("a"), "index must be a whole number"),
        (lambda session: session.find_similar(least="a"), "least must lie"),
    ],
)
def test_arguments_of_wrong_types(session, change, words):
    session.add_click(30, 40)
    before = session.tidy, session.threshold, session.prediction
    with pytest.raises(InputError, match=words):
        change(session)
    assert (session.tidy, session.threshold, session.prediction) == before


def test_rules_of_tidying_are_checked_at_once(session):
    with pytest.raises(InputError, match="tidy must be a Tidy or None, got 'x'"):
        Session(session.segmenter, np.zeros((40, 50), np.uint8), tidy="x")


def test_no_label_left(session):
    finish(session, 30, 20, label=2**31 - 1)
    session.add_click(30, 60)
    with pytest.raises(InputError, match="no label is left"):
        session.accept()
    assert session.accept(label=5) == 5


def test_overwritten_id_is_not_given_again(session):
    finish(session, 30, 40)
    finish(session, 30, 40, label=9, overwrite=True)
    session.labels[session.labels == 9] = 0
    assert finish(session, 10, 10) == 10


@pytest.mark.parametrize("dtype", ["u1", "i4", "u8", "?"])
def test_existing_labels_are_adopted_and_protected(model, image, dtype):
    labels = np.zeros(SHAPE, dtype)
    labels[20:32, 30:50] = 1
    session = Session(Segmenter(model, toy_info()), image, labels=labels)
    assert finish(session, 33, 40) == 2
    assert_array_equal(session.labels == 1, labels.astype(bool))
    assert not (labels == 2).any()


def test_painted_pixels_are_protected(session):
    session.labels[25:30] = 4
    assert finish(session, 32, 40) == 5
    assert (session.labels[25:30] == 4).all()


def test_accept_can_be_taken_back(session):
    finish(session, 30, 40)
    before = session.labels.copy()
    session.view = (5, 5, 55, 75)
    mask = session.add_click(30, 44).mask
    clicks = session.clicks
    session.accept(overwrite=True)
    session.view = None
    session.labels[0, 0] = session.labels[30, 44] = 5
    assert session.reopen() == 2
    assert session.prediction is None
    before[0, 0] = before[30, 44] = 5
    assert_array_equal(session.labels, before)
    assert session.clicks == clicks
    assert len(session.objects) == 1
    request = session.request()
    session.fulfil(request, session.segmenter.run(request))
    assert_array_equal(session.prediction.mask, mask)
    session.accept()
    assert_array_equal(session.undo_accept().mask, mask)
    with pytest.raises(InputError, match="the current one has clicks"):
        session.undo_accept()


def test_clicks_of_a_reopened_object_are_undone_one_by_one(session):
    masks = [session.add_click(30, 10 * n + 20).mask for n in range(3)]
    session.accept()
    session.undo_accept()
    assert_array_equal(session.undo().mask, masks[1])
    assert_array_equal(session.undo().mask, masks[0])
    assert session.undo() is None
    assert not session.can_undo
    assert_array_equal(session.redo().mask, masks[0])


def test_a_reopened_correction_is_undone_to_the_object_as_it_was(session):
    finish(session, 30, 40)
    session.refine(1)
    session.add_click(50, 70)
    session.accept()
    session.undo_accept()
    session.undo()
    assert session.start is not None
    session.undo()
    assert session.start is None
    assert session.clicks == ()


def test_accept_is_taken_back_only_if_there_was_one(session):
    with pytest.raises(InputError, match="no object was accepted"):
        session.undo_accept()


# -- prompts on disk ---------------------------------------------------------------


@pytest.fixture
def busy(session):
    """Several objects: views, undone clicks, thresholds, overwriting, a chosen id."""
    session.view = (5, 5, 55, 75)
    session.add_click(30, 40)
    session.add_click(30.25, 60.75)
    session.undo()
    session.add_click(20, 35.1, positive=False)
    session.accept()
    session.view = None
    session.threshold = 0.4
    session.add_click(32, 46)
    session.accept(label=12, overwrite=True)
    session.threshold = 0.6
    session.add_click(28, 38)
    session.clear()
    finish(session, 10, 65)
    session.add_click(50, 20)
    session.add_click(52, 10, positive=False)
    return session


def same(one, other):
    assert_array_equal(one.labels, other.labels)
    assert one.objects == other.objects
    assert one.clicks == other.clicks
    assert one.threshold == other.threshold
    if one.clicks:
        assert_array_equal(one.prediction.mask, other.prediction.mask)
        assert_array_equal(one.prediction.probability, other.prediction.probability)


def test_saved_prompts_replay_to_identical_masks(busy, image, tmp_path):
    busy.save(tmp_path / "prompts.json")
    loaded = Session.load(tmp_path / "prompts.json", toy_segmenter(), image)
    same(busy, loaded)
    loaded.save(tmp_path / "again.json")
    first, second = (tmp_path / name for name in ("prompts.json", "again.json"))
    assert first.read_text() == second.read_text()


def test_real_network_replays(image, tmp_path):
    torch.manual_seed(0)
    info = ModelInfo("random", "mobilenet_v2", inference=InferenceSettings(96))
    segmenter = Segmenter(build_model("mobilenet_v2"), info)
    session = Session(segmenter, image)
    session.add_click(30, 40)
    session.add_click(12, 70, positive=False)
    session.accept()
    session.add_click(50, 10)
    session.add_click(50.5, 20, positive=False)
    session.save(tmp_path / "prompts.json")
    same(session, Session.load(tmp_path / "prompts.json", segmenter, image))


def test_accept_taken_back_is_not_saved(busy, image, tmp_path):
    busy.clear()
    busy.undo_accept()
    busy.save(tmp_path / "prompts.json")
    same(busy, Session.load(tmp_path / "prompts.json", toy_segmenter(), image))


def test_contrast_and_channels_are_saved(model, tmp_path):
    stack = np.random.default_rng(5).random((*SHAPE, 6))
    segmenter = Segmenter(model, toy_info())
    options = {"contrast": (0.2, 0.7), "channels": [5, 0]}
    session = Session(segmenter, stack, **options)
    session.add_click(30, 40)
    session.save(tmp_path / "prompts.json")
    same(session, Session.load(tmp_path / "prompts.json", segmenter, stack))


def test_empty_session_is_saved(session, image, tmp_path):
    session.save(tmp_path / "prompts.json")
    same(session, Session.load(tmp_path / "prompts.json", toy_segmenter(), image))


def test_session_that_began_with_labels(model, image, tmp_path):
    labels = np.zeros(SHAPE, int)
    labels[:28] = 3
    session = Session(Segmenter(model, toy_info()), image, labels=labels)
    finish(session, 30, 40)
    session.save(tmp_path / "prompts.json")
    path, segmenter = tmp_path / "prompts.json", session.segmenter
    same(session, Session.load(path, segmenter, image, labels=labels))
    with pytest.raises(InputError, match="it began with labels, got none"):
        Session.load(path, segmenter, image)
    with pytest.raises(InputError, match="it began with labels, got others"):
        Session.load(path, segmenter, image, labels=labels + 1)


def test_prompts_of_another_image(busy, image, tmp_path):
    busy.save(tmp_path / "prompts.json")
    with pytest.raises(InputError, match=r"shape \(50, 80\).*\(60, 80\)"):
        Session.load(tmp_path / "prompts.json", toy_segmenter(), image[:50])


def test_prompts_of_another_model(busy, image, tmp_path):
    busy.save(tmp_path / "prompts.json")
    other = Segmenter(ToyModel(), replace(toy_info(infer_size=128), name="other"))
    with pytest.raises(InputError, match=r"model 'other'.*'toy'.*any_model=True"):
        Session.load(tmp_path / "prompts.json", other, image)
    loaded = Session.load(tmp_path / "prompts.json", other, image, any_model=True)
    assert loaded.clicks == busy.clicks


def test_prompts_of_other_weights(image, tmp_path):
    def segmenter(mark):
        return Segmenter(ToyModel(), replace(toy_info(), extra={"fingerprint": mark}))

    Session(segmenter("a"), image).save(tmp_path / "prompts.json")
    Session.load(tmp_path / "prompts.json", segmenter("a"), image)
    with pytest.raises(InputError, match="other weights of 'toy'"):
        Session.load(tmp_path / "prompts.json", segmenter("b"), image)


def test_prompts_of_a_model_that_was_renamed(image, tmp_path):
    def segmenter(name, mark):
        info = replace(toy_info(), name=name, extra={"fingerprint": mark})
        return Segmenter(ToyModel(), info)

    before = Session(segmenter("em", "a"), image)
    finish(before, 30, 40)
    before.save(tmp_path / "prompts.json")
    same(
        before, Session.load(tmp_path / "prompts.json", segmenter("em two", "a"), image)
    )
    with pytest.raises(InputError, match="the model 'em two'"):
        Session.load(tmp_path / "prompts.json", segmenter("em two", "b"), image)


def damage(data, where, value):
    for key in where[:-1]:
        data = data[key]
    data[where[-1]] = value


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (["format"], "something", "not a file of saved prompts"),
        (["version"], 99, "version 99"),
        (["objects", 0, "clicks", 0, "row"], None, "damaged"),
        (["objects", 0, "clicks", 0, "row"], 1e9, "must lie inside the image"),
        (["objects", 0, "clicks", 0, "positive"], "yes", "damaged"),
        (["objects", 0, "clicks"], [], "damaged.*no clicks"),
        (["objects", 0, "id"], 0, "damaged.*id must lie between"),
        (["objects", 0, "view"], [1, 2], "damaged"),
        (["objects", 0, "view"], [900, 900, 950, 950], "view must hold"),
        (["objects", 0, "overwrite"], None, "damaged"),
        (["objects", 0, "threshold"], 2.0, "threshold must lie between"),
        (["objects"], 3, "damaged"),
        (["shape"], [60], "damaged"),
        (["shape"], [60, True], "damaged"),
        (["model"], None, "damaged"),
        (["contrast"], [5, 1], "contrast must be finite"),
        (["channels"], [7], "channels must be one to three"),
        (["current"], None, "damaged"),
    ],
)
def test_damaged_prompts(busy, image, tmp_path, where, value, message):
    path = tmp_path / "prompts.json"
    busy.save(path)
    data = json.loads(path.read_text())
    damage(data, where, value)
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match=message):
        Session.load(path, toy_segmenter(), image)


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"format": "napari', "\x00\x01"])
def test_files_that_are_no_prompts(image, tmp_path, content):
    path = tmp_path / "prompts.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"prompts\.json is not a file of saved"):
        Session.load(path, toy_segmenter(), image)


def test_prompts_that_cannot_be_written_or_read(session, image, tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        session.save(tmp_path / "nowhere" / "prompts.json")
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        Session.load(tmp_path / "none.json", toy_segmenter(), image)


def test_the_digest_of_an_object_tells_of_its_pixels_alone() -> None:
    labels = np.zeros((40, 50), np.int32)
    labels[10:20, 15:30] = 3
    labels[12, 17] = 7
    known = digest_of(labels, 3)
    renumbered = np.where(labels == 3, 300, 9).astype(np.uint16)
    assert digest_of(renumbered, 300) == known
    assert digest_of(labels[5:25, 9:], 3, (5, 9)) == known
    moved = np.roll(labels, 1, axis=1)
    turned = np.zeros_like(labels)
    turned[10:25, 15:25] = 3
    smaller, larger = labels.copy(), labels.copy()
    smaller[10, 15], larger[12, 17] = 0, 3
    others = [digest_of(one, 3) for one in (moved, turned, smaller, larger)]
    assert len({known, *others}) == 5
    assert digest_of(labels, 4) is None
