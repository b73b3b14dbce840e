"""Superpixels in the window: strokes paint them, borders snap to them."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from scipy.ndimage import gaussian_filter

from _fake_segmenter import FakeSegmenter, disks
from napari_gpcis.clicks import Click
from napari_gpcis.plugin.annotation.controller import STROKING
from napari_gpcis.plugin.dock.notices import (
    DRAWING,
    LET_GO,
    PAINTING_ON,
    PAINTING_SOON,
    STOP,
)
from napari_gpcis.plugin.dock.panels import superpixels as texts
from napari_gpcis.plugin.dock.panels.superpixels import SuperpixelsPanel
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.tools.superpixels import outlined
from napari_gpcis.plugin.tools.superpixels.outlined import Settings
from napari_gpcis.plugin.tools.superpixels.painting import (
    AGAINST,
    ALREADY,
    GIVEN_UP,
    LEFT,
    NO_OBJECT,
    NOT_ITS,
    NOTHING,
    NOTHING_TO_SNAP,
    SNAP_COMING,
    SNAP_LEFT,
    SNAPPED,
    densely,
)
from napari_gpcis.plugin.viewer.planes import Plane
from napari_gpcis.prompts import replay
from napari_gpcis.superpixels import hierarchy, snap
from napari_gpcis.superpixels.slic import COMPACTNESS

NONE = Qt.KeyboardModifier.NoModifier
ALT = Qt.KeyboardModifier.AltModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
RIGHT = Qt.MouseButton.RightButton
SHAPE = (80, 100)


def picture() -> np.ndarray:
    """An image of soft spots."""
    noise = np.random.default_rng(1).random(SHAPE)
    spots = gaussian_filter(noise, 6)
    return ((spots - spots.min()) / np.ptp(spots) * 60_000).astype(np.uint16)


def panel_of(desk: Any) -> SuperpixelsPanel:
    return next(p for p in desk.widget.panels if isinstance(p, SuperpixelsPanel))


def wait(desk: Any) -> Any:
    """Wait for superpixels; return them."""
    tool = panel_of(desk).superpixels
    desk.until(lambda: tool.divided is not None and tool.part is None)
    return tool


@pytest.fixture
def desk(open_desk: Any) -> Any:
    """About 60 superpixels, and the tool that paints with them."""
    desk = open_desk(picture())
    panel_of(desk).superpixels.settings = Settings(60)
    desk.robot.press(Qt.Key.Key_P, SHIFT)
    wait(desk)
    return desk


def crossed(desk: Any, *points: tuple[float, float]) -> np.ndarray:
    """The superpixels on a line."""
    tool = panel_of(desk).superpixels
    ids = tool.divided.at(tool.level, densely(np.array(points, float)))
    return np.isin(tool.divided.hierarchy.labels(tool.level), ids)


def labels(desk: Any, label: int = 1) -> np.ndarray:
    return np.asarray(desk.labels.data == label)


def shows(desk: Any, mask: np.ndarray, label: int = 1) -> None:
    """Wait until an object is this mask."""
    desk.until(lambda: np.array_equal(labels(desk, label), mask))


def test_a_stroke_begins_an_object_and_further_ones_change_it(desk: Any) -> None:
    first, second = [(20, 20), (20, 45)], [(50, 20), (30, 45)]
    one, two = crossed(desk, *first), crossed(desk, *second)
    desk.robot.drag(desk.image, *first)
    shows(desk, one)
    desk.robot.drag(desk.image, *second)
    shows(desk, one | two)
    away = crossed(desk, (20, 20))
    desk.robot.click(desk.image, (20, 20), modifier=ALT)
    shows(desk, (one | two) & ~away)
    (click,) = desk.current.clicks
    assert labels(desk)[click.pixel], "the click of the object is on it"
    for state in (one | two, one, np.zeros(SHAPE, bool)):
        desk.robot.press(Qt.Key.Key_U)
        shows(desk, state)
    for state in (one, one | two, (one | two) & ~away):
        desk.controller.command("redo")
        shows(desk, state)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    assert labels(desk).sum() == ((one | two) & ~away).sum()
    saved = desk.widget.recovery.autosaver.record.saved()
    again = replay(saved, FakeSegmenter(), desk.image.data, any_model=True)
    np.testing.assert_array_equal(again, desk.labels.data)


def test_strokes_on_a_clicked_object_stay_through_further_clicks(desk: Any) -> None:
    desk.robot.press(Qt.Key.Key_P, SHIFT)
    desk.robot.click(desk.image, (40, 50))
    desk.settled(1)
    disk = disks(SHAPE, (Click(40, 50),))
    desk.robot.press(Qt.Key.Key_P, SHIFT)
    added = crossed(desk, (40, 75), (55, 80))
    desk.robot.drag(desk.image, (40, 75), (55, 80))
    shows(desk, disk | added)
    gone = crossed(desk, (31, 50)) & ~crossed(desk, (40, 50))
    assert (gone & disk).any()
    desk.robot.click(desk.image, (31, 50), RIGHT)
    shows(desk, (disk | added) & ~gone)
    desk.robot.press(Qt.Key.Key_P, SHIFT)
    assert not gone[48, 56]
    desk.robot.click(desk.image, (48, 56))
    desk.settled(2)
    both = disks(SHAPE, (Click(40, 50), Click(48, 56)))
    shows(desk, (both | added) & ~gone)
    desk.robot.press(Qt.Key.Key_U)
    desk.settled(1)
    for state in ((disk | added) & ~gone, disk | added, disk):
        shows(desk, state)
        desk.robot.press(Qt.Key.Key_U)
    desk.settled(0)
    for state in (disk, disk | added, (disk | added) & ~gone):
        desk.controller.command("redo")
        shows(desk, state)


def test_nothing_is_undone_while_a_stroke_is_drawn(desk: Any) -> None:
    first = crossed(desk, (20, 20))
    desk.robot.click(desk.image, (20, 20))
    shows(desk, first)
    canvas = desk.robot._canvas
    start, end = (desk.robot.position(desk.image, at) for at in ((60, 20), (60, 70)))
    QTest.mouseMove(canvas, start)
    QApplication.processEvents()
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=start)
    QTest.mouseMove(canvas, end)
    QApplication.processEvents()
    for key in (Qt.Key.Key_U, Qt.Key.Key_N):
        desk.robot.press(key)
        assert desk.controller.status == STROKING
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=end)
    shows(desk, first | crossed(desk, (60, 20), (60, 70)))
    desk.robot.press(Qt.Key.Key_U)
    shows(desk, first)


def test_clicks_stay_obeyed(desk: Any) -> None:
    desk.robot.press(Qt.Key.Key_P, SHIFT)
    desk.robot.click(desk.image, (40, 40))
    desk.settled(1)
    desk.robot.click(desk.image, (40, 70), RIGHT)
    desk.settled(2)
    desk.robot.press(Qt.Key.Key_P, SHIFT)
    before = labels(desk).copy()
    desk.robot.click(desk.image, (40, 70))
    assert desk.controller.status == AGAINST
    desk.robot.click(desk.image, (40, 40), modifier=ALT)
    assert desk.controller.status == AGAINST
    shows(desk, before)
    line = crossed(desk, (40, 62), (40, 85)) & ~crossed(desk, (40, 70))
    desk.robot.drag(desk.image, (40, 62), (40, 85))
    shows(desk, before | line)


def test_others_are_protected_unless_they_may_be_overwritten(desk: Any) -> None:
    first = crossed(desk, (30, 30), (30, 50))
    desk.robot.drag(desk.image, (30, 30), (30, 50))
    shows(desk, first)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    second = crossed(desk, (60, 40), (30, 40))
    desk.robot.drag(desk.image, (60, 40), (30, 40))
    shows(desk, second & ~first, 2)
    shows(desk, first)
    PREFERENCES.protect = False
    desk.until(
        lambda: np.array_equal(labels(desk, desk.current.drawn.live.label), second)
    )


def test_a_click_that_was_placed_for_the_user_holds_nothing(desk: Any) -> None:
    """As in labels of another program: they have no clicks."""
    disk = np.hypot(*(np.indices(SHAPE) - [[[40]], [[50]]])) < 18
    desk.widget.start_button.click()
    (layer,) = (one for one in desk.viewer.layers if isinstance(one, Labels))
    layer.data = disk.astype(np.int32)
    desk.widget.start_button.click()
    desk.until(lambda: desk.current is not None and desk.current.session is not None)
    panel_of(desk).painting.picking.choose(1)
    if not panel_of(desk).painting.on:
        desk.robot.press(Qt.Key.Key_P, SHIFT)
    desk.until(lambda: panel_of(desk).painting._divided is not None)
    more = disk | crossed(desk, (15, 50))
    desk.robot.click(desk.image, (15, 50))
    shows(desk, more)
    ((row, col),) = (one.pixel for one in desk.current.finished_objects.clicks_of(1))
    assert desk.current.finished_objects.user_clicks_of(1) == ()
    away = crossed(desk, (row, col))
    desk.robot.click(desk.image, (row, col), modifier=ALT)
    shows(desk, more & ~away)


def test_what_a_stroke_says_stays(desk: Any) -> None:
    """The point with which napari ends it comes and goes, and is no change."""
    desk.robot.click(desk.image, (30, 30))
    shows(desk, crossed(desk, (30, 30)))
    for modifier, place, said in ((NONE, (30, 30), ALREADY), (ALT, (70, 90), NOT_ITS)):
        desk.robot.click(desk.image, place, modifier=modifier)
        desk.qtbot.wait(300)
        assert desk.controller.status == said


def test_a_chosen_finished_object_is_painted(desk: Any) -> None:
    first = crossed(desk, (30, 30), (30, 50))
    desk.robot.drag(desk.image, (30, 30), (30, 50))
    shows(desk, first)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    other = crossed(desk, (60, 80))
    desk.robot.click(desk.image, (60, 80))
    shows(desk, other, 2)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    picking = panel_of(desk).painting.picking
    picking.choose(1)
    desk.robot.drag(desk.image, (30, 50), (60, 80))
    more = first | (crossed(desk, (30, 50), (60, 80)) & ~other)
    shows(desk, more)
    shows(desk, other, 2)
    assert picking.chosen is not None
    assert picking.chosen[1] == 1
    banner = desk.widget.notices.banner
    assert banner.text.text() == PAINTING_ON.format(1)
    assert [one.text() for one in banner.buttons] == [LET_GO, STOP]
    outline = desk.controller.annotation.curves._curves["chosen object"].segments
    rows, cols = np.nonzero(more)
    assert (outline.ends.max(axis=0) - 0.5).tolist() == [rows.max(), cols.max()]
    away = crossed(desk, (30, 30))
    row, col = np.argwhere(away & more)[len(np.argwhere(away & more)) // 2]
    away = crossed(desk, (row, col))
    desk.robot.click(desk.image, (row, col), modifier=ALT)
    shows(desk, more & ~away)
    saved = desk.widget.recovery.autosaver.record.saved()
    again = replay(saved, FakeSegmenter(), desk.image.data, any_model=True)
    np.testing.assert_array_equal(again, desk.labels.data)
    for state in (more, first):
        desk.robot.press(Qt.Key.Key_U)
        shows(desk, state)
    for state in (more, more & ~away):
        desk.controller.command("redo")
        shows(desk, state)
    assert not desk.current.clicks
    QTest.mouseClick(banner.buttons[0], Qt.MouseButton.LeftButton)
    assert banner.text.text() == DRAWING["superpixels"]
    other = desk.viewer.add_image(picture())
    desk.controller.start(other)  # strokes paint there as well, and that is said
    assert panel_of(desk).painting.on
    assert banner.text.text() == DRAWING["superpixels"]
    QTest.mouseClick(banner.buttons[0], Qt.MouseButton.LeftButton)
    assert not panel_of(desk).painting.on
    assert banner.isHidden()


def test_nothing_is_taken_from_nothing(desk: Any) -> None:
    desk.robot.click(desk.image, (30, 30), modifier=ALT)
    assert desk.controller.status == NO_OBJECT
    desk.robot.click(desk.image, (30, 30))
    shows(desk, crossed(desk, (30, 30)))
    desk.robot.click(desk.image, (30, 30), modifier=ALT)
    assert desk.controller.status == NOTHING
    shows(desk, crossed(desk, (30, 30)))


def test_quick_strokes_wait_for_the_object_before(desk: Any) -> None:
    """The next object is painted before the mask of the one before is there."""
    desk.robot.press(Qt.Key.Key_P, SHIFT)
    desk.segmenter.gate.clear()
    desk.robot.click(desk.image, (30, 30))
    desk.until(lambda: desk.segmenter.runs)
    desk.robot.press(Qt.Key.Key_N)
    desk.robot.press(Qt.Key.Key_P, SHIFT)
    desk.robot.drag(desk.image, (60, 60), (60, 80))
    assert not labels(desk).any()
    desk.segmenter.gate.set()
    shows(desk, disks(SHAPE, (Click(30, 30),)))
    shows(desk, crossed(desk, (60, 60), (60, 80)) & ~labels(desk), 2)


def test_the_superpixel_under_the_mouse_is_outlined(desk: Any) -> None:
    annotation = desk.controller.annotation
    desk.robot.move(desk.image, (30, 30))
    desk.until(lambda: annotation.curves.shows("superpixels"))
    assert not annotation.curves.shows("preview"), "a click there is none"

    def outlined() -> list[float]:
        segments = annotation.curves._curves["superpixels"].segments
        corners = np.concatenate((segments.starts, segments.ends))
        return [*(corners.min(axis=0) + 0.5), *(corners.max(axis=0) - 0.5)]

    def under_mouse() -> list[int]:
        rows, cols = np.nonzero(crossed(desk, (30, 30)))
        return [rows.min(), cols.min(), rows.max(), cols.max()]

    before = under_mouse()
    assert outlined() == before
    for _ in range(2):
        panel_of(desk).superpixels.step(1)  # the mouse rests
    assert under_mouse() != before
    assert outlined() == under_mouse()
    desk.robot.press(Qt.Key.Key_Escape)
    assert not annotation.curves.shows("superpixels")
    assert not panel_of(desk).painting.on
    assert len([one for one in desk.viewer.layers if "superpixels" in one.name]) == 0


def test_keys_make_them_larger_and_smaller(desk: Any) -> None:
    tool = panel_of(desk).superpixels
    assert tool.count == 60
    before = tool.divided.hierarchy.labels(tool.level)
    divided = tool.divided
    for _ in range(2):
        desk.robot.press(Qt.Key.Key_BracketRight)
    assert tool.count == 30
    assert tool.divided is divided, "nothing is computed"
    now = tool.divided.hierarchy.labels(tool.level)
    assert len({*zip(before.ravel(), now.ravel(), strict=True)}) == 60
    for _ in range(4):
        desk.robot.press(Qt.Key.Key_BracketLeft)
    assert tool.count == 120
    (layer,) = [one for one in desk.viewer.layers if "superpixels" in one.name]
    np.testing.assert_array_equal(layer.data, divided.hierarchy.borders(tool.level))


def test_snapping_moves_the_border_as_one_step(desk: Any) -> None:
    desk.robot.press(Qt.Key.Key_G, SHIFT)
    assert desk.controller.status == NOTHING_TO_SNAP
    desk.robot.press(Qt.Key.Key_P, SHIFT)
    desk.robot.click(desk.image, (40, 50))
    desk.settled(1)
    disk = disks(SHAPE, (Click(40, 50),))
    tool = panel_of(desk).superpixels
    desk.controller.command("superpixels_tool")  # superpixels are there
    tool.level = 0
    tool.step(0)
    wanted = snap(disk, tool.divided.hierarchy.labels(0), [Click(40, 50)])
    assert (wanted != disk).any()
    desk.robot.press(Qt.Key.Key_G, SHIFT)
    shows(desk, wanted)
    assert desk.controller.status == SNAPPED
    desk.robot.press(Qt.Key.Key_U)
    shows(desk, disk)
    desk.controller.command("redo")
    shows(desk, wanted)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)
    panel_of(desk).painting.picking.choose(1)
    tool.step(2)
    coarse = snap(
        wanted,
        tool.divided.hierarchy.labels(2),
        desk.current.finished_objects.clicks_of(1),
    )
    desk.robot.press(Qt.Key.Key_G, SHIFT)
    shows(desk, coarse)


def test_snapping_has_superpixels_computed(open_desk: Any) -> None:
    desk = open_desk(picture())
    panel_of(desk).superpixels.settings = Settings(400)
    desk.robot.click(desk.image, (40, 50))
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_G, SHIFT)
    desk.until(lambda: desk.controller.status == SNAPPED)
    assert not [one for one in desk.viewer.layers if "superpixels" in one.name]


@pytest.fixture
def slow(monkeypatch: Any) -> Any:
    """Superpixels are computed once this event is set."""
    gate, compute = threading.Event(), hierarchy.divide

    def divide(*args: Any, **options: Any) -> Any:
        assert gate.wait(60)
        return compute(*args, **options)

    monkeypatch.setattr("napari_gpcis.superpixels.hierarchy.divide", divide)
    yield gate
    gate.set()


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (Qt.Key.Key_N, SNAP_LEFT),
        (Qt.Key.Key_U, GIVEN_UP),
        (Qt.Key.Key_Escape, GIVEN_UP),
        (None, LEFT),
    ],
)
def test_snapping_is_for_the_object_it_was_asked_for(
    open_desk: Any, slow: Any, key: Any, words: str
) -> None:
    """It came to whatever was clicked when superpixels were there."""
    desk = open_desk(np.stack([picture()] * 2))
    said: list[str] = []
    desk.controller.status_changed.connect(said.append)
    tool = panel_of(desk).superpixels
    desk.viewer.dims.set_current_step(0, 0)
    desk.until(lambda: desk.current.plane.steps[0] == 0 and desk.current.session)
    desk.robot.click(desk.image, (0, 40, 30))
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_G, SHIFT)
    assert desk.controller.status == SNAP_COMING
    desk.robot.press(Qt.Key.Key_BracketLeft)
    assert desk.controller.status == outlined.COMPUTING
    step = 0
    if key is None:
        step = 1
        desk.viewer.dims.set_current_step(0, 1)
        desk.until(lambda: desk.current.plane.steps[0] == 1 and desk.current.session)
    else:
        desk.robot.press(key)
    desk.until(lambda: words in said)
    if key != Qt.Key.Key_N:  # the request went, not the object
        known = desk.controller.annotation.known(Plane((1, 2), (0, 0, 0)))
        assert len(known.clicks) == 1
    desk.robot.click(desk.image, (step, 40, 75))
    desk.settled(2 if words == GIVEN_UP else 1)
    masks = np.array(desk.labels.data)
    slow.set()
    tool.shown = True
    desk.until(lambda: tool.divided is not None)
    desk.qtbot.wait(50)
    np.testing.assert_array_equal(desk.labels.data, masks)
    assert SNAPPED not in said


def test_painting_says_that_superpixels_are_being_computed(
    open_desk: Any, slow: Any
) -> None:
    desk = open_desk(picture())
    banner = desk.widget.notices.banner
    desk.robot.press(Qt.Key.Key_P, SHIFT)
    assert banner.text.text() == PAINTING_SOON
    desk.robot.click(desk.image, (40, 50))
    desk.robot.press(Qt.Key.Key_G, SHIFT)  # there is no object yet
    assert desk.controller.status == NOTHING_TO_SNAP
    slow.set()
    wait(desk)
    assert banner.text.text() == DRAWING["superpixels"]
    shows(desk, crossed(desk, (40, 50)))


def test_planes_and_images_have_superpixels_of_their_own(open_desk: Any) -> None:
    data = np.stack([picture(), picture()[::-1], picture()[:, ::-1]]).astype(float)
    data[:, :5, :5] = np.nan
    desk = open_desk(data, scale=(3, 0.5, 0.5), units=("um", "um", "um"))
    panel = panel_of(desk)
    tool = panel.superpixels
    panel.unit.setCurrentIndex(panel.unit.findData("world"))
    panel.unit.activated.emit(0)
    assert panel.unit.currentText().endswith("m)"), "the unit of the image"
    panel.amount.setValue(6)
    desk.viewer.dims.set_current_step(0, 0)  # napari begins in the middle
    desk.until(lambda: desk.current.plane.steps[0] == 0 and desk.current.session)
    panel.show_box.click()
    wait(desk)
    desk.until(lambda: tool.divided.settings == tool.settings)
    assert tool.count == round(80 * 100 * 0.25 / (np.pi * 9))
    first = tool.divided.hierarchy
    desk.viewer.dims.set_current_step(0, 1)
    desk.until(lambda: tool.divided is not None and tool.divided.plane.steps[0] == 1)
    second = tool.divided.hierarchy
    assert not np.array_equal(first.labels(6), second.labels(6))
    (layer,) = [one for one in desk.viewer.layers if "superpixels" in one.name]
    assert layer.data_to_world((0, 0, 0)) == pytest.approx((3, 0, 0))
    desk.viewer.dims.set_current_step(0, 0)
    desk.until(lambda: tool.divided is not None and tool.divided.plane.steps[0] == 0)
    assert tool.divided.hierarchy is first, "it was remembered"
    desk.image.data = data + np.arange(100) ** 2
    desk.until(lambda: tool.divided is not None and tool.divided.hierarchy is not first)
    assert not np.array_equal(tool.divided.hierarchy.labels(6), first.labels(6))


def test_of_large_planes_the_part_in_sight_is_divided(
    open_desk: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(outlined, "MOST_PIXELS", 2000)
    desk = open_desk(picture())
    panel = panel_of(desk)
    panel.superpixels.settings = Settings(10, "pixels")
    panel.show_box.click()
    assert panel.message.text() == outlined.ZOOM_IN
    assert panel.superpixels.divided is None
    desk.robot.look_at(desk.image, (20, 30), (50, 60), 1.0)
    panel.compute_button.click()
    tool = wait(desk)
    top, left, bottom, right = tool.divided.box
    assert 0 < top <= 20
    assert 50 <= bottom < 80
    assert (bottom - top) * (right - left) <= 2000
    (layer,) = [one for one in desk.viewer.layers if "superpixels" in one.name]
    assert layer.data_to_world((0, 0)) == pytest.approx((top, left))
    desk.controller.command("superpixels_tool")
    desk.robot.click(desk.image, (35, 45))
    box, mask = tool.divided.region(tool.level, tool.divided.at(tool.level, [(35, 45)]))
    whole = np.zeros(SHAPE, bool)
    whole[box[0] : box[2], box[1] : box[3]] = mask
    shows(desk, whole)


def test_computing_is_cancelled_and_errors_are_told(open_desk: Any) -> None:
    desk = open_desk(picture())
    panel = panel_of(desk)
    panel.show_box.click()
    assert panel.stop_button.isVisibleTo(panel)
    panel.stop_button.click()
    assert texts.COMPACTNESS == COMPACTNESS
    assert panel.superpixels.part is None
    assert panel.message.text() == "Cancelled."
    panel.superpixels.settings = Settings(20, method="cds")
    desk.until(lambda: "cds" in panel.message.text())
    assert panel.superpixels.divided is None
    assert not panel.stop_button.isVisibleTo(panel)
