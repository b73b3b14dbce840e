"""The Objects section in a real viewer: the list, jumps, ways of writing, deleting."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtGui import QImage
from qtpy.QtTest import QTest

import _fake_segmenter
from _fake_segmenter import disks
from napari_gpcis.clicks import Click
from napari_gpcis.plugin.dock.object_view import shared
from napari_gpcis.plugin.dock.pages import PAGES, REVIEW
from napari_gpcis.plugin.dock.panels.clicking import WRITE_MODES, ClickingPanel
from napari_gpcis.plugin.dock.panels.files import FilesPanel
from napari_gpcis.plugin.dock.panels.objects import ObjectsPanel
from napari_gpcis.plugin.saving import export
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.tools.objects.flash import FLASH
from napari_gpcis.plugin.tools.objects.index import Found, planes_of
from napari_gpcis.plugin.tools.objects.table import (
    CLASS,
    CLICKS,
    DIAMETER,
    MEAN,
    ORIGIN,
    QUALITY,
)
from napari_gpcis.plugin.tools.picking import CHOSEN as OUTLINE

LEFT = Qt.MouseButton.LeftButton
RIGHT = Qt.MouseButton.RightButton
ALT = Qt.KeyboardModifier.AltModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
CONTROL = Qt.KeyboardModifier.ControlModifier


def panel_of(desk) -> ObjectsPanel:
    return next(p for p in desk.widget.panels if isinstance(p, ObjectsPanel))


def clicking(desk) -> ClickingPanel:
    return next(p for p in desk.widget.panels if isinstance(p, ClickingPanel))


def masks(*clicks: tuple) -> np.ndarray:
    return disks((80, 100), tuple(Click(*click) for click in clicks))


def near(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether masks agree but for the pixel a mouse can miss by."""
    return np.count_nonzero(one != other) < 0.2 * max(1, np.count_nonzero(one | other))


def accept(desk, *point: int, click: bool = True) -> None:
    """Click on an object and accept it."""
    if click:
        desk.robot.click(desk.image, point)
        desk.settled(1)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)


def choose(desk, way: str) -> None:
    """Choose a way of writing as a user does."""
    combo = clicking(desk).write_mode
    combo.setCurrentIndex([name for name, _ in WRITE_MODES].index(way))
    combo.activated.emit(combo.currentIndex())


def listed(desk, count: int) -> list[tuple[int, int]]:
    """The ids and areas of the list, as soon as there are so many."""
    table = panel_of(desk).table
    desk.until(lambda: not panel_of(desk).index.busy and len(table.rows) == count)
    return [(found.label, found.entry.area) for found in table.rows]


def press_row(desk, row: int) -> None:
    """Click on a row of the list."""
    view = panel_of(desk).list
    place = view.visualRect(view.model().index(row, 0)).center()
    QTest.mouseClick(view.viewport(), LEFT, pos=place)


@pytest.fixture
def desk(open_desk):
    opened = open_desk()
    next(s for s in opened.widget.sections if s.title == "Objects").unfolded = True
    return opened


# -- the list ----------------------------------------------------------------------


def test_finished_objects_are_listed_and_gone_to(desk) -> None:
    accept(desk, 20, 20)
    accept(desk, 60, 80)
    desk.robot.click(desk.image, (20, 80))
    desk.settled(1)
    areas = [int((desk.labels.data == label).sum()) for label in (1, 2)]
    assert listed(desk, 2) == [(1, areas[0]), (2, areas[1])]
    assert panel_of(desk).summary.text() == "2 finished objects"
    camera = desk.viewer.scene.camera
    desk.robot.look_at(desk.image, (0, 0), (45, 45), 0.9)
    desk.robot.press(Qt.Key.Key_J)
    assert desk.labels.selected_label == 1
    assert np.abs(np.array(camera.center[-2:]) - (22.5, 22.5)).max() < 1, "it is seen"
    desk.robot.press(Qt.Key.Key_J)
    assert np.abs(np.array(camera.center[-2:]) - (60, 80)).max() < 2
    assert desk.labels.selected_label == 2
    desk.until(lambda: desk.labels.corner_pixels[0][0] > 20)  # it is drawn
    desk.robot.press(Qt.Key.Key_J, SHIFT)
    assert np.abs(np.array(camera.center[-2:]) - (20, 20)).max() < 2
    assert [found.label for found in panel_of(desk).selected()] == [1]
    desk.robot.press(Qt.Key.Key_J, SHIFT)  # before the first is the last
    assert desk.labels.selected_label == 2
    press_row(desk, 0)
    assert np.abs(np.array(camera.center[-2:]) - (20, 20)).max() < 2
    assert desk.viewer.layers.selection.active == desk.positive


