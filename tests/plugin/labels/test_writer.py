"""The painter: the running object is drawn live and nothing else is harmed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_gpcis.plugin.labels import writer as writer_module
from napari_gpcis.plugin.labels.multi_plane import take_back, write
from napari_gpcis.plugin.labels.writer import EMPTY, Ids, LabelsWriter, LiveMask
from napari_gpcis.plugin.viewer.planes import Plane, displayed_plane

if TYPE_CHECKING:
    from qtpy.QtWidgets import QApplication

PLANE = Plane((0, 1), (0, 0))
NOTHING = np.zeros((0, 0), dtype=bool)


def full(rows: int, cols: int) -> np.ndarray:
    return np.ones((rows, cols), dtype=bool)


def assert_drawn(labels: Labels) -> None:
    """What napari has made ready to be drawn is what a whole refresh would draw."""
    shown = labels._slice.image.view.copy()
    labels.refresh()
    np.testing.assert_array_equal(labels._slice.image.view, shown)


@pytest.fixture
def labels() -> Labels:
    data = np.zeros((20, 30), dtype=np.int32)
    data[0:5, 0:5] = 7
    return Labels(data)


def test_a_mask_takes_free_pixels_only(labels: Labels) -> None:
    writer, live = LabelsWriter(labels), LiveMask()
    writer.paint(PLANE, live, (3, 3, 9, 9), full(6, 6))
    assert live.label == 8
    assert np.count_nonzero(labels.data == 8) == 36 - 4
    assert np.count_nonzero(labels.data == 7) == 25


def test_a_new_mask_replaces_the_old_one(labels: Labels) -> None:
    writer, live = LabelsWriter(labels), LiveMask()
    writer.paint(PLANE, live, (3, 3, 9, 9), full(6, 6))
    writer.paint(PLANE, live, (8, 8, 12, 20), full(4, 12))
    wanted = np.zeros((20, 30), dtype=bool)
    wanted[8:12, 8:20] = True
    np.testing.assert_array_equal(labels.data == 8, wanted)
    writer.paint(PLANE, live, EMPTY, NOTHING)
    assert set(np.unique(labels.data)) == {0, 7}


def test_what_was_drawn_over_by_hand_stays(labels: Labels) -> None:
    writer, live = LabelsWriter(labels), LiveMask()
    writer.paint(PLANE, live, (8, 8, 12, 12), full(4, 4))
    labels.data_setitem((np.array([9]), np.array([9])), 3)
    writer.paint(PLANE, live, EMPTY, NOTHING)
    assert np.count_nonzero(labels.data == 8) == 0
    assert labels.data[9, 9] == 3


def test_ids_drawn_by_hand_are_not_used_again(labels: Labels) -> None:
    writer = LabelsWriter(labels)
    assert writer.new_label(PLANE) == 8
    labels.data_setitem((np.array([19]), np.array([29])), 40)
    assert writer.new_label(PLANE) == 41
    assert writer.new_label(PLANE) == 42


def test_one_object_is_one_undo_step(labels: Labels) -> None:
    writer, first, second = LabelsWriter(labels), LiveMask(), LiveMask()
    writer.paint(PLANE, first, (8, 8, 12, 12), full(4, 4))
    writer.paint(PLANE, first, (8, 8, 14, 14), full(6, 6))
    writer.end_step()
    writer.paint(PLANE, second, (15, 15, 17, 17), full(2, 2))
    writer.paint(PLANE, second, (15, 15, 18, 18), full(3, 3))
    writer.end_step()
    labels.undo()
    assert set(np.unique(labels.data)) == {0, 7, 8}
    assert np.count_nonzero(labels.data == 8) == 36
    labels.undo()
    assert set(np.unique(labels.data)) == {0, 7}
    labels.redo()
    assert np.count_nonzero(labels.data == 8) == 36


def test_painting_by_hand_in_between_keeps_its_own_step(labels: Labels) -> None:
    writer, live = LabelsWriter(labels), LiveMask()
    writer.paint(PLANE, live, (8, 8, 12, 12), full(4, 4))
    assert writer.drawing
    with labels.block_history():
        labels.data_setitem((np.array([19]), np.array([29])), 5)
    assert not writer.drawing
    writer.paint(PLANE, live, (8, 8, 14, 14), full(6, 6))
    writer.end_step()
    labels.data_setitem((np.array([18]), np.array([29])), 6)
    labels.undo()
    assert labels.data[18, 29] == 0
    assert np.count_nonzero(labels.data == 8) == 36
    labels.undo()
    assert np.count_nonzero(labels.data == 8) == 16
    assert labels.data[19, 29] == 5


def test_only_the_plane_of_a_stack_is_written() -> None:
    labels = Labels(np.zeros((3, 20, 30), dtype=np.int32))
    writer, live = LabelsWriter(labels), LiveMask()
    writer.paint(Plane((0, 2), (0, 11, 0)), live, (1, 4, 3, 6), full(2, 2))
    np.testing.assert_array_equal(
        np.argwhere(labels.data), [[1, 11, 4], [1, 11, 5], [2, 11, 4], [2, 11, 5]]
    )


def test_others_leaves_the_running_object_out(labels: Labels) -> None:
    writer, live = LabelsWriter(labels), LiveMask()
    writer.paint(PLANE, live, (3, 3, 9, 9), full(6, 6))
    others = writer.others(PLANE, live, (0, 0, 20, 30))
    assert set(np.unique(others)) == {0, 7}
    assert np.count_nonzero(others == 7) == 25
    assert np.count_nonzero(labels.data == 8) == 32
    np.testing.assert_array_equal(
        writer.others(PLANE, live, (4, 2, 7, 8)), others[4:7, 2:8]
    )
    np.testing.assert_array_equal(
        writer.others(PLANE, live, (15, 15, 18, 20)), np.zeros((3, 5))
    )


def test_find_makes_a_finished_object_the_running_one(labels: Labels) -> None:
    writer = LabelsWriter(labels)
    found = writer.find(PLANE, 7)
    assert found.box == (0, 0, 5, 5)
    assert found.mask.all()
    assert writer.find(PLANE, 99) is None


def test_a_corrected_object_is_given_back_as_it_was(labels: Labels) -> None:
    before = labels.data.copy()
    writer = LabelsWriter(labels)
    live = writer.find(PLANE, 7)
    writer.paint(PLANE, live, (2, 2, 8, 9), full(6, 7))
    wanted = np.zeros((20, 30), dtype=bool)
    wanted[2:8, 2:9] = True
    np.testing.assert_array_equal(labels.data == 7, wanted)
    np.testing.assert_array_equal(writer.others(PLANE, live, (0, 0, 20, 30)), before)
    writer.take_off(PLANE, live)
    np.testing.assert_array_equal(labels.data, before)


def test_covering_takes_other_objects_and_gives_them_back(labels: Labels) -> None:
    before = labels.data.copy()
    writer, live = LabelsWriter(labels), LiveMask(overwrite=True)
    writer.paint(PLANE, live, (3, 3, 9, 9), full(6, 6))
    assert np.count_nonzero(labels.data == 8) == 36
    assert np.count_nonzero(labels.data == 7) == 25 - 4
    writer.paint(PLANE, live, (4, 3, 9, 9), full(5, 6))
    np.testing.assert_array_equal(labels.data[3, 3:5], [7, 7])
    writer.take_off(PLANE, live)
    np.testing.assert_array_equal(labels.data, before)


def test_cutting_takes_pixels_of_one_object_only(labels: Labels) -> None:
    labels.data[5:8, 0:5] = 9
    before = labels.data.copy()
    writer, live = LabelsWriter(labels), LiveMask(7, "cut")
    writer.paint(PLANE, live, (3, 3, 9, 9), full(6, 6))
    cut = np.zeros((20, 30), dtype=bool)
    cut[3:5, 3:5] = True
    np.testing.assert_array_equal(labels.data, np.where(cut, 0, before))
    assert writer.shows(PLANE, live)
    writer.paint(PLANE, live, (4, 4, 9, 9), full(5, 5))
    assert np.count_nonzero(labels.data == 7) == 24
    writer.take_off(PLANE, live)
    np.testing.assert_array_equal(labels.data, before)


def test_a_closed_painter_lets_go(labels: Labels) -> None:
    writer, live = LabelsWriter(labels), LiveMask()
    writer.paint(PLANE, live, (8, 8, 12, 12), full(4, 4))
    writer.close()
    labels.undo()
    assert set(np.unique(labels.data)) == {0, 7}


def test_very_many_pixels_are_written_without_the_layers_history(
    labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "MAX_STEP", 30)
    writer, live = LabelsWriter(labels), LiveMask()
    writer.paint(PLANE, live, (3, 3, 9, 9), full(6, 6))
    assert np.count_nonzero(labels.data == 8) == 36 - 4
    assert np.count_nonzero(labels.data == 7) == 25
    assert writer.drawing
    writer.paint(PLANE, live, EMPTY, NOTHING)
    assert set(np.unique(labels.data)) == {0, 7}
    writer.end_step()
    labels.undo()  # nothing of ours is there
    assert set(np.unique(labels.data)) == {0, 7}


@pytest.fixture
def press() -> SimpleNamespace:
    return SimpleNamespace(type="mouse_press", button=1)


def test_a_stroke_is_an_undo_step_of_its_own(
    labels: Labels, press: SimpleNamespace
) -> None:
    writer, live = LabelsWriter(labels), LiveMask()
    writer.paint(PLANE, live, (8, 8, 12, 12), full(4, 4))
    on_press = labels.mouse_drag_callbacks[0]
    on_press(labels, press)
    assert writer.drawing  # in pan mode nothing is painted
    labels.mode = "paint"
    assert labels.mouse_drag_callbacks[0] == on_press
    on_press(labels, press)
    assert not writer.drawing
    labels.paint((2, 20), 3)
    assert (labels.data == 3).any()
    labels.undo()
    assert not (labels.data == 3).any()
    assert np.count_nonzero(labels.data == 8) == 16
    assert writer.shows(PLANE, live)
    writer.close()
    assert on_press not in labels.mouse_drag_callbacks


def test_a_mask_that_comes_during_a_stroke_is_no_part_of_it(
    labels: Labels, press: SimpleNamespace
) -> None:
    writer, live = LabelsWriter(labels), LiveMask()
    labels.mode = "paint"
    stroke = labels.mouse_drag_callbacks[0](labels, press)
    next(stroke)
    with labels.block_history():  # as napari does from press to release
        labels.paint((2, 20), 3)
        writer.paint(PLANE, live, (8, 8, 12, 12), full(4, 4))
        with pytest.raises(StopIteration):
            next(stroke)
    writer.paint(PLANE, live, (8, 8, 12, 14), full(4, 6))
    writer.end_step()
    labels.paint((17, 20), 4)
    labels.undo()
    assert not (labels.data == 4).any()
    assert np.count_nonzero(labels.data == 8) == 24
    labels.undo()
    assert np.count_nonzero(labels.data == 8) == 16
    labels.undo()
    assert not (labels.data == 3).any()
    assert np.count_nonzero(labels.data == 8) == 16


def test_ids_written_without_a_word_are_not_used_again(labels: Labels) -> None:
    writer = LabelsWriter(labels)
    assert writer.new_label(PLANE) == 8
    labels.data[10, 10] = 30
    labels.refresh()
    assert writer.new_label(PLANE) == 31
    labels.data = np.full((20, 30), 50, dtype=np.int32)
    assert writer.new_label(PLANE) == 51


def test_an_id_erased_by_hand_is_not_used_again(labels: Labels) -> None:
    writer = LabelsWriter(labels)
    labels.data[10, 10] = 30
    labels.data_setitem((np.array([10]), np.array([10])), 0)
    assert writer.new_label(PLANE) == 31
    labels.undo()
    assert (labels.data == 31).sum() == 0


@pytest.mark.parametrize("order", [(10, 9, 8), (9, 10, 8), (8, 9, 10), (9, 8, 10)])
def test_released_ids_leave_no_gap_and_can_be_reclaimed(
    labels: Labels, order: tuple[int, ...]
) -> None:
    plane = Plane((0, 1), (0, 0))
    ids = Ids(labels)
    assert [ids.new(plane) for _ in range(3)] == [8, 9, 10]
    for label in order:
        ids.release(label)
    assert all(ids.reclaim(label) for label in reversed(order)), "redo of all"
    assert not ids.reclaim(9), "it is in use"
    assert ids.new(plane) == 11
    for label in (*order, 11):
        ids.release(label)
    assert [ids.new(plane) for _ in range(2)] == [8, 9]
    assert not ids.reclaim(8), "another object has it by now"
    assert ids.reclaim(10)
    ids.release(8)
    assert ids.new(plane) == 11, "10 is in use"


def test_many_pixels_lost_and_few_gained_are_drawn(
    labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "MAX_STEP", 30)
    writer, live = LabelsWriter(labels), LiveMask()
    writer.paint(PLANE, live, (8, 8, 15, 15), full(7, 7))
    writer.paint(PLANE, live, (15, 8, 16, 15), full(1, 7))
    assert_drawn(labels)
    assert np.count_nonzero(labels.data == 8) == 7


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("how", ["add", "cut", "replace"])
def test_what_was_changed_can_be_taken_up_again(
    labels: Labels, how: str, overwrite: bool
) -> None:
    labels.data[5:8, 0:5] = 9
    before = labels.data.copy()
    writer = LabelsWriter(labels)
    live = writer.find(PLANE, 7) if how == "replace" else LiveMask(7, how)
    live.overwrite = overwrite
    writer.paint(PLANE, live, (3, 3, 9, 9), full(6, 6))
    after, change = labels.data.copy(), writer.change(PLANE, live)
    place = np.s_[change.box[0] : change.box[2], change.box[1] : change.box[3]]
    np.testing.assert_array_equal(
        np.argwhere(before != after),
        np.argwhere(change.where) + change.box[:2],
    )
    region = after[place].copy()
    stands = change.stands(region)
    region[stands] = change.before_at(stands)
    np.testing.assert_array_equal(region, before[place])
    again = writer.reopened(PLANE, 7, how, change)
    writer.take_off(PLANE, again)
    np.testing.assert_array_equal(labels.data, before)


def test_a_large_mask_flows_in_and_is_finished_when_asked(
    labels: Labels, qapp: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "PORTION", 60)
    monkeypatch.setattr(writer_module, "MAX_STEP", 100)
    writer, live = LabelsWriter(labels), LiveMask()
    writer.paint(PLANE, live, (0, 0, 20, 30), full(20, 30))
    assert live.label == 8
    for _ in range(15):
        assert (labels.data == 8).sum() < 575
        qapp.processEvents()
    for _ in range(15):
        qapp.processEvents()
    assert (labels.data == 8).sum() == 575
    writer.paint(PLANE, live, (0, 0, 10, 30), full(10, 30))
    writer.paint(PLANE, live, (5, 0, 20, 30), full(15, 30))
    assert writer.change(PLANE, live).where.sum() == 450
    assert (labels.data == 8).sum() == 450
    writer.take_off(PLANE, live)
    writer.close()
    assert set(np.unique(labels.data)) == {0, 7}


@pytest.mark.parametrize("contour", [0, 2])
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 2, 0), (2, 0, 1)])
def test_a_large_mask_is_drawn_in_parts(
    order: tuple[int, ...], contour: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "PORTION", 60)
    monkeypatch.setattr(writer_module, "MAX_STEP", 30)
    viewer = ViewerModel()
    labels = viewer.add_labels(np.zeros((12, 20, 30), dtype=np.int32))
    labels.contour = contour
    viewer.dims.order = order
    viewer.dims.set_current_step(order[0], 4)
    refreshed: list[int] = []
    labels.events.set_data.connect(lambda: refreshed.append(1))
    plane = displayed_plane(viewer, labels)
    height, width = plane.shape(labels.data.shape)
    writer, live = LabelsWriter(labels), LiveMask()
    for box in ((0, 0, height, width), (3, 2, height, width - 4), (5, 5, 8, 12)):
        mask = full(box[2] - box[0], box[3] - box[1])
        writer.paint(plane, live, box, mask)
        writer.flush()
        assert not refreshed
        assert (plane.take(labels.data) == live.label).sum() == mask.sum()
        assert_drawn(labels)
        refreshed.clear()
    elsewhere = Plane(plane.axes, tuple(step and 5 for step in plane.steps))
    writer.paint(elsewhere, LiveMask(), (0, 0, height, width), full(height, width))
    writer.flush()
    assert refreshed
    assert_drawn(labels)


def test_a_napari_that_draws_no_parts_is_refreshed(
    labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "MAX_STEP", 30)
    monkeypatch.delattr(Labels, "_accumulate_updated_slice")
    writer, live = LabelsWriter(labels), LiveMask()
    writer.paint(PLANE, live, (8, 8, 15, 15), full(7, 7))
    assert_drawn(labels)
    assert np.count_nonzero(labels.data == 8) == 49


def test_a_hidden_layer_on_another_plane_is_written() -> None:
    viewer = ViewerModel()
    labels = viewer.add_labels(np.zeros((3, 20, 30), dtype=np.int32))
    writer, live = LabelsWriter(labels), LiveMask()
    labels.visible = False
    viewer.dims.set_current_step(0, 0)
    writer.paint(Plane((1, 2), (0, 0, 0)), live, (8, 8, 12, 12), full(4, 4))
    assert np.count_nonzero(labels.data[0]) == 16
    labels.visible = True
    assert not writer.writing
    writer.paint(Plane((1, 2), (0, 0, 0)), live, (8, 8, 12, 13), full(4, 5))
    writer.end_step()
    labels.undo()
    assert np.count_nonzero(labels.data[0]) == 16


def test_a_hidden_layer_takes_masks_of_many_planes() -> None:
    viewer = ViewerModel()
    labels = viewer.add_labels(np.zeros((3, 20, 30), dtype=np.int32))
    viewer.dims.set_current_step(0, 2)
    labels.visible = False
    viewer.dims.set_current_step(0, 0)
    planes = [Plane((1, 2), (step, 0, 0)) for step in range(3)]
    parts = [(plane, (8, 8, 12, 12), full(4, 4)) for plane in planes]
    changes = write(labels, parts, 5, overwrite=False)
    assert np.count_nonzero(labels.data == 5) == 48
    take_back(labels, list(zip(planes, changes, strict=True)))
    assert not labels.data.any()
