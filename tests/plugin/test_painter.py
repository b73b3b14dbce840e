"""The painter: the running object is drawn live and nothing else is harmed."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels

from napari_gpcis.plugin import painter as painter_module
from napari_gpcis.plugin.painter import EMPTY, Painted, Painter
from napari_gpcis.plugin.planes import Plane

PLANE = Plane((0, 1), (0, 0))
NOTHING = np.zeros((0, 0), dtype=bool)


def full(rows: int, cols: int) -> np.ndarray:
    return np.ones((rows, cols), dtype=bool)


@pytest.fixture
def labels() -> Labels:
    data = np.zeros((20, 30), dtype=np.int32)
    data[0:5, 0:5] = 7
    return Labels(data)


def test_a_mask_takes_free_pixels_only(labels: Labels) -> None:
    painter, held = Painter(labels), Painted()
    painter.paint(PLANE, held, (3, 3, 9, 9), full(6, 6))
    assert held.label == 8
    assert np.count_nonzero(labels.data == 8) == 36 - 4
    assert np.count_nonzero(labels.data == 7) == 25


def test_a_new_mask_replaces_the_old_one(labels: Labels) -> None:
    painter, held = Painter(labels), Painted()
    painter.paint(PLANE, held, (3, 3, 9, 9), full(6, 6))
    painter.paint(PLANE, held, (8, 8, 12, 20), full(4, 12))
    wanted = np.zeros((20, 30), dtype=bool)
    wanted[8:12, 8:20] = True
    np.testing.assert_array_equal(labels.data == 8, wanted)
    painter.paint(PLANE, held, EMPTY, NOTHING)
    assert set(np.unique(labels.data)) == {0, 7}


def test_what_was_drawn_over_by_hand_stays(labels: Labels) -> None:
    painter, held = Painter(labels), Painted()
    painter.paint(PLANE, held, (8, 8, 12, 12), full(4, 4))
    labels.data_setitem((np.array([9]), np.array([9])), 3)
    painter.paint(PLANE, held, EMPTY, NOTHING)
    assert np.count_nonzero(labels.data == 8) == 0
    assert labels.data[9, 9] == 3


def test_ids_drawn_by_hand_are_not_used_again(labels: Labels) -> None:
    painter = Painter(labels)
    assert painter.new_label() == 8
    labels.data_setitem((np.array([19]), np.array([29])), 40)
    assert painter.new_label() == 41
    assert painter.new_label() == 42


def test_one_object_is_one_undo_step(labels: Labels) -> None:
    painter, first, second = Painter(labels), Painted(), Painted()
    painter.paint(PLANE, first, (8, 8, 12, 12), full(4, 4))
    painter.paint(PLANE, first, (8, 8, 14, 14), full(6, 6))
    painter.end_step()
    painter.paint(PLANE, second, (15, 15, 17, 17), full(2, 2))
    painter.paint(PLANE, second, (15, 15, 18, 18), full(3, 3))
    painter.end_step()
    labels.undo()
    assert set(np.unique(labels.data)) == {0, 7, 8}
    assert np.count_nonzero(labels.data == 8) == 36
    labels.undo()
    assert set(np.unique(labels.data)) == {0, 7}
    labels.redo()
    assert np.count_nonzero(labels.data == 8) == 36


def test_painting_by_hand_in_between_keeps_its_own_step(labels: Labels) -> None:
    painter, held = Painter(labels), Painted()
    painter.paint(PLANE, held, (8, 8, 12, 12), full(4, 4))
    assert painter.drawing
    with labels.block_history():
        labels.data_setitem((np.array([19]), np.array([29])), 5)
    assert not painter.drawing
    painter.paint(PLANE, held, (8, 8, 14, 14), full(6, 6))
    painter.end_step()
    labels.data_setitem((np.array([18]), np.array([29])), 6)
    labels.undo()
    assert labels.data[18, 29] == 0
    assert np.count_nonzero(labels.data == 8) == 36
    labels.undo()
    assert np.count_nonzero(labels.data == 8) == 16
    assert labels.data[19, 29] == 5


def test_only_the_plane_of_a_stack_is_written() -> None:
    labels = Labels(np.zeros((3, 20, 30), dtype=np.int32))
    painter, held = Painter(labels), Painted()
    painter.paint(Plane((0, 2), (0, 11, 0)), held, (1, 4, 3, 6), full(2, 2))
    np.testing.assert_array_equal(
        np.argwhere(labels.data), [[1, 11, 4], [1, 11, 5], [2, 11, 4], [2, 11, 5]]
    )


def test_others_leaves_the_running_object_out(labels: Labels) -> None:
    painter, held = Painter(labels), Painted()
    painter.paint(PLANE, held, (3, 3, 9, 9), full(6, 6))
    others = painter.others(PLANE, held, (0, 0, 20, 30))
    assert set(np.unique(others)) == {0, 7}
    assert np.count_nonzero(others == 7) == 25
    assert np.count_nonzero(labels.data == 8) == 32
    np.testing.assert_array_equal(
        painter.others(PLANE, held, (4, 2, 7, 8)), others[4:7, 2:8]
    )
    np.testing.assert_array_equal(
        painter.others(PLANE, held, (15, 15, 18, 20)), np.zeros((3, 5))
    )


def test_find_makes_a_finished_object_the_running_one(labels: Labels) -> None:
    painter = Painter(labels)
    found = painter.find(PLANE, 7)
    assert found.box == (0, 0, 5, 5)
    assert found.mask.all()
    assert painter.find(PLANE, 7, (2, 1, 20, 30)).box == (2, 1, 5, 5)
    assert painter.find(PLANE, 99) is None


def test_a_corrected_object_is_given_back_as_it_was(labels: Labels) -> None:
    before = labels.data.copy()
    painter = Painter(labels)
    held = painter.find(PLANE, 7)
    painter.paint(PLANE, held, (2, 2, 8, 9), full(6, 7))
    wanted = np.zeros((20, 30), dtype=bool)
    wanted[2:8, 2:9] = True
    np.testing.assert_array_equal(labels.data == 7, wanted)
    np.testing.assert_array_equal(painter.others(PLANE, held, (0, 0, 20, 30)), before)
    painter.give_back(PLANE, held)
    np.testing.assert_array_equal(labels.data, before)


def test_covering_takes_other_objects_and_gives_them_back(labels: Labels) -> None:
    before = labels.data.copy()
    painter, held = Painter(labels), Painted(cover=True)
    painter.paint(PLANE, held, (3, 3, 9, 9), full(6, 6))
    assert np.count_nonzero(labels.data == 8) == 36
    assert np.count_nonzero(labels.data == 7) == 25 - 4
    painter.paint(PLANE, held, (4, 3, 9, 9), full(5, 6))
    np.testing.assert_array_equal(labels.data[3, 3:5], [7, 7])
    painter.give_back(PLANE, held)
    np.testing.assert_array_equal(labels.data, before)


def test_cutting_takes_pixels_of_one_object_only(labels: Labels) -> None:
    labels.data[5:8, 0:5] = 9
    before = labels.data.copy()
    painter, held = Painter(labels), Painted(7, "cut")
    painter.paint(PLANE, held, (3, 3, 9, 9), full(6, 6))
    cut = np.zeros((20, 30), dtype=bool)
    cut[3:5, 3:5] = True
    np.testing.assert_array_equal(labels.data, np.where(cut, 0, before))
    assert painter.shows(PLANE, held)
    painter.paint(PLANE, held, (4, 4, 9, 9), full(5, 5))
    assert np.count_nonzero(labels.data == 7) == 24
    painter.give_back(PLANE, held)
    np.testing.assert_array_equal(labels.data, before)


def test_a_closed_painter_lets_go(labels: Labels) -> None:
    painter, held = Painter(labels), Painted()
    painter.paint(PLANE, held, (8, 8, 12, 12), full(4, 4))
    painter.close()
    labels.undo()
    assert set(np.unique(labels.data)) == {0, 7}


def test_very_many_pixels_are_written_without_the_layers_history(
    labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painter_module, "MAX_STEP", 30)
    painter, held = Painter(labels), Painted()
    painter.paint(PLANE, held, (3, 3, 9, 9), full(6, 6))
    assert np.count_nonzero(labels.data == 8) == 36 - 4
    assert np.count_nonzero(labels.data == 7) == 25
    assert painter.drawing
    painter.paint(PLANE, held, EMPTY, NOTHING)
    assert set(np.unique(labels.data)) == {0, 7}
    painter.end_step()
    labels.undo()  # nothing of ours is there
    assert set(np.unique(labels.data)) == {0, 7}


def test_a_stroke_is_an_undo_step_of_its_own(labels: Labels) -> None:
    painter, held = Painter(labels), Painted()
    painter.paint(PLANE, held, (8, 8, 12, 12), full(4, 4))
    press = labels.mouse_drag_callbacks[0]
    press(labels, None)
    assert painter.drawing  # in pan mode nothing is painted
    labels.mode = "paint"
    assert labels.mouse_drag_callbacks[0] == press
    press(labels, None)
    assert not painter.drawing
    labels.paint((2, 20), 3)
    assert (labels.data == 3).any()
    labels.undo()
    assert not (labels.data == 3).any()
    assert np.count_nonzero(labels.data == 8) == 16
    assert painter.shows(PLANE, held)
    painter.close()
    assert press not in labels.mouse_drag_callbacks