def test_the_list_follows_what_is_chosen_on_the_canvas(desk) -> None:
    for point in ((20, 20), (20, 80), (60, 80)):
        accept(desk, *point)
    listed(desk, 3)
    desk.robot.click(desk.image, (20, 80))
    desk.until(lambda: panel_of(desk).picking.chosen is not None)
    assert [found.label for found in panel_of(desk).selected()] == [2]
    desk.robot.press(Qt.Key.Key_J)
    assert desk.labels.selected_label == 3
    picking, plane = panel_of(desk).picking, desk.current.plane
    assert picking.chosen == (plane, 3)
    assert desk.controller.annotation.curves.shows(OUTLINE)
    desk.robot.press(Qt.Key.Key_Escape)
    assert not panel_of(desk).selected()
    desk.robot.press(Qt.Key.Key_J, SHIFT)  # goes on from where it was
    assert picking.chosen == (plane, 2)
    desk.robot.move(desk.image, (20, 20))
    desk.robot.press(Qt.Key.Key_R, SHIFT)  # is about the chosen one, not that one
    desk.until(lambda: desk.current.drawn.live.label == 2)
    assert picking.chosen is None
    desk.robot.press(Qt.Key.Key_J)  # another one is being clicked
    assert picking.chosen is None
    desk.robot.press(Qt.Key.Key_Escape)
    desk.until(lambda: not desk.current.clicks)
    press_row(desk, 0)
    assert picking.chosen == (plane, 1)
    panel_of(desk).list.selectAll()
    assert picking.chosen is None
    press_row(desk, 0)
    desk.robot.press(Qt.Key.Key_Delete)
    assert [found for found, _ in listed(desk, 2)] == [2, 3]
    assert not (desk.labels.data == 1).any()
    assert coerce_keybinding("Delete") not in desk.positive.keymap


def test_deleting_is_one_step_and_one_undo_brings_all_back(desk) -> None:
    accept(desk, 20, 20)
    accept(desk, 60, 80)
    before = desk.labels.data.copy()
    listed(desk, 2)
    panel = panel_of(desk)
    panel.list.selectAll()
    panel.delete_button.click()
    assert not desk.labels.data.any()
    assert listed(desk, 0) == []
    desk.labels.undo()
    np.testing.assert_array_equal(desk.labels.data, before)
    desk.labels.redo()
    desk.robot.press(Qt.Key.Key_U)
    np.testing.assert_array_equal(desk.labels.data, before)
    assert desk.widget.status.text() == "2 objects are back."
    assert len(desk.widget.session.clicks) == 0
    assert len(listed(desk, 2)) == 2
    np.testing.assert_array_equal(desk.widget.session.labels, before)


def test_edits_by_hand_are_listed(desk) -> None:
    accept(desk, 20, 20)
    desk.labels.data_setitem((np.array([70, 71]), np.array([5, 5])), 9)
    assert listed(desk, 2)[1] == (9, 2)


def test_planes_of_a_stack_are_listed_and_gone_to(open_desk) -> None:
    desk = open_desk(np.zeros((3, 80, 100), np.uint8))
    desk.viewer.dims.set_current_step(0, 2)
    desk.until(lambda: desk.current.plane.steps == (2, 0, 0) and desk.current.session)
    desk.robot.click(desk.image, (2, 20, 20))
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    listed(desk, 1)
    panel = panel_of(desk)
    assert not panel.list.isColumnHidden(2)
    assert panel.table.data(panel.table.index(0, 2)) == "2"
    desk.viewer.dims.set_current_step(0, 0)
    desk.until(lambda: desk.current.plane.steps == (0, 0, 0))
    desk.robot.press(Qt.Key.Key_J)
    desk.until(lambda: desk.current.plane.steps == (2, 0, 0))
    desk.until(lambda: panel.picking.chosen == (desk.current.plane, 1))
    panel.delete_button.click()
    assert not desk.labels.data.any()


