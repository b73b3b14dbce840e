"""A layer of unsaved work is removed: it is said, and the work comes back whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_gpcis.objects.classes import ClassedObjects, ObjectClass
from napari_gpcis.plugin.dock.recovery import OPEN_IMAGE, REMOVED, RecoveryManager
from napari_gpcis.plugin.saving.recovery_file import read_recovery, unsaved_work
from napari_gpcis.plugin.settings.preferences import PREFERENCES

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_gpcis.plugin.dock.recovery import RecoveryBanner

IMAGE = np.zeros((3, 80, 100), np.uint8)
AMOUNT = "2 objects, 2 further clicks"
TEXT = REMOVED.format("cells", AMOUNT)
ROLES = ("labels", "image", "positive", "negative")


class Work(NamedTuple):
    """What is seen of some work, and what would be saved of it."""

    labels: np.ndarray
    positive: list[Any]
    negative: list[Any]
    saved: Any
    name: str
    layers: list[str]


@pytest.fixture
def desk(open_desk: Callable[..., Any]) -> Any:
    """Two objects with classes, the second corrected, and a third being clicked."""
    desk = open_desk(IMAGE, name="cells")
    desk.viewer.dims.set_current_step(0, 1)
    desk.until(lambda: desk.current.plane.steps[0] == 1 and desk.current.session)
    annotation = desk.controller.annotation
    classes = ObjectClass("one", "#e69f00"), ObjectClass("two", "#0072b2")
    annotation.take_classes(ClassedObjects(classes))
    for place in ((30, 40), (60, 80)):
        desk.robot.click(desk.image, (1, *place))
        desk.settled(1)
        desk.controller.command("accept")
        desk.settled(0)
    annotation.classify({2: len(annotation.classes.classes) - 1})
    desk.robot.click(desk.image, (1, 20, 80))
    desk.settled(1)
    desk.robot.click(desk.image, (1, 22, 90), Qt.MouseButton.RightButton)
    desk.settled(2)
    return desk


def banner_of(desk: Any) -> RecoveryBanner:
    banner: RecoveryBanner = desk.widget.recovery.banner
    return banner


def work_of(desk: Any) -> Work:
    return Work(
        desk.labels.data.copy(),
        desk.positive.data.round(3).tolist(),
        desk.negative.data.round(3).tolist(),
        desk.widget.recovery.autosaver.record.saved(),
        desk.labels.name,
        sorted(layer.name for layer in desk.viewer.layers),
    )


def remove(desk: Any, role: str) -> None:
    """Remove a layer, and wait until it is said."""
    annotation = desk.controller.annotation
    named = {"image": annotation.image, **annotation.layers._asdict()}
    desk.viewer.layers.remove(named[role])
    desk.until(banner_of(desk).isVisible)
    assert banner_of(desk).text.text() == TEXT


def press(button: Any) -> None:
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def check_whole(desk: Any, work: Work) -> None:
    """Check that the work goes on as it was, and that there is nothing else."""
    desk.until(lambda: desk.controller.session is not None)
    desk.settled(2)
    now = work_of(desk)
    np.testing.assert_array_equal(now.labels, work.labels)
    assert now.positive == work.positive
    assert now.negative == work.negative
    assert now.name == work.name
    assert now.saved.ids == work.saved.ids
    assert now.saved.classes == work.saved.classes
    assert [plane.objects for plane in now.saved.planes] == [
        plane.objects for plane in work.saved.planes
    ]
    clicks = [plane.sessions[-1].current.clicks for plane in now.saved.planes]
    assert clicks == [plane.sessions[-1].current.clicks for plane in work.saved.planes]
    assert banner_of(desk).isHidden()
    assert now.layers == work.layers
    (record,) = desk.widget.recovery.autosaver.unsaved
    assert record is desk.widget.recovery.autosaver.record


@pytest.mark.parametrize("role", ROLES)
def test_work_that_has_lost_a_layer_comes_back_whole(
    desk: Any, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        RecoveryManager, "_confirm", lambda _, words, __: bool(asked.append(words))
    )
    work = work_of(desk)
    remove(desk, role)
    banner = banner_of(desk)
    if role == "image":
        press(banner.restore)
        assert banner.text.text() == f"{TEXT} {OPEN_IMAGE.format(repr('cells'))}"
        desk.viewer.add_image(IMAGE, name="others")  # of the same shape, not the same
        press(banner.restore)
        assert OPEN_IMAGE.split(":")[0] in banner.text.text()
        assert len(asked) == 1
        assert "'others'" in asked[0]
        desk.viewer.layers.remove("others")
        desk.image = desk.viewer.add_image(IMAGE, name="cells")
        desk.viewer.dims.set_current_step(0, 1)
    press(banner.restore)
    desk.until(lambda: desk.controller.annotation)
    assert len(asked) == (role == "image")
    check_whole(desk, work)
    assert desk.controller.annotation.image == desk.image
    desk.controller.command("accept")
    desk.settled(0)
    record = desk.widget.recovery.autosaver.record
    assert record.saved().ids == (1, 2, 3)
    np.testing.assert_array_equal(desk.labels.data, work.labels)
    record.settle(record.version)
    desk.widget.shut_down()
    assert unsaved_work() == []


def test_the_pixels_tell_the_image_of_work_that_has_lost_it(
    open_desk: Callable[..., Any],
) -> None:
    """Under another name, beside one of its name with other pixels; nobody is asked."""
    pixels = np.random.default_rng(0).integers(0, 99, (80, 100)).astype(np.uint8)
    desk = open_desk(pixels, name="cells")
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    labels = desk.labels.data.copy()
    desk.viewer.layers.clear()
    desk.until(banner_of(desk).isVisible)
    desk.viewer.add_image(pixels[::-1].copy(), name="cells")
    desk.image = desk.viewer.add_image(pixels.copy(), name="again")
    press(banner_of(desk).restore)
    desk.until(lambda: desk.controller.annotation)
    desk.until(lambda: desk.controller.session is not None)
    desk.settled(1)
    assert desk.controller.annotation.image == desk.image
    np.testing.assert_array_equal(desk.labels.data, labels)
    assert banner_of(desk).isHidden()


@pytest.mark.parametrize("role", ["positive", "negative"])
def test_start_goes_on_where_a_layer_of_clicks_was_removed(
    desk: Any, role: str
) -> None:
    work = work_of(desk)
    remove(desk, role)
    press(desk.widget.start_button)
    check_whole(desk, work)
    desk.controller.command("undo")
    desk.settled(1)
    assert desk.positive.data.round(3).tolist() == work.positive
    assert desk.negative.data.tolist() == []


def test_another_image_does_not_get_the_clicks_of_one_that_is_gone(desk: Any) -> None:
    work, labels = work_of(desk), desk.labels
    remove(desk, "image")
    other = desk.viewer.add_image(IMAGE, name="others")
    assert desk.controller.start(other, labels)
    desk.until(lambda: desk.controller.session is not None)
    desk.settled(0)
    np.testing.assert_array_equal(labels.data, work.labels)
    assert banner_of(desk).isHidden()


def test_removed_labels_come_back_after_others_were_begun(desk: Any) -> None:
    """Their memory is free as soon as they are written; then the file has them."""
    work = work_of(desk)
    remove(desk, "labels")
    (found,) = banner_of(desk).found
    press(desk.widget.start_button)
    desk.until(lambda: desk.controller.session is not None)
    desk.until(lambda: found.work.record.released)
    assert banner_of(desk).text.text() == TEXT
    np.testing.assert_array_equal(
        read_recovery(found.work.file.path).labels(), work.labels
    )
    press(banner_of(desk).restore)
    desk.until(lambda: desk.controller.annotation and 1 in desk.labels.data)
    check_whole(desk, work)


def test_unsaved_labels_that_are_in_no_file_are_not_released(desk: Any) -> None:
    PREFERENCES.autosave = False
    work = work_of(desk)
    remove(desk, "labels")
    press(desk.widget.start_button)
    desk.until(lambda: desk.controller.session is not None)
    press(banner_of(desk).restore)
    desk.until(lambda: desk.controller.annotation and 1 in desk.labels.data)
    check_whole(desk, work)


def test_all_layers_that_are_removed_at_once_are_one_piece_of_work(desk: Any) -> None:
    work = work_of(desk)
    desk.viewer.layers.select_all()
    desk.viewer.layers.remove_selected()
    desk.until(banner_of(desk).isVisible)
    desk.qtbot.wait(50)
    assert len(banner_of(desk).found) == 1
    desk.viewer.add_image(IMAGE, name="cells")
    desk.viewer.dims.set_current_step(0, 1)
    press(banner_of(desk).restore)
    desk.until(lambda: desk.controller.annotation)
    check_whole(desk, work)


@pytest.mark.parametrize("role", ["labels", "positive"])
def test_work_that_has_lost_a_layer_can_be_discarded(desk: Any, role: str) -> None:
    labels = desk.labels
    remove(desk, role)
    press(banner_of(desk).discard)
    assert banner_of(desk).isHidden()
    assert not desk.widget.recovery.unsaved  # not asked about on closing
    desk.qtbot.wait(50)
    assert banner_of(desk).isHidden()
    assert (labels in desk.viewer.layers) is (role != "labels")
    desk.widget.shut_down()
    assert unsaved_work() == []


@pytest.mark.parametrize("role", ["labels", "positive"])
def test_work_that_has_lost_a_layer_is_kept_for_the_next_time(
    desk: Any, role: str
) -> None:
    work = work_of(desk)
    remove(desk, role)
    assert desk.widget.recovery.unsaved  # asked about on closing
    desk.widget.shut_down()
    (left,) = unsaved_work()
    assert left.amount == AMOUNT
    np.testing.assert_array_equal(left.labels(), work.labels)


def test_labels_that_are_removed_after_stop_are_offered(desk: Any) -> None:
    labels = desk.labels
    press(desk.widget.start_button)  # Stop
    shown = labels.data.copy()
    desk.qtbot.wait(50)
    assert banner_of(desk).isHidden()
    desk.viewer.layers.remove(labels)
    desk.until(banner_of(desk).isVisible)
    assert banner_of(desk).text.text() == REMOVED.format("cells", "3 objects")
    press(banner_of(desk).restore)
    desk.until(lambda: desk.controller.annotation)
    np.testing.assert_array_equal(desk.labels.data, shown)


def test_work_that_is_saved_or_empty_is_not_offered(open_desk: Any) -> None:
    desk = open_desk(IMAGE, name="cells")
    desk.viewer.layers.remove(desk.labels)
    desk.qtbot.wait(50)
    assert banner_of(desk).isHidden()
    assert desk.widget.start()
    desk.until(lambda: desk.controller.session is not None)
    desk.robot.click(desk.image, (0, 30, 40))
    desk.settled(1)
    labels = desk.labels
    desk.viewer.layers.remove(labels)
    desk.until(banner_of(desk).isVisible)
    record = desk.widget.recovery.autosaver.record
    record.settle(record.version)  # as saving does
    assert banner_of(desk).isHidden()
