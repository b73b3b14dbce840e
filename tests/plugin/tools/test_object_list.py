"""The index of objects: its planes, and what it says of whatever is done and undone."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import Qt

from napari_gpcis.plugin.dock.panels.objects import ObjectsPanel
from napari_gpcis.plugin.tools.objects.index import _Measured, planes_of
from napari_gpcis.plugin.viewer.planes import Plane

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
ALT = Qt.KeyboardModifier.AltModifier
CONTROL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
KEY = Qt.Key


def panel_of(desk: Any) -> ObjectsPanel:
    return next(p for p in desk.widget.panels if isinstance(p, ObjectsPanel))


def finished(desk: Any) -> dict[tuple[int, int], int]:
    """Areas of the finished objects as exports have them, by plane and id."""
    data = np.array(desk.labels.data)
    for places, values in desk.controller.annotation.unfinished():
        data[places] = values
    planes = data if data.ndim == 3 else data[np.newaxis]
    return {
        (step, int(label)): int(area)
        for step, plane in enumerate(planes)
        for label, area in zip(*np.unique(plane, return_counts=True), strict=True)
        if label > 0
    }


def check(desk: Any) -> dict[tuple[int, int], int]:
    """The list and the features tell the areas of the finished objects."""
    panel, wanted = panel_of(desk), finished(desk)
    desk.until(lambda: not panel.index.busy)
    stack = desk.labels.ndim == 3
    for rows in (panel.index.objects(), panel.table.rows):
        areas = {
            (one.plane.steps[0] if stack else 0, one.label): one.entry.area
            for one in rows
        }
        assert areas == wanted
    largest: dict[int, int] = {}
    for (_, label), area in wanted.items():
        largest[label] = max(area, largest.get(label, 0))
    desk.until(lambda: _areas(desk.labels.features) == largest)
    return wanted


def _areas(features: Any) -> dict[int, int]:
    if "area" not in features:
        return {}
    return dict(zip(features["index"], features["area"], strict=True))


def click(desk: Any, point: tuple[int, ...], count: int, *how: Any) -> None:
    desk.robot.click(desk.image, point, *how)
    desk.settled(count)


def press(desk: Any, key: Any, count: int, *modifier: Any) -> None:
    desk.robot.press(key, *modifier)
    desk.settled(count)


def accept(desk: Any, *point: int) -> None:
    click(desk, point, 1)
    press(desk, KEY.Key_N, 0)


def test_planes_of_a_stack() -> None:
    planes = planes_of((2, 30, 3, 40), (1, 3))
    assert [plane.steps for plane in planes] == [
        (time, 0, depth, 0) for time in range(2) for depth in range(3)
    ]


def test_a_change_before_an_answer_is_looked_up_after_it(open_desk: Any) -> None:
    desk = open_desk()
    index, plane = panel_of(desk).index, desk.current.plane
    desk.until(lambda: not index.busy)
    desk.labels.data[5:9, 5:9] = 7
    index.look_up([plane])
    index._on_found(plane, _Measured({}, {}), 0.0)  # of what was there before
    desk.until(lambda: [found.label for found in index.objects()] == [7])


def test_a_correction_counts_from_its_accept_to_its_undo(open_desk: Any) -> None:
    desk = open_desk()
    accept(desk, 30, 40)
    before = check(desk)
    click(desk, (25, 35), 1, LEFT, ALT)
    click(desk, (40, 50), 2, RIGHT)
    assert np.count_nonzero(desk.labels.data) < before[0, 1]
    assert check(desk) == before, "it is not accepted yet"
    press(desk, KEY.Key_N, 0)
    after = check(desk)
    assert after[0, 1] == np.count_nonzero(desk.labels.data) < before[0, 1]
    for left in (2, 1, 0):
        press(desk, KEY.Key_U, left)
        assert check(desk) == before
    assert np.count_nonzero(desk.labels.data) == before[0, 1]
    for count, areas in ((1, before), (2, before), (0, after)):
        press(desk, KEY.Key_U, count, SHIFT)
        assert check(desk) == areas


def test_strokes_count_where_they_are_on_finished_objects(open_desk: Any) -> None:
    desk = open_desk()
    accept(desk, 30, 75)
    before = check(desk)
    click(desk, (30, 30), 1)
    labels = desk.labels
    desk.viewer.layers.selection.active = labels
    labels.brush_size, labels.mode = 6, "paint"
    labels.preserve_labels = False
    desk.robot.drag(desk.image, (30, 60), (30, 80))  # with the id of the new object
    assert np.count_nonzero(labels.data == 1) < before[0, 1]
    assert check(desk) == before, "what covers it is not accepted yet"
    press(desk, KEY.Key_Z, 1, CONTROL)
    assert check(desk) == before
    press(desk, KEY.Key_Z, 1, CONTROL | SHIFT)
    press(desk, KEY.Key_N, 0)
    covered = check(desk)
    assert covered[0, 1] < before[0, 1] < covered[0, 2]
    labels.selected_label = 1
    desk.viewer.layers.selection.active = labels
    desk.robot.drag(desk.image, (60, 60), (60, 80))
    drawn = check(desk)
    assert drawn[0, 1] > covered[0, 1]
    press(desk, KEY.Key_Z, 0, CONTROL)
    assert check(desk) == covered


def test_what_is_added_to_stays_in_the_list(open_desk: Any) -> None:
    desk = open_desk()
    accept(desk, 30, 40)
    before = check(desk)
    desk.labels.selected_label = 1
    desk.controller.writing.mode = "add"
    click(desk, (30, 75), 1)
    assert np.count_nonzero(desk.labels.data == 1) > before[0, 1]
    desk.labels.data[70:75, 5:9] = 9
    panel_of(desk).index.look_up([desk.current.plane])
    assert check(desk) == {**before, (0, 9): 20}
    press(desk, KEY.Key_N, 0)
    assert check(desk)[0, 1] > before[0, 1]


def test_objects_that_are_cleared_leave_nothing_behind(open_desk: Any) -> None:
    desk = open_desk()
    accept(desk, 30, 75)
    before = check(desk)
    click(desk, (30, 30), 1)
    desk.labels.data[70:75, 5:9] = 9
    index, plane = panel_of(desk).index, desk.current.plane
    index.look_up([plane])  # while an object is drawn
    before = check(desk)
    press(desk, KEY.Key_K, 0)
    assert check(desk) == before
    index._asked.add(plane)  # while a mask is drawn, its plane is being read
    desk.controller.annotation.events.predicted.emit(desk.current)
    assert plane in index._waiting


def test_what_is_done_on_other_planes_is_listed(open_desk: Any) -> None:
    desk = open_desk(np.zeros((3, 80, 100), np.uint8))
    annotation = desk.controller.annotation
    desk.viewer.dims.set_current_step(0, 0)
    desk.until(lambda: desk.current.plane.steps[0] == 0 and desk.current.session)
    accept(desk, 0, 30, 30)
    desk.robot.click(desk.image, (0, 30, 75))
    desk.current.synchronise()
    desk.current.accept()
    desk.viewer.dims.set_current_step(0, 1)
    annotation.enter_plane()  # perhaps before the mask is there
    first = annotation.known(Plane((1, 2), (0, 0, 0)))
    desk.until(lambda: not first.clicks)
    assert set(check(desk)) == {(0, 1), (0, 2)}
    labels = desk.labels
    desk.viewer.layers.selection.active = labels
    labels.brush_size, labels.mode, labels.n_edit_dimensions = 5, "paint", 3
    labels.selected_label = 7
    desk.robot.drag(desk.image, (1, 60, 30), (1, 60, 50))
    drawn = check(desk)
    assert {place for place in drawn if place[1] == 7} == {(0, 7), (1, 7), (2, 7)}
    desk.robot.press(KEY.Key_Z, CONTROL)
    assert set(check(desk)) == {(0, 1), (0, 2)}


def test_an_undone_merge_and_deletion_are_listed_as_before(open_desk: Any) -> None:
    desk = open_desk()
    for point in ((20, 20), (20, 80), (60, 80)):
        accept(desk, *point)
    before = check(desk)
    plane = desk.current.plane
    annotation = desk.controller.annotation
    annotation.merge([(plane, 1), (plane, 2)])
    merged = check(desk)
    assert len(merged) == 2
    annotation.delete([(plane, 3)])
    deleted = check(desk)
    assert len(deleted) == 1
    for areas in (merged, before):
        press(desk, KEY.Key_U, 0)
        assert check(desk) == areas
    for areas in (merged, deleted):
        press(desk, KEY.Key_U, 0, SHIFT)
        assert check(desk) == areas