# -- ways of writing ---------------------------------------------------------------


def test_add_cut_and_replace_change_the_selected_label(desk) -> None:
    accept(desk, 30, 30)
    first = desk.labels.data == 1
    desk.labels.selected_label = 1
    choose(desk, "add")
    accept(desk, 30, 45)
    added = desk.labels.data == 1
    assert near(added, masks((30, 30), (30, 45)))
    assert set(np.unique(desk.labels.data)) == {0, 1}
    choose(desk, "cut")
    desk.robot.click(desk.image, (30, 30))
    desk.settled(1)
    assert "subtracting from object 1" in desk.widget.status.text()
    np.testing.assert_array_equal(desk.labels.data == 1, added & ~first)
    desk.robot.press(Qt.Key.Key_K)
    desk.settled(0)
    np.testing.assert_array_equal(desk.labels.data == 1, added)
    accept(desk, 30, 30)
    np.testing.assert_array_equal(desk.labels.data == 1, added & ~first)
    assert clicking(desk).write_mode.currentData() == "new"
    choose(desk, "replace")
    accept(desk, 60, 60)
    assert near(desk.labels.data == 1, masks((60, 60)))
    session = desk.widget.session
    assert [done.how for done in session.steps] == ["add", "add", "cut", "replace"]
    np.testing.assert_array_equal(session.labels, desk.labels.data)
    for _ in range(3):
        desk.labels.undo()
    np.testing.assert_array_equal(desk.labels.data == 1, first)


def test_the_way_may_change_while_an_object_runs(desk) -> None:
    accept(desk, 30, 30)
    before = desk.labels.data.copy()
    desk.labels.selected_label = 1
    desk.robot.click(desk.image, (30, 45))
    desk.settled(1)
    assert set(np.unique(desk.labels.data)) == {0, 1, 2}
    choose(desk, "cut")
    desk.settled(1)
    assert set(np.unique(desk.labels.data)) == {0, 1}
    assert np.count_nonzero(desk.labels.data) < np.count_nonzero(before)
    choose(desk, "new")
    desk.settled(1)
    np.testing.assert_array_equal(desk.labels.data == 1, before == 1)


def test_new_objects_may_cover_finished_ones_if_wanted(desk) -> None:
    accept(desk, 30, 30)
    first = desk.labels.data == 1
    desk.robot.click(desk.image, (30, 42), modifier=SHIFT)  # on its border
    desk.settled(1)
    np.testing.assert_array_equal(desk.labels.data == 1, first)
    clicking(desk).overwrite.click()
    assert not PREFERENCES.protect
    desk.settled(1)
    assert near(desk.labels.data > 1, masks((30, 42)))
    desk.robot.press(Qt.Key.Key_K)
    desk.settled(0)
    np.testing.assert_array_equal(desk.labels.data == 1, first)
    desk.robot.click(desk.image, (30, 42), modifier=SHIFT)
    desk.settled(1)
    accept(desk, click=False)
    assert desk.widget.session.objects[-1].overwrite
    np.testing.assert_array_equal(desk.widget.session.labels, desk.labels.data)


# -- correcting what is there ------------------------------------------------------


@pytest.mark.parametrize("by", ["click", "key", "button"])
def test_an_object_is_corrected_and_given_back(desk, by) -> None:
    desk.labels.data[20:50, 20:60] = 7
    desk.labels.refresh()
    before = desk.labels.data.copy()
    if by == "click":
        desk.robot.click(desk.image, (25, 25), LEFT, ALT)
    elif by == "key":
        desk.robot.move(desk.image, (25, 25))
        desk.robot.press(Qt.Key.Key_R, SHIFT)
    else:
        desk.labels.selected_label = 7
        panel_of(desk).refine_button.click()
    desk.settled(1)
    np.testing.assert_array_equal(desk.labels.data, before)
    assert "correcting object 7" in desk.widget.status.text()
    desk.robot.click(desk.image, (45, 55), RIGHT)
    desk.settled(2)
    corrected = desk.labels.data.copy()
    assert not corrected[45, 55]
    assert corrected[20, 20] == 7
    assert set(np.unique(corrected)) == {0, 7}
    for _ in range(2):
        desk.robot.press(Qt.Key.Key_Z, CONTROL)
    desk.settled(0)
    np.testing.assert_array_equal(desk.labels.data, before)
    for _ in range(2):
        desk.robot.press(Qt.Key.Key_Z, CONTROL | SHIFT)
    desk.settled(2)
    np.testing.assert_array_equal(desk.labels.data, corrected)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    session = desk.widget.session
    assert [(done.id, done.how) for done in session.objects] == [(7, "replace")]
    np.testing.assert_array_equal(session.labels == 7, corrected == 7)
    for clicks in (2, 1, 0):
        desk.controller.travel_in_labels("undo")
        desk.settled(clicks)
    np.testing.assert_array_equal(desk.labels.data, before)


