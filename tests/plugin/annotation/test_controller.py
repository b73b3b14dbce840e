"""The controller on a viewer without a window: what becomes of clicks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from napari.components import ViewerModel

from _fake_segmenter import disks
from napari_gpcis.clicks import Click
from napari_gpcis.errors import CheckpointError, InputError
from napari_gpcis.plugin.annotation.controller import Controller
from napari_gpcis.plugin.settings.preferences import PREFERENCES


def masks(*clicks: tuple[int, int] | tuple[int, int, bool]) -> np.ndarray:
    return disks((80, 100), tuple(Click(*click) for click in clicks))


def test_each_click_makes_a_mask(bench) -> None:
    bench.start()
    bench.positive.add([30, 40])
    bench.settled(1)
    np.testing.assert_array_equal(bench.labels.data == 1, masks((30, 40)))
    bench.negative.add([30, 46])
    bench.settled(2)
    wanted = masks((30, 40), (30, 46, False))
    np.testing.assert_array_equal(bench.labels.data == 1, wanted)
    assert bench.controller.status.startswith("2 clicks · object 1 · ")


def test_undo_and_redo_bring_points_and_masks_back(bench) -> None:
    bench.start()
    bench.positive.add([30, 40])
    bench.settled(1)
    bench.negative.add([30, 46])
    bench.settled(2)
    runs = len(bench.segmenter.runs)
    bench.controller.command("undo")
    bench.until(lambda: not bench.current.busy)
    assert len(bench.negative.data) == 0
    np.testing.assert_array_equal(bench.labels.data == 1, masks((30, 40)))
    assert bench.controller.status == "1 click \u00b7 object 1"  # nothing is computed
    bench.controller.command("undo")
    assert len(bench.positive.data) == 0
    assert not bench.labels.data.any()
    for _ in range(2):
        bench.controller.command("redo")
    bench.until(lambda: not bench.current.busy)
    wanted = masks((30, 40), (30, 46, False))
    np.testing.assert_array_equal(bench.labels.data == 1, wanted)
    assert len(bench.segmenter.runs) == runs  # nothing was predicted twice


def test_undo_gives_up_a_running_prediction(bench) -> None:
    bench.start()
    bench.positive.add([30, 40])
    bench.settled(1)
    bench.segmenter.gate.clear()
    bench.positive.add([30, 60])
    bench.until(lambda: len(bench.segmenter.runs) == 2)
    bench.controller.command("undo")
    bench.segmenter.gate.set()
    bench.until(lambda: not bench.current.busy)
    np.testing.assert_array_equal(bench.labels.data == 1, masks((30, 40)))
    assert len(bench.positive.data) == 1


def test_clear_removes_the_mask_and_can_be_undone(bench) -> None:
    bench.start()
    bench.positive.add([30, 40])
    bench.settled(1)
    bench.controller.command("clear")
    assert len(bench.positive.data) == 0
    assert not bench.labels.data.any()
    bench.controller.command("undo")
    bench.settled(1)
    np.testing.assert_array_equal(bench.labels.data == 1, masks((30, 40)))


def test_a_second_object_does_not_overwrite_the_first(bench) -> None:
    bench.start()
    bench.positive.add([30, 40])
    bench.settled(1)
    bench.controller.command("accept")
    assert len(bench.positive.data) == 0
    first = bench.labels.data.copy()
    bench.positive.add([30, 50])
    bench.settled(1)
    np.testing.assert_array_equal(bench.labels.data == 1, first == 1)
    wanted = masks((30, 50)) & ~(first == 1)
    np.testing.assert_array_equal(bench.labels.data == 2, wanted)
    bench.controller.command("accept")
    assert [done.id for done in bench.controller.session.objects] == [1, 2]
    np.testing.assert_array_equal(bench.controller.session.labels, bench.labels.data)


def test_a_reopened_object_covers_others_as_before(bench, monkeypatch) -> None:
    monkeypatch.setattr(PREFERENCES, "protect", False)
    bench.start()
    for place in ((30, 40), (30, 50)):
        bench.positive.add(place)
        bench.settled(1)
        bench.controller.command("accept")
        bench.settled(0)
    monkeypatch.setattr(PREFERENCES, "protect", True)
    bench.controller.command("undo")
    bench.settled(1)
    bench.controller.command("accept")
    bench.settled(0)
    np.testing.assert_array_equal(bench.labels.data == 2, masks((30, 50)))
    assert bench.controller.session.objects[-1].overwrite


def test_the_running_object_takes_what_a_deleted_one_leaves(bench) -> None:
    bench.start()
    bench.positive.add((30, 40))
    bench.settled(1)
    bench.controller.command("accept")
    bench.settled(0)
    bench.positive.add((30, 50))
    bench.settled(1)
    assert bench.controller.annotation.delete([(bench.current.plane, 1)]) == 1
    bench.controller.command("accept")
    bench.settled(0)
    np.testing.assert_array_equal(bench.labels.data == 2, masks((30, 50)))
    session = bench.controller.session
    np.testing.assert_array_equal(session.labels, bench.labels.data)


def test_one_accepted_object_is_one_undo_step_of_the_labels(bench) -> None:
    bench.start()
    for place in ([30, 40], [30, 50], [30, 60]):
        bench.positive.add(place)
        bench.settled(len(bench.positive.data))
    bench.controller.command("accept")
    bench.positive.add([60, 80])
    bench.settled(1)
    bench.controller.command("accept")
    bench.labels.undo()
    assert set(np.unique(bench.labels.data)) == {0, 1}
    bench.labels.undo()
    assert not bench.labels.data.any()
    bench.labels.redo()
    wanted = masks((30, 40), (30, 50), (30, 60))
    np.testing.assert_array_equal(bench.labels.data == 1, wanted)


def test_undo_in_the_labels_takes_back_the_running_click(bench) -> None:
    bench.start()
    bench.positive.add([30, 40])
    bench.settled(1)
    bench.controller.command("accept")
    bench.positive.add([60, 80])
    bench.settled(1)
    bench.controller.travel_in_labels("undo")
    assert set(np.unique(bench.labels.data)) == {0, 1}
    assert len(bench.positive.data) == 0


def test_undo_in_the_labels_goes_back_in_an_earlier_annotation(bench) -> None:
    image = bench.start()
    bench.labels.data_setitem((np.array([3]), np.array([4])), 7)  # before any click
    bench.controller.travel_in_labels("undo")
    assert not bench.labels.data.any()
    bench.positive.add([30, 40])
    bench.settled(1)
    bench.controller.command("accept")
    labels, before = bench.labels, bench.labels.data.copy()
    bench.controller.stop()
    assert bench.controller.start(image, labels)
    bench.until(lambda: bench.controller.session is not None)
    bench.controller.travel_in_labels("undo")
    assert not labels.data.any()
    bench.controller.travel_in_labels("undo")
    assert "Nothing to undo" in bench.controller.status
    assert not labels.data.any()  # napari would draw here what was taken back
    bench.controller.travel_in_labels("redo")
    np.testing.assert_array_equal(labels.data, before)


def test_undo_without_clicks_reopens_the_last_object(bench) -> None:
    bench.start()
    bench.positive.add([30, 40])
    bench.settled(1)
    bench.controller.command("accept")
    bench.controller.command("undo")
    bench.settled(1)
    bench.positive.add([30, 60])
    bench.settled(2)
    wanted = masks((30, 40), (30, 60))
    np.testing.assert_array_equal(bench.labels.data == 1, wanted)
    assert set(np.unique(bench.labels.data)) == {0, 1}


def test_undo_goes_back_click_by_click_and_object_by_object(bench) -> None:
    bench.start()
    for first, second in (((30, 40), (30, 60)), ((60, 80), (60, 60))):
        bench.positive.add(first)
        bench.settled(1)
        bench.positive.add(second)
        bench.settled(2)
        bench.controller.command("accept")
    for clicks in (2, 1, 0, 2, 1, 0):
        bench.controller.command("undo")
        bench.settled(clicks)
    assert not bench.labels.data.any()
    bench.controller.command("undo")
    assert bench.controller.status == "Nothing to undo."


def test_accept_before_the_mask_is_there_waits_for_it(bench) -> None:
    bench.start()
    bench.segmenter.gate.clear()
    bench.positive.add([30, 40])
    bench.until(lambda: bench.segmenter.runs)
    bench.controller.command("accept")
    bench.positive.add([60, 80])  # the next object's first click
    bench.segmenter.gate.set()
    bench.until(lambda: len(bench.controller.session.objects) == 1)
    bench.settled(1)
    np.testing.assert_array_equal(bench.labels.data == 1, masks((30, 40)))
    np.testing.assert_array_equal(bench.labels.data == 2, masks((60, 80)))


def accept_before_masks(bench, *places) -> None:
    """Start, click, and accept each click as an object; answers wait for the gate."""
    bench.start()
    bench.segmenter.gate.clear()
    for place in places:
        bench.positive.add(place)
        bench.controller.command("accept")


def test_objects_accepted_before_their_masks_stay_apart(bench) -> None:
    places = (30, 40), (60, 80), (20, 80)
    accept_before_masks(bench, *places)
    bench.controller.command("accept")  # twice is no object more
    bench.until(lambda: bench.segmenter.runs)
    bench.positive.add([65, 20])
    bench.segmenter.gate.set()
    bench.until(lambda: len(bench.controller.session.objects) == 3)
    bench.settled(1)
    for label, place in enumerate((*places, (65, 20)), start=1):
        np.testing.assert_array_equal(bench.labels.data == label, masks(place))


@pytest.mark.parametrize("again", [(30, 40), (60, 80)])
def test_a_place_may_be_clicked_again_for_the_next_object(bench, again) -> None:
    accept_before_masks(bench)
    bench.positive.add([30, 40])
    bench.positive.add([60, 80])
    bench.controller.command("accept")
    bench.positive.add(again)
    bench.segmenter.gate.set()
    bench.until(lambda: len(bench.controller.session.objects) == 1)
    bench.until(lambda: bench.controller.session.prediction is not None)
    assert bench.controller.session.objects[0].clicks == (Click(30, 40), Click(60, 80))
    assert bench.controller.session.clicks == (Click(*again),)


def test_one_place_accepted_twice_is_two_objects_at_most(bench) -> None:
    accept_before_masks(bench, (30, 40), (30, 40))
    bench.segmenter.gate.set()
    bench.until(lambda: len(bench.controller.session.objects) == 1)
    # The second covers nothing that is free: it goes on, and says so.
    bench.until(lambda: "no mask to accept" in bench.controller.status)
    bench.positive.add([60, 80])
    bench.settled(2)
    bench.controller.command("accept")
    np.testing.assert_array_equal(bench.labels.data == 1, masks((30, 40)))
    assert bench.labels.data[60, 80] == 2


def test_what_waits_to_be_accepted_is_taken_back_step_by_step(bench) -> None:
    accept_before_masks(bench, (30, 40), (60, 80))
    bench.controller.command("undo")  # the second is not accepted
    bench.controller.command("undo")  # nor is it clicked
    bench.positive.add([20, 80])
    bench.segmenter.gate.set()
    bench.until(lambda: len(bench.controller.session.objects) == 1)
    bench.settled(1)
    np.testing.assert_array_equal(bench.labels.data == 1, masks((30, 40)))
    np.testing.assert_array_equal(bench.labels.data == 2, masks((20, 80)))


def test_a_changed_click_is_not_accepted_with_its_neighbour(bench) -> None:
    accept_before_masks(bench, (30, 40), (60, 80), (20, 80))
    bench.positive.data = bench.positive.data[[0, 2]]
    bench.qtbot.wait(1)
    bench.segmenter.gate.set()
    bench.until(lambda: len(bench.controller.session.objects) == 2)
    bench.settled(0)  # the second has no click any more; the third was accepted
    np.testing.assert_array_equal(bench.labels.data == 1, masks((30, 40)))
    np.testing.assert_array_equal(bench.labels.data == 2, masks((20, 80)))


def test_accept_without_clicks_says_so(bench) -> None:
    bench.start()
    bench.controller.command("accept")
    assert "Nothing to accept" in bench.controller.status
    assert not bench.labels.data.any()
    bench.controller.register("another", lambda: None)
    bench.controller.command("another")
    assert bench.controller.status == "Ready: click on an object."


def test_deleted_and_dragged_points_are_followed(bench) -> None:
    bench.start()
    bench.positive.add([30, 40])
    bench.settled(1)
    bench.positive.add([60, 80])
    bench.settled(2)
    bench.positive.selected_data = {0}
    bench.positive.remove_selected()
    bench.settled(1)
    np.testing.assert_array_equal(bench.labels.data == 1, masks((60, 80)))
    bench.positive.data = [[20, 20]]
    bench.until(lambda: bench.controller.session.clicks == (Click(20, 20),))
    bench.settled(1)
    np.testing.assert_array_equal(bench.labels.data == 1, masks((20, 20)))


@pytest.mark.parametrize("deleted", [False, True])
def test_one_undo_takes_a_dragged_or_deleted_point_back(bench, deleted) -> None:
    bench.start()
    for count, point in enumerate([(30, 40), (60, 80), (20, 80)], start=1):
        bench.positive.add(point)
        bench.settled(count)
    before, clicks = bench.labels.data.copy(), bench.controller.session.clicks
    if deleted:
        bench.positive.selected_data = {1}
        bench.positive.remove_selected()
    else:
        bench.positive.data = [[30, 40], [50, 20], [20, 80]]
    bench.until(lambda: bench.controller.session.clicks != clicks)
    bench.settled(2 if deleted else 3)
    after = bench.labels.data.copy()
    assert not np.array_equal(before, after)
    bench.controller.command("undo")
    bench.settled(3)
    assert bench.controller.session.clicks == clicks
    np.testing.assert_array_equal(bench.labels.data, before)
    bench.controller.command("redo")
    bench.settled(2 if deleted else 3)
    np.testing.assert_array_equal(bench.labels.data, after)


def test_the_order_of_clicks_is_kept_across_both_layers(bench) -> None:
    bench.start()
    bench.negative.add([30, 46])
    bench.positive.add([30, 40])
    bench.negative.add([30, 34])
    bench.settled(3)
    signs = [click.positive for click in bench.controller.session.clicks]
    assert signs == [False, True, False]


def test_a_click_outside_is_removed_with_a_word(bench) -> None:
    bench.start()
    bench.positive.add([30, 140])
    bench.until(lambda: len(bench.positive.data) == 0)
    assert "outside the image" in bench.controller.status
    assert not bench.labels.data.any()


def test_a_model_that_raises_leaves_labels_and_clicks(bench, errors) -> None:
    bench.start()
    bench.positive.add([30, 40])
    bench.settled(1)
    before = bench.labels.data.copy()
    bench.segmenter.error = RuntimeError("no memory left")
    bench.negative.add([30, 46])
    bench.until(lambda: errors)
    np.testing.assert_array_equal(bench.labels.data, before)
    assert len(bench.negative.data) == 1
    assert errors == ["GPCIS could not compute the mask: no memory left"]
    bench.segmenter.error = None
    bench.negative.add([30, 34])
    bench.settled(3)
    wanted = masks((30, 40), (30, 46, False), (30, 34, False))
    np.testing.assert_array_equal(bench.labels.data == 1, wanted)
    assert len(errors) == 1


def test_a_model_that_cannot_be_read_is_named_as_the_reason(bench, errors) -> None:
    bench.start()
    bench.segmenter.error = CheckpointError("checkpoint em.safetensors is damaged")
    bench.positive.add([30, 40])
    bench.until(lambda: errors)
    assert errors == [
        "GPCIS cannot use the model: checkpoint em.safetensors is damaged"
    ]
    assert "choose another one" in bench.controller.status


def test_after_an_error_all_objects_wait_and_are_tried_again(bench, errors) -> None:
    accept_before_masks(bench, (30, 40), (60, 80))
    bench.positive.add([20, 80])
    bench.until(lambda: len(bench.current.clicks) == 3)
    bench.segmenter.error = RuntimeError("no memory left")
    bench.segmenter.gate.set()
    bench.until(lambda: errors)
    assert [one.clicks for one in bench.current.objects.all] == [
        (Click(30, 40),),
        (Click(60, 80),),
        (Click(20, 80),),
    ]
    bench.segmenter.error = None
    bench.positive.add([20, 70])
    bench.until(lambda: len(bench.controller.session.objects) == 2)
    bench.settled(2)
    for label, places in enumerate(([(30, 40)], [(60, 80)], [(20, 80), (20, 70)]), 1):
        np.testing.assert_array_equal(bench.labels.data == label, masks(*places))


def test_an_object_that_cannot_be_read_lets_the_others_go_on(bench, errors) -> None:
    accept_before_masks(bench, (30, 40), (60, 80))
    bench.until(lambda: bench.segmenter.runs)
    bench.segmenter.error = InputError("NaN where it is read")
    bench.segmenter.gate.set()
    bench.until(lambda: len(errors) == 2 and not bench.current.busy)  # one each
    assert bench.current.clicks == (Click(60, 80),)
    bench.segmenter.error = None
    bench.controller.command("accept")
    bench.until(lambda: bench.controller.session.objects)
    np.testing.assert_array_equal(bench.labels.data == 1, masks((60, 80)))
    for clicks in ((Click(60, 80),), (), (Click(30, 40),)):
        bench.controller.command("undo")
        assert bench.current.clicks == clicks
    for _ in range(3):
        bench.controller.command("redo")
    bench.settled(0)
    np.testing.assert_array_equal(bench.labels.data == 1, masks((60, 80)))


@pytest.mark.parametrize("later", ["cut", "new"])
def test_what_was_chosen_when_accept_was_pressed_holds(bench, later) -> None:
    bench.start()
    bench.positive.add([30, 40])
    bench.settled(1)
    bench.controller.command("accept")
    bench.segmenter.gate.clear()
    bench.labels.selected_label = 1
    bench.controller.writing.mode = "add" if later == "cut" else "cut"
    bench.positive.add([30, 46])
    bench.controller.command("accept")
    bench.controller.writing.mode = later
    bench.current.write_otherwise()
    bench.positive.add([30, 60])
    bench.segmenter.gate.set()
    bench.until(lambda: len(bench.controller.session.steps) == 2)
    bench.settled(1)
    first, second, third = (masks((30, col)) for col in (40, 46, 60))
    expected = (first | second) & ~third if later == "cut" else first & ~second
    np.testing.assert_array_equal(bench.labels.data == 1, expected)


def test_a_model_that_does_not_load_is_tried_again(bench, errors) -> None:
    failing, good = [True], bench.controller._models._factory

    def factory(name: str) -> object:
        if failing[0]:
            msg = "weights are missing"
            raise OSError(msg)
        return good(name)

    bench.controller._models._factory = factory
    image = bench.viewer.add_image(np.zeros((80, 100), np.uint8))
    assert bench.controller.start(image)
    bench.until(lambda: errors)
    assert "weights are missing" in errors[0]
    failing[0] = False
    bench.positive.add([30, 40])
    bench.settled(1)
    np.testing.assert_array_equal(bench.labels.data == 1, masks((30, 40)))


def test_an_answer_to_clicks_that_changed_meanwhile_is_dropped(bench) -> None:
    bench.start()
    bench.segmenter.gate.clear()
    bench.positive.add([30, 40])
    bench.until(lambda: len(bench.segmenter.runs) == 1)
    bench.positive.data = np.array([[60.0, 80.0]])
    bench.until(lambda: bench.controller.session.clicks == (Click(60, 80),))
    bench.segmenter.gate.set()
    bench.settled(1)
    np.testing.assert_array_equal(bench.labels.data == 1, masks((60, 80)))


def test_the_gui_thread_never_predicts(bench) -> None:
    import threading

    bench.start()
    bench.positive.add([30, 40])
    bench.settled(1)
    assert bench.segmenter.threads
    assert threading.get_ident() not in bench.segmenter.threads


def test_the_image_removed_while_a_prediction_runs(bench, errors) -> None:
    image = bench.start()
    bench.positive.add([30, 40])
    bench.settled(1)
    labels, before = bench.labels, bench.labels.data.copy()
    bench.segmenter.gate.clear()
    bench.positive.add([60, 80])
    bench.until(lambda: len(bench.segmenter.runs) == 2)
    bench.viewer.layers.remove(image)
    assert bench.controller.annotation is None
    assert "image was removed" in bench.controller.status
    bench.segmenter.gate.set()
    other = bench.start()  # the thread is free again
    assert other in bench.viewer.layers
    np.testing.assert_array_equal(labels.data, before)
    assert errors == []


@pytest.mark.parametrize("first", ["positive", "labels", "image"])
def test_the_status_says_what_is_left_of_removed_layers(bench, first) -> None:
    image = bench.start()
    bench.positive.add([30, 40])
    bench.settled(1)
    labels, layers = bench.labels, bench.viewer.layers
    layers.remove(image if first == "image" else getattr(bench, first))
    said = bench.controller.status
    assert "was removed" in said
    assert ("Masks are kept" in said) == (first == "positive")
    for layer in [layer for layer in layers if layer not in (image, labels)]:
        layers.remove(layer)
    assert bench.controller.status == said  # clicks are none of it
    if first != "labels":
        layers.remove(labels)
    if first == "positive":
        assert bench.controller.status.startswith("The labels layer was removed.")
    if first != "image":
        layers.remove(image)
    assert not layers
    assert bench.controller.status == ""


def test_layers_removed_by_the_user(bench) -> None:
    image = bench.start()
    for role in ("positive", "negative", "labels"):
        bench.positive.add([30, 40])
        bench.settled(1)
        labels = bench.labels
        bench.viewer.layers.remove(getattr(bench, role))
        assert bench.controller.annotation is None
        assert "removed" in bench.controller.status
        assert np.count_nonzero(labels.data)  # the mask is kept
        assert bench.controller.start(image)
        bench.until(lambda: bench.controller.session is not None)
    assert len(bench.viewer.layers) == 4


def test_labels_replaced_by_another_shape(bench) -> None:
    bench.start()
    bench.positive.add([30, 40])
    bench.settled(1)
    bench.labels.data = np.zeros((5, 5), np.int32)
    assert bench.controller.annotation is None
    assert "same shape and place" in bench.controller.status


def test_labels_of_a_wrong_shape_leave_everything_as_it_was(bench, errors) -> None:
    image = bench.start()
    annotation = bench.controller.annotation
    wrong = bench.viewer.add_labels(np.zeros((9, 9), np.int32), name="cells")
    assert not bench.controller.start(image, wrong)
    assert bench.controller.annotation is annotation
    assert len(errors) == 1
    assert "'cells' has the shape (9, 9)" in errors[0]


def test_existing_labels_are_protected_and_continued(bench) -> None:
    data = np.zeros((80, 100), np.int32)
    data[25:35, 40:50] = 17
    labels = bench.viewer.add_labels(data.copy())
    image = bench.viewer.add_image(np.zeros((80, 100), np.uint8))
    assert bench.controller.start(image, labels)
    bench.positive.add([30, 40])
    bench.settled(1)
    np.testing.assert_array_equal(labels.data == 17, data == 17)
    np.testing.assert_array_equal(labels.data == 18, masks((30, 40)) & (data == 0))


def test_labels_edited_by_hand_meanwhile_are_kept(bench) -> None:
    bench.start()
    bench.positive.add([30, 40])
    bench.settled(1)
    rows, cols = np.nonzero(masks((30, 60)))
    bench.labels.data_setitem((rows, cols), 9)
    bench.positive.add([30, 52])
    bench.settled(2)
    bench.controller.command("accept")
    np.testing.assert_array_equal(bench.labels.data == 9, masks((30, 60)))
    bench.positive.add([70, 90])
    bench.settled(1)
    assert bench.labels.data[70, 90] == 10


def test_stopping_keeps_the_running_mask(bench) -> None:
    bench.start()
    bench.positive.add([30, 40])
    bench.settled(1)
    labels, points = bench.labels, bench.positive
    bench.controller.stop("enough")
    np.testing.assert_array_equal(labels.data == 1, masks((30, 40)))
    assert len(points.data) == 0
    assert bench.controller.status == "enough"
    points.add([60, 80])  # a plain layer again
    assert not (labels.data == 2).any()


def test_another_image_can_follow(bench) -> None:
    first = bench.start(name="first")
    bench.positive.add([30, 40])
    bench.settled(1)
    labels = bench.labels
    second = bench.start(name="second")
    assert bench.labels != labels
    bench.positive.add([60, 80])
    bench.settled(1)
    np.testing.assert_array_equal(labels.data == 1, masks((30, 40)))
    assert bench.controller.start(first)
    assert bench.labels == labels
    assert second in bench.viewer.layers


def test_another_model_replays_the_clicks(bench) -> None:
    bench.start()
    bench.positive.add([30, 40])
    bench.settled(1)
    bench.controller.command("accept")
    bench.positive.add([60, 80])
    bench.settled(1)
    bench.controller.model = "other"
    bench.until(lambda: bench.controller.session is not None)
    bench.settled(1)
    np.testing.assert_array_equal(bench.labels.data == 1, masks((30, 40)))
    np.testing.assert_array_equal(bench.labels.data == 2, masks((60, 80)))


def test_close_while_busy(bench) -> None:
    bench.start()
    bench.segmenter.gate.clear()
    bench.positive.add([30, 40])
    bench.until(lambda: bench.segmenter.runs)
    labels = bench.labels
    bench.segmenter.gate.set()
    assert bench.controller.worker.alive
    bench.controller.stop()
    assert not labels.data.any()


def test_without_an_annotation_commands_do_nothing(bench) -> None:
    for name in ("accept", "undo", "redo", "clear"):
        bench.controller.command(name)
    bench.controller.ready()
    bench.controller.travel_in_labels("undo")
    assert bench.controller.session is None
    assert isinstance(bench.viewer, ViewerModel)


def test_labels_without_a_free_id_say_so(bench, errors) -> None:
    data = np.zeros((80, 100), np.uint8)
    data[0, 0] = 255
    labels = bench.viewer.add_labels(data.copy(), name="full")
    image = bench.viewer.add_image(np.zeros((80, 100), np.uint8))
    assert not bench.controller.start(image, labels)
    assert len(errors) == 1
    assert "'full' has no id left: uint8 holds ids up to 255" in errors[0]
    labels.data = np.where(data == 255, 254, data).astype(np.uint8)
    assert bench.controller.start(image, labels)
    bench.positive.add([30, 40])
    bench.settled(1)
    bench.controller.command("accept")
    bench.positive.add([60, 80])
    bench.until(lambda: "no id left" in bench.controller.status)
    np.testing.assert_array_equal(labels.data == 255, masks((30, 40)))
    assert labels.data[60, 80] == 0
    assert not bench.current.busy
    labels.data = labels.data.astype(np.int32)
    bench.positive.add([60, 70])
    bench.settled(2)
    assert (labels.data == 256).any()


def test_a_mask_undone_in_the_labels_is_not_accepted(bench) -> None:
    bench.start()
    bench.positive.add([30, 40])
    bench.settled(1)
    bench.controller.annotation.enter_plane()  # ends the undo step
    bench.labels.undo()
    assert not bench.labels.data.any()
    bench.controller.command("accept")
    assert "no mask to accept" in bench.controller.status
    assert not bench.controller.session.objects
    bench.positive.add([30, 44])
    bench.settled(2)
    np.testing.assert_array_equal(bench.labels.data == 1, masks((30, 40), (30, 44)))


def test_new_pixels_of_the_image_are_used(bench) -> None:
    image = bench.start()
    bench.positive.add([30, 40])
    bench.settled(1)
    image.data = np.full((80, 100), 9, np.uint8)
    bench.until(lambda: bench.controller.session is not None)
    bench.settled(1)
    assert bench.segmenter.runs[-1].prepared.planes[0][0, 0] == 9
    image.data = np.zeros((50, 60), np.uint8)
    assert bench.controller.annotation is None
    assert "no longer have the same shape" in bench.controller.status


def test_an_image_that_is_moved_ends_the_annotation(bench) -> None:
    image = bench.start()
    bench.positive.add([30, 40])
    bench.settled(1)
    labels = bench.labels
    image.translate = (5, 0)
    bench.until(lambda: bench.controller.annotation is None)
    assert "same shape and place" in bench.controller.status
    assert "Object 1 was accepted" in bench.controller.status
    np.testing.assert_array_equal(labels.data == 1, masks((30, 40)))
    assert bench.controller.start(image)
    assert bench.labels != labels


@pytest.mark.parametrize("moved", ["image", "labels"])
def test_an_object_being_clicked_keeps_its_clicks_when_layers_are_moved(
    bench, moved
) -> None:
    image = bench.start()
    bench.positive.add([30, 40])
    bench.settled(1)
    bench.positive.add([30, 44])
    bench.settled(2)
    labels, drawn = bench.labels, bench.labels.data.copy()
    made = []
    accepted = bench.controller.annotation.events.accepted
    accepted.connect(lambda plane, _: made.extend(plane.session.objects))
    layer = image if moved == "image" else labels
    layer.affine = np.array([[1, 0, 7], [0, 1, -3], [0, 0, 1.0]])
    bench.until(lambda: bench.controller.annotation is None)
    np.testing.assert_array_equal(labels.data, drawn)
    (done,) = made
    assert [click.pixel for click in done.clicks] == [(30, 40), (30, 44)]
    layer.affine = np.eye(3)
    assert bench.controller.start(image, labels)
    bench.until(lambda: bench.controller.session is not None)
    bench.controller.command("undo")
    assert not labels.data.any()
    bench.controller.command("redo")
    np.testing.assert_array_equal(labels.data, drawn)


def test_points_layers_without_points_are_laid_on_an_image_that_was_moved(
    bench,
) -> None:
    image = bench.start()
    points = bench.positive, bench.controller.annotation.layers.negative
    count = len(bench.viewer.layers)
    image.translate = (5, 0)
    bench.until(lambda: bench.controller.annotation is None)
    assert bench.controller.start(image)
    assert (bench.positive, bench.controller.annotation.layers.negative) == points
    assert len(bench.viewer.layers) == count + 1  # labels that lie on it
    bench.positive.add([30, 40])
    bench.settled(1)
    assert [click.pixel for click in bench.controller.session.clicks] == [(30, 40)]


def test_two_bindings_do_not_share_an_image(bench, errors) -> None:
    image = bench.start()
    other = Controller(bench.viewer, lambda name: bench.segmenter, "fake")
    assert not other.start(image)
    assert errors == ["Another GPCIS widget annotates this image: press Stop there."]
    bench.controller.stop()
    assert other.start(image)
    other.close()


def test_it_is_told_when_clicks_go_elsewhere(bench) -> None:
    image = bench.start()
    seen = []
    bench.controller.annotation.events.clicking_changed.connect(seen.append)
    bench.viewer.layers.selection.active = image
    assert seen[-1] is False
    bench.controller.ready()
    assert seen[-1] is True
    bench.positive.mode = "select"
    assert seen[-1] is False
    assert bench.controller.status == "Ready: click on an object."


def test_news_come_from_what_has_changed_and_statuses_only_once(bench) -> None:
    """A message is no news of the object, and a click none of the plane."""
    bench.start(np.zeros((2, 80, 100), np.uint8))
    statuses, planes, objects = [], [], []
    controller = bench.controller
    controller.status_changed.connect(statuses.append)
    controller.plane_changed.connect(lambda: planes.append(bench.current.plane))
    controller.current_changed.connect(lambda: objects.append(bench.current.clicks))
    bench.positive.add([0, 30, 40])
    bench.settled(1)
    assert objects[-1] == (Click(30, 40),)
    assert planes == []
    assert "computing" in statuses[0]
    assert all(one != other for one, other in pairwise(statuses))
    known = len(objects)
    controller.annotation.say("Look here.")
    controller.annotation.say("Look here.")
    assert statuses[-1] == "Look here."
    assert statuses.count("Look here.") == 1
    controller.ready()
    assert len(objects) == known
    bench.viewer.dims.set_current_step(0, 1)
    bench.until(lambda: len(planes) == 2)  # it is displayed, and then opened
    assert {plane.steps[0] for plane in planes} == {1}
    statuses.clear()
    controller.stop("Done.")
    assert statuses == ["Done."]


def test_an_image_of_nan_says_so_until_it_is_mended(bench, errors) -> None:
    data = np.full((80, 100), np.nan, np.float32)
    image = bench.viewer.add_image(data, contrast_limits=(0, 1))
    assert bench.controller.start(image)
    bench.until(lambda: errors)
    assert "all values in it are NaN" in bench.controller.status
    bench.positive.add([50, 40])
    bench.until(lambda: len(errors) == 2)
    bench.controller.command("accept")
    assert "all values in it are NaN" in bench.controller.status
    bench.controller.command("clear")
    image.data = np.nan_to_num(data)
    bench.until(lambda: bench.controller.session is not None)
    bench.positive.add([30, 40])
    bench.settled(1)
    assert len(errors) == 2