def test_a_corrected_object_can_be_reopened(desk) -> None:
    desk.labels.data[20:50, 20:60] = 7
    before = desk.labels.data.copy()
    desk.robot.click(desk.image, (25, 25), LEFT, ALT)
    desk.settled(1)
    desk.robot.click(desk.image, (45, 55), RIGHT)
    desk.settled(2)
    corrected = desk.labels.data.copy()
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    desk.robot.press(Qt.Key.Key_U)
    desk.settled(2)
    np.testing.assert_array_equal(desk.labels.data, corrected)
    desk.robot.press(Qt.Key.Key_K)
    desk.settled(0)
    np.testing.assert_array_equal(desk.labels.data, before)


def test_an_object_of_another_layer_begins_a_new_one(desk) -> None:
    found = np.zeros((80, 100), dtype=np.uint16)
    found[10:40, 10:40] = 3
    other = desk.viewer.add_labels(found.copy(), name="Cellpose")
    desk.robot.press(Qt.Key.Key_G)
    desk.robot.click(desk.image, (20, 20), LEFT, ALT)
    desk.settled(1)
    np.testing.assert_array_equal(desk.labels.data == 1, found == 3)
    accept(desk, click=False)
    np.testing.assert_array_equal(other.data, found)
    assert [(done.id, done.how) for done in desk.widget.session.objects] == [(1, "add")]


def test_alt_click_beside_all_objects_says_so(desk) -> None:
    desk.robot.click(desk.image, (20, 20), LEFT, ALT)
    desk.until(lambda: "No object there" in desk.widget.status.text())
    assert len(desk.positive.data) == len(desk.negative.data) == 0
    desk.robot.click(desk.image, (20, 20))
    desk.settled(1)


def test_another_model_goes_on_with_the_mask_that_was_begun(desk) -> None:
    desk.labels.data[20:50, 20:60] = 7
    before = desk.labels.data.copy()
    desk.robot.click(desk.image, (25, 25), LEFT, ALT)
    desk.settled(1)
    desk.controller.model = "another"
    desk.until(lambda: desk.widget.session is not None)
    desk.settled(1)
    np.testing.assert_array_equal(desk.labels.data, before)
    assert desk.widget.session.start.label == 7


# -- going to objects ----------------------------------------------------------------


def test_a_row_centres_zooms_and_flashes(desk) -> None:
    accept(desk, 30, 40)
    accept(desk, 60, 80)
    listed(desk, 2)
    camera, curves = desk.viewer.scene.camera, desk.controller.annotation.curves
    camera.zoom = 0.5
    press_row(desk, 1)
    assert curves.shows(FLASH)
    assert np.abs(np.array(camera.center[-2:]) - (60, 80)).max() < 2
    height, width = desk.viewer.canvas.size
    assert 0.1 < 25 * camera.zoom / min(height, width) < 0.9
    zoom = camera.zoom
    press_row(desk, 0)
    assert camera.zoom == zoom  # it is seen well enough
    desk.until(lambda: not curves.shows(FLASH))
    desk.until(lambda: curves.shows(FLASH))
    desk.until(lambda: not panel_of(desk).flash._timer.isActive())
    assert not curves.shows(FLASH)


def test_the_delete_key_deletes_all_selected_rows_as_one_step(desk) -> None:
    accept(desk, 30, 40)
    accept(desk, 60, 80)
    listed(desk, 2)
    before = desk.labels.data.copy()
    view = panel_of(desk).list
    view.selectAll()
    view.setFocus()
    QTest.keyClick(view, Qt.Key.Key_Delete)
    listed(desk, 0)
    assert not desk.labels.data.any()
    desk.robot.press(Qt.Key.Key_U)
    np.testing.assert_array_equal(desk.labels.data, before)


def test_the_expected_quality_is_a_column_where_the_model_tells_it(
    desk, monkeypatch
) -> None:
    accept(desk, 30, 40)
    listed(desk, 1)
    panel = panel_of(desk)
    assert panel.list.isColumnHidden(3)
    made = _fake_segmenter._prediction

    def judged(*args, **options):
        return replace(made(*args, **options), quality=0.875)

    monkeypatch.setattr(_fake_segmenter, "_prediction", judged)
    accept(desk, 60, 80)
    listed(desk, 2)
    desk.until(lambda: not panel.list.isColumnHidden(3))
    shown = [panel.table.data(panel.table.index(row, 3)) for row in (0, 1)]
    assert shown == ["", "0.88"]


def test_the_list_the_features_and_the_csv_tell_the_same_measures(
    open_desk, tmp_path
) -> None:
    data = np.add.outer(np.arange(80), np.arange(100)).astype(np.float32)
    desk = open_desk(data, scale=(0.5, 0.5))
    accept(desk, 30, 40)
    listed(desk, 1)
    panel = panel_of(desk)
    desk.until(lambda: panel.table.rows[0].mean is not None)
    mask = desk.labels.data == 1
    area, mean = np.count_nonzero(mask), data[mask].mean()
    diameter = np.sqrt(4 * area / np.pi) * 0.5
    cells = [
        panel.table.data(panel.table.index(0, column))
        for column in (DIAMETER, MEAN, ORIGIN, CLICKS)
    ]
    assert cells == [f"{diameter:.3g}", f"{mean:.4g}", "clicks", 1]
    desk.until(lambda: len(desk.labels.features) == 1)
    row = desk.labels.features.iloc[0].to_dict()
    assert (row["index"], row["class"], row["area"]) == (1, "object", area)
    assert row["equivalent_diameter"] == pytest.approx(diameter)
    assert row["mean_intensity"] == pytest.approx(mean)
    assert (row["origin"], row["clicks"]) == ("clicks", 1)
    file = tmp_path / "objects.csv"
    export._table(desk.widget.recovery.autosaver.record)(file, desk.labels.data)
    with file.open(newline="") as stream:
        (written,) = csv.DictReader(stream)
    assert float(written["mean_intensity"]) == pytest.approx(mean)
    assert float(written["equivalent_diameter"]) == pytest.approx(diameter)
    assert (written["origin"], written["clicks"]) == ("clicks", "1")
    desk.image.data = data + 7
    desk.until(lambda: panel.table.rows[0].mean == pytest.approx(mean + 7))


@pytest.mark.parametrize("classes", [False, True])
def test_the_list_fills_the_page_and_its_columns_fit(open_desk, classes) -> None:
    desk = open_desk(np.full((3, 80, 100), 20_000, dtype=np.uint16))
    panel = panel_of(desk)
    view, header = panel.list, panel.list.horizontalHeader()
    steps = [(r, c) for r in range(4, 76, 12) for c in range(4, 96, 12)]
    step = desk.current.plane.steps[0]
    for label, (row, col) in enumerate(steps[:30], start=1):
        desk.labels.data[step, row : row + 6, col : col + 6] = label
    if classes:
        panel.classes.rename(1, "A class with quite a long name")
        desk.controller.annotation.classify({3: 1})
    panel.index.look_up([desk.current.plane])
    desk.until(lambda: len(panel.table.rows) == 30)
    desk.widget.pages.setCurrentWidget(desk.widget.pages.areas[2])
    section = next(one for one in desk.widget.sections if one.content is panel)
    bar = view.horizontalScrollBar()
    for height in (800, 1060):
        desk.viewer.window.resize(1300, height)
        desk.qtbot.wait(50)
        desk.until(lambda: header.length() == view.viewport().width() + bar.maximum())
        assert bar.isVisible() is classes  # they do not all fit then
        for column in (c for c in range(9) if not view.isColumnHidden(c)):
            assert view.columnWidth(column) >= view._heading_width(column)
        for column in (0, 1, 5, 6, 8):  # numbers are seen whole
            assert view.columnWidth(column) >= view.sizeHintForColumn(column)
        area = desk.widget.pages.currentWidget()
        beside = area.viewport().height() - view.height()
        assert beside < 200, "height is free though not all rows are seen"
    view.sortByColumn(CLICKS, Qt.SortOrder.AscendingOrder)
    assert view.columnWidth(CLICKS) >= view._heading_width(CLICKS)  # with its arrow
    view.sortByColumn(0, Qt.SortOrder.AscendingOrder)
    tall = view.height()
    assert tall > 20 * view.verticalHeader().defaultSectionSize()
    bar.setValue(bar.maximum())
    panel._select(29)
    assert view.viewport().rect().intersects(view.visualRect(panel.table.index(29, 0)))
    assert bar.value() == bar.maximum()  # what is read stays in sight
    section.unfolded = False
    section.unfolded = True
    desk.until(lambda: view.height() == tall)
    assert desk.widget.width() <= 372


def columns_with(pixels: np.ndarray) -> np.ndarray:
    """Columns of a picture in which something differs."""
    return np.nonzero(np.abs(pixels).max(axis=(0, 2)) > 40)[0]


def test_no_heading_lies_under_the_arrow(desk) -> None:
    """Without any object the columns are narrowest."""
    view = panel_of(desk).list
    desk.widget.pages.setCurrentWidget(desk.widget.pages.areas[2])
    desk.until(view.isVisible)
    header = view.horizontalHeader()

    def drawn(column: int) -> np.ndarray:
        left = header.sectionViewportPosition(column)
        inside = QRect(left + 2, 3, header.sectionSize(column) - 4, header.height() - 6)
        image = header.viewport().grab(inside).toImage()
        image = image.convertToFormat(QImage.Format.Format_RGB32)
        colours = [
            [image.pixelColor(col, row).getRgb()[:3] for col in range(image.width())]
            for row in range(image.height())
        ]
        return np.array(colours, dtype=int)

    for column in (0, 1, DIAMETER, MEAN, ORIGIN, CLICKS):
        view.sortByColumn(column, Qt.SortOrder.AscendingOrder)
        desk.qtbot.wait(20)
        with_arrow = drawn(column)
        header.setSortIndicatorShown(False)
        plain = drawn(column)
        header.setSortIndicatorShown(True)
        arrow = columns_with(with_arrow - plain)
        text = columns_with(plain - np.median(plain, axis=1, keepdims=True))
        assert len(arrow) > 3, column
        assert len(text) > 3, column
        assert arrow.min() > text.max(), column


@pytest.mark.parametrize("room", [10, 100, 125, 150, 300])
def test_columns_share_the_room(room: int) -> None:
    steps = ({0: 40, 2: 60}, {0: 50, 2: 80}, {0: 90, 2: 80})
    found = shared(room, steps)
    assert sum(found.values()) == max(room, 100)
    assert found[0] >= 40
    assert found[2] >= 60
    assert room < 130 or (found[0] >= 50 and found[2] >= 80)


def test_keys_go_from_label_to_label(desk) -> None:
    """By their numbers, whatever the order of the list, and to the middle."""
    for point in ((20, 20), (20, 80), (60, 80)):
        accept(desk, *point)
    desk.labels.data[58:64, 18:24] = 9
    panel_of(desk).index.look_up([desk.current.plane])
    listed(desk, 4)
    panel_of(desk).list.sortByColumn(1, Qt.SortOrder.DescendingOrder)
    desk.labels.selected_label = 2
    camera = desk.viewer.scene.camera
    places = {1: (20, 20), 2: (20, 80), 3: (60, 80), 9: (60.5, 20.5)}
    desk.robot.look_at(desk.image, (0, 0), (70, 95), 0.9)  # all are in sight
    for keys, labels in ((CONTROL, (3, 9, 1, 2)), (CONTROL | SHIFT, (1, 9, 3))):
        for label in labels:
            desk.robot.press(Qt.Key.Key_J, keys)
            assert desk.labels.selected_label == label
            assert [found.label for found in panel_of(desk).selected()] == [label]
            middle = np.array(camera.center[-2:])
            assert np.abs(middle - places[label]).max() < 2


def test_next_label_prefers_the_displayed_plane(open_desk) -> None:
    desk = open_desk(np.zeros((3, 80, 100), np.uint8))
    for plane, label in ((0, 4), (2, 4), (0, 6), (1, 8)):
        desk.labels.data[plane, 20:30, 10 * label : 10 * label + 8] = label
    panel_of(desk).index.look_up(planes_of((3, 80, 100), (1, 2)))
    listed(desk, 4)
    desk.viewer.dims.set_current_step(0, 2)
    desk.until(lambda: desk.current.plane.steps[0] == 2)
    desk.labels.selected_label = 8
    shown = []
    for _ in range(3):
        desk.robot.press(Qt.Key.Key_J, CONTROL)
        shown.append((desk.labels.selected_label, desk.viewer.dims.current_step[0]))
    assert shown == [(4, 2), (6, 0), (8, 1)]


def test_a_click_on_each_heading_sorts(desk) -> None:
    """In the real window, first ascending and then descending."""
    for number, point in enumerate(((60, 80), (20, 20), (20, 80))):
        panel_of(desk).classes.activate((1, 0, 2)[number])
        accept(desk, *point)
        desk.labels.data[point[0] + 14, point[1] : point[1] + number] = number + 1
    panel_of(desk).index.look_up([desk.current.plane])
    listed(desk, 3)
    view, table = panel_of(desk).list, panel_of(desk).table

    def key(column: int, found: Found) -> object:
        assert found.note is not None
        return {
            0: found.label,
            1: found.entry.area,
            QUALITY: found.quality or -1,
            CLASS: panel_of(desk).classes.known.numbers.get(found.label, 0),
            MEAN: found.mean,
            DIAMETER: found.entry.area,
            ORIGIN: found.note.origin,
            CLICKS: found.note.clicks,
        }[column]

    header = view.horizontalHeader()
    shown = [c for c in range(header.count()) if not view.isColumnHidden(c)]
    assert len(shown) >= 6
    for column in shown:
        place = header.sectionViewportPosition(column) + header.sectionSize(column) // 2
        at = QPoint(place, header.height() // 2)
        found = []
        for _ in range(2):
            QTest.mouseClick(header.viewport(), LEFT, pos=at)
            assert header.sortIndicatorSection() == column
            keys = [key(column, row) for row in table.rows]
            ascending = header.sortIndicatorOrder() == Qt.SortOrder.AscendingOrder
            assert keys == sorted(keys, reverse=not ascending)
            found.append(ascending)
        assert sorted(found) == [False, True]


MANY = 3000


def test_thousands_of_selected_rows_are_changed_at_once(open_desk, tmp_path) -> None:
    """Each as one step of undo: a class, deletion; the table has what is left."""
    desk = open_desk(np.zeros((300, 400), np.uint8))
    grid = np.zeros((300, 400), desk.labels.data.dtype)
    numbers = np.arange(1, 4801).reshape(60, 80)
    numbers[numbers > MANY] = 0
    grid[np.ix_(np.arange(300) % 5 > 1, np.arange(400) % 5 > 1)] = numbers.repeat(
        3, 0
    ).repeat(3, 1)
    desk.labels.data = grid
    panel = panel_of(desk)
    desk.widget.pages.setCurrentIndex([*PAGES].index(REVIEW))
    listed(desk, MANY)
    view = panel.list
    press_row(desk, 0)
    view.scrollToBottom()
    last = view.visualRect(view.model().index(MANY - 1, 0)).center()
    QTest.mouseClick(view.viewport(), LEFT, SHIFT, last)
    assert len(panel.selected()) == MANY
    desk.robot.press(Qt.Key.Key_2, CONTROL)
    assert len(panel.classes.known.numbers) == MANY
    QTest.keyClick(view, Qt.Key.Key_Delete)
    assert not desk.labels.data.any()
    desk.robot.press(Qt.Key.Key_U)
    np.testing.assert_array_equal(desk.labels.data, grid)
    listed(desk, MANY)
    files = next(p for p in desk.widget.panels if isinstance(p, FilesPanel))
    files.write("table", tmp_path / "all.csv")
    desk.until(lambda: not files.saver.busy)
    with (tmp_path / "all.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == MANY
    assert {row["class"] for row in rows} == {"class 2"}
    desk.robot.press(Qt.Key.Key_U)  # the class
    assert not panel.classes.known.numbers
