"""Several pieces of unsaved work: none takes another's place, each has its image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox

from _fake_segmenter import FakeSegmenter
from napari_gpcis.plugin.dock.panels.files import FilesPanel
from napari_gpcis.plugin.dock.recovery import (
    IS_ASKED,
    IS_OTHER,
    NOT_IN_MEMORY,
    NOT_KEPT,
    ONE_VALUE,
    OPEN_IMAGE,
    OTHER_FILE,
    OTHER_PIXELS,
    OTHER_SHAPE,
    RESTORE,
    SEVERAL,
    THIS_ONE,
    image_of,
    why_asked,
)
from napari_gpcis.plugin.saving.export import file_names
from napari_gpcis.plugin.saving.identity import (
    FILE,
    ImageIdentity,
    digest_of_pixels,
    place_of,
    source_of,
)
from napari_gpcis.plugin.saving.recovery_file import unsaved_work
from napari_gpcis.plugin.saving.restore import BESIDE, NOT_OPENED, OPEN
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.widget import GPCISWidget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def press(button: Any) -> None:
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def accept(desk: Any, *places: tuple[int, ...]) -> None:
    for place in places:
        desk.robot.click(desk.image, place)
        desk.settled(1)
        desk.robot.press(Qt.Key.Key_N)
        desk.settled(0)


def reopen(desk: Any) -> Any:
    """End the widget as a crash does, and open another one in the same viewer."""
    desk.widget.shut_down()
    own = [one for one in desk.viewer.layers if type(one).__name__ != "Image"]
    for layer in own:
        desk.viewer.layers.remove(layer)
    desk.viewer.window.remove_dock_widget(desk.widget)
    widget = GPCISWidget(desk.widget.viewer, lambda name: FakeSegmenter())
    desk.viewer.window.add_dock_widget(widget, name="again")
    return replace(desk, widget=widget)


@pytest.fixture
def desk(open_desk: Callable[..., Any]) -> Any:
    """Two objects and three objects, in recovery files of one image."""
    desk = open_desk(name="one")
    accept(desk, (20, 20), (20, 60))
    desk = reopen(desk)
    assert desk.widget.start()
    desk.until(lambda: desk.widget.session is not None)
    accept(desk, (60, 20), (60, 50), (60, 80))
    desk = reopen(desk)
    assert [one.objects for one in unsaved_work()] == [3, 2]
    return desk


def restore(desk: Any, amount: int) -> None:
    """Restore what is offered, and wait for it."""
    banner = desk.widget.recovery.banner
    assert f"({amount} objects, " in banner.text.text()
    left = len(banner.found)
    press(banner.restore)
    desk.until(lambda: len(banner.found) == left - 1)
    desk.until(lambda: desk.widget.session is not None)
    desk.settled(0)


def ids(layer: Any) -> list[int]:
    return np.unique(layer.data)[1:].tolist()


def test_a_second_restored_work_gets_a_layer_of_its_own(desk: Any) -> None:
    restore(desk, 3)
    first = desk.labels
    accept(desk, (20, 20))
    shown = first.data.copy()
    desk.robot.click(desk.image, (20, 60))
    desk.settled(1)
    said: list[str] = []
    desk.controller.status_changed.connect(said.append)
    restore(desk, 2)
    second = desk.labels
    assert (first.name, second.name) == ("one objects", "one objects [1]")
    assert first in desk.viewer.layers
    assert first.visible
    assert ids(first) == [1, 2, 3, 4, 5]  # what was being clicked is accepted
    np.testing.assert_array_equal(first.data[shown > 0], shown[shown > 0])
    assert ids(second) == [1, 2]
    assert any(BESIDE.format(second.name, first.name) in words for words in said)
    desk.robot.press(Qt.Key.Key_U)
    assert ids(first) == [1, 2, 3, 4, 5]
    desk.widget.labels_combo.layer = first  # the first goes on
    desk.widget.labels_combo.picked.emit()
    desk.until(lambda: desk.widget.session is not None)
    assert desk.labels == first
    desk.robot.press(Qt.Key.Key_U)  # what was undoable in it still is
    desk.until(lambda: ids(first) == [1, 2, 3, 4])
    desk.robot.press(Qt.Key.Key_U, Qt.KeyboardModifier.ShiftModifier)
    desk.until(lambda: ids(first) == [1, 2, 3, 4, 5])
    accept(desk, (40, 90))
    assert ids(first) == [1, 2, 3, 4, 5, 6]
    assert ids(second) == [1, 2]
    autosaver = desk.widget.recovery.autosaver
    assert sorted(record.amount for record in autosaver.unsaved) == [
        "2 objects",
        "6 objects",
    ]


def test_a_banner_says_nothing_of_other_work(desk: Any, tmp_path: Path) -> None:
    """What is opened or saved meanwhile is told where that is done."""
    banner = desk.widget.recovery.banner
    before = banner.text.text()
    desk.image = desk.viewer.add_image(np.zeros((80, 90), np.uint8), name="other")
    desk.widget.image_combo.layer = desk.image
    assert desk.widget.start()
    desk.until(lambda: desk.widget.session is not None)
    accept(desk, (20, 20))
    files = next(one for one in desk.widget.panels if isinstance(one, FilesPanel))
    files.write("save", tmp_path / "other")
    desk.until(lambda: "Saved" in files.message.text())
    (clicks, *_) = file_names(tmp_path / "other")
    files.open_file(clicks)
    desk.until(lambda: "Opened" in files.message.text())
    assert banner.text.text() == before


def test_what_is_chosen_is_offered_first(desk: Any) -> None:
    banner = desk.widget.recovery.banner
    other = desk.viewer.add_image(np.zeros((80, 90), np.uint8), name="other")
    desk.widget.image_combo.layer = other
    assert desk.widget.start()
    desk.until(lambda: desk.widget.session is not None)
    accept(replace(desk, image=other), (20, 20))
    desk = reopen(desk)
    banner = desk.widget.recovery.banner
    desk.widget.image_combo.layer = desk.image
    assert "'one' (3 objects, " in banner.text.text()
    desk.widget.image_combo.layer = other
    assert "'other' (1 object, " in banner.text.text()
    desk.widget.image_combo.layer = desk.image
    press(banner.discard)  # what is offered, and nothing else
    assert "'one' (2 objects, " in banner.text.text()
    assert sorted(one.objects for one in unsaved_work()) == [1, 2]
    desk.widget.image_combo.layer = other
    press(banner.restore)
    desk.until(lambda: desk.widget.session is not None)
    assert desk.controller.annotation.image == other


def test_work_goes_to_the_image_of_its_file(desk: Any, tmp_path: Path) -> None:
    """Images of one name and shape, opened from two folders."""
    files = [tmp_path / folder / "one.tif" for folder in "abc"]
    for file in files[:2]:
        file.parent.mkdir()
        file.touch()
    a, b = (
        Image(desk.image.data, name="one", metadata={FILE: str(file)})
        for file in files[:2]
    )
    c = Image(desk.image.data, name="one")
    (found, _) = unsaved_work()
    of_b = replace(found, source=str(files[1]))
    assert image_of(of_b, [a, b, c]) == (b, True)
    assert image_of(of_b, [a]) == (None, False)  # its own can be opened
    assert image_of(of_b, [a, c]) == (c, False)  # not of a file that is another
    moved = replace(found, source=str(files[2]))
    assert image_of(moved, [a, b, c]) == (a, False)
    assert image_of(moved, [a, b, c], c) == (c, False)  # all alike: the chosen one
    a.name = "other"
    assert image_of(moved, [a, b], a) == (b, False)  # of its name


def test_one_file_has_one_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened from whatever folder: work on it is found again."""
    file = tmp_path / "nav" / "im0.png"
    file.parent.mkdir()
    file.touch()
    monkeypatch.chdir(tmp_path)
    image = np.zeros((4, 5))
    for path in (str(file), "nav/im0.png"):
        assert source_of(Image(image, metadata={FILE: path})) == str(file)
    for path in ("gone.png", "https://example.org/im0.png", ""):
        assert source_of(Image(image, metadata={FILE: path})) == path


@pytest.mark.parametrize("removed", [False, True])
def test_opened_clicks_do_not_take_the_place_of_unsaved_work(
    open_desk: Callable[..., Any], tmp_path: Path, removed: bool
) -> None:
    desk = open_desk(name="one")
    accept(desk, (20, 20))
    files = next(one for one in desk.widget.panels if isinstance(one, FilesPanel))
    files.write("save", tmp_path / "work")
    desk.until(lambda: "Saved" in files.message.text())
    desk.robot.click(desk.image, (60, 60))
    desk.settled(1)
    first = desk.labels
    files.open_file(file_names(tmp_path / "work")[0])
    desk.until(lambda: "Opened" in files.message.text())
    second = desk.labels
    assert (first.name, second.name) == ("one objects", "one objects [1]")
    assert BESIDE.format(second.name, first.name) in files.message.text()
    assert (ids(first), ids(second)) == ([1, 2], [1])
    if removed:  # nor does what is restored
        desk.viewer.layers.remove(first)
        accept(desk, (60, 20), (40, 90))
        press(desk.widget.recovery.banner.restore)
        desk.until(lambda: desk.labels is not second)
        desk.until(lambda: desk.widget.session is not None)
        assert (ids(desk.labels), ids(second)) == ([1, 2], [1, 2, 3])


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("a/cells.tif", "a/cells.tif"),
        ("a/image.zarr", "a/image.zarr"),
        ("a/image.zarr/0", "a/image.zarr"),
        ("a/plate.ZARR/A/1/labels/x.zarr/0", "a/plate.ZARR"),
    ],
)
def test_files_about_an_image_go_beside_it(source: str, place: str) -> None:
    assert place_of(source).as_posix() == place


def test_no_file_goes_into_an_ome_zarr_image(
    open_desk: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plate, proposed = tmp_path / "plate.zarr", []

    def choose(_parent: Any, _title: str, name: str, **_: Any) -> tuple[str, str]:
        proposed.append(name)
        return "", ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    monkeypatch.setattr(
        QFileDialog,
        "getOpenFileName",
        lambda *args, **_: (proposed.append(args[2]), ("", ""))[1],
    )
    desk = open_desk(name="well", metadata={FILE: str(plate / "A" / "0")})
    PREFERENCES.autosave_beside = True
    (plate / "A" / "0").mkdir(parents=True)
    accept(desk, (20, 20))
    copy = tmp_path / "plate.zarr-A-0.autosave.clicks.json"
    desk.until(copy.is_file)
    files = next(one for one in desk.widget.panels if isinstance(one, FilesPanel))
    files.buttons["save"].click()
    files.buttons["open"].click()
    assert proposed == [str(tmp_path / "well.clicks.json"), f"{tmp_path}"]
    inside = sorted(one.relative_to(plate).as_posix() for one in plate.rglob("*"))
    assert inside == ["A", "A/0"]


SERIES = np.random.default_rng(0).integers(0, 99, (3, 80, 100), np.uint8)
INVISIBLE = str.maketrans("", "", "\u200b\u2060")


class Answers:
    """Presses buttons of questions, in order, and then *Cancel*."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.titles: list[str] = []
        self._timer = QTimer()
        self._timer.timeout.connect(self._answer)
        self._timer.start(20)

    def end(self) -> None:
        self._timer.stop()

    def _answer(self) -> None:
        box = QApplication.activeModalWidget()
        if isinstance(box, QMessageBox):
            self.asked.append(box.text().translate(INVISIBLE))
            title = self.titles.pop(0) if self.titles else "Cancel"
            found = {one.text().replace("&", ""): one for one in box.buttons()}
            press(found[title])


@pytest.fixture
def answers() -> Iterator[Answers]:
    made = Answers()
    yield made
    made.end()


def add(desk: Any, number: int, folder: Path, **options: Any) -> Image:
    """Open an image of the series, from its file."""
    file = folder / f"im{number}.png"
    file.touch()
    options = {"name": f"im{number}", "metadata": {FILE: str(file)}, **options}
    image = desk.viewer.add_image(SERIES[number], **options)
    desk.widget.image_combo.layer = image
    return image


@pytest.fixture
def left(open_desk: Callable[..., Any], tmp_path: Path) -> Any:
    """Work on ``im2.png`` after a crash; the image is not open any more."""
    file = tmp_path / "im2.png"
    file.touch()
    desk = open_desk(SERIES[2], name="im2", metadata={FILE: str(file)})
    accept(desk, (20, 20), (20, 60))
    image = desk.image
    desk = reopen(desk)
    desk.viewer.layers.remove(image)
    return desk


def press_restore(desk: Any) -> None:
    press(desk.widget.recovery.banner.restore)


def restored_on(desk: Any) -> Any:
    """Wait for what is restored, and return its image."""
    desk.until(lambda: not desk.widget.recovery.banner.found)
    desk.until(lambda: desk.widget.session is not None)
    assert ids(desk.labels) == [1, 2]
    return desk.controller.annotation.image


def test_work_waits_for_its_own_image(
    left: Any, tmp_path: Path, answers: Answers
) -> None:
    other = add(left, 1, tmp_path)
    before = [*left.viewer.layers]
    press_restore(left)
    banner = left.widget.recovery.banner
    named = f"'im2' ({tmp_path / 'im2.png'})"
    assert banner.text.text().endswith(OPEN_IMAGE.format(named))
    assert [*left.viewer.layers] == before
    other.name = "im2"  # of its name and shape, but of another file that is there
    press_restore(left)
    said = f"{OPEN_IMAGE.format(named)} {THIS_ONE.format('im2', OTHER_FILE)}"
    assert banner.text.text().endswith(said)
    other.name = "im1"
    own = add(left, 2, tmp_path)
    left.widget.image_combo.layer = other  # its own is open, but not chosen
    press_restore(left)
    assert restored_on(left) is own
    assert answers.asked == []


def test_the_user_says_whether_an_image_that_was_moved_is_the_same(
    left: Any, tmp_path: Path, answers: Answers
) -> None:
    (tmp_path / "im2.png").unlink()
    (tmp_path / "moved").mkdir()
    other = add(left, 1, tmp_path / "moved", name="im2")
    press_restore(left)
    assert len(answers.asked) == 1
    for file in (tmp_path / "im2.png", tmp_path / "moved" / "im1.png"):
        assert f"'im2' ({file})" in answers.asked[0]
    assert "Open its image first" in left.widget.recovery.banner.text.text()
    assert left.controller.annotation is None
    assert [one.objects for one in unsaved_work()] == [2]
    answers.titles = [RESTORE]
    press_restore(left)
    assert restored_on(left) is other
    assert len(answers.asked) == 2


def test_an_image_that_was_moved_is_known_by_its_pixels(
    left: Any, tmp_path: Path, answers: Answers
) -> None:
    (tmp_path / "im2.png").unlink()
    (tmp_path / "moved").mkdir()
    own = add(left, 2, tmp_path / "moved", name="renamed")
    add(left, 1, tmp_path / "moved")
    press_restore(left)
    assert restored_on(left) is own
    assert answers.asked == []


def test_work_without_a_file_asks_before_it_goes_onto_other_pixels(
    open_desk: Callable[..., Any], answers: Answers
) -> None:
    """An array of the console, removed: the next one has its name and shape."""
    desk = open_desk(SERIES[2], name="array")
    accept(desk, (20, 20), (20, 60))
    desk.viewer.layers.remove(desk.image)
    banner = desk.widget.recovery.banner
    desk.until(banner.isVisible)
    desk.viewer.add_image(SERIES[1], name="array")
    press_restore(desk)
    assert len(answers.asked) == 1
    assert "The unsaved work (2 objects) is of 'array'." in answers.asked[0]
    assert f"This image is 'array'. {OTHER_PIXELS}" in answers.asked[0]
    assert said_to_open(desk, IS_OTHER)
    desk.viewer.layers.remove("array")
    desk.viewer.add_image(SERIES[2][:9], name="array")
    press_restore(desk)
    assert said_to_open(desk, OTHER_SHAPE)
    desk.viewer.layers.remove("array")
    own = desk.viewer.add_image(SERIES[2], name="array")
    press_restore(desk)
    assert restored_on(desk) is own
    assert len(answers.asked) == 1


def said_to_open(desk: Any, why: str) -> bool:
    """Return whether the banner asks for 'array', and why not that which is open."""
    words = f"{OPEN_IMAGE.format(repr('array'))} {THIS_ONE.format('array', why)}"
    text: str = desk.widget.recovery.banner.text.text()
    return text.endswith(words)


BLANK = digest_of_pixels(np.zeros((4, 5)))


@pytest.mark.parametrize(
    ("work", "here", "why"),
    [
        (("a", "", "p"), ("a", "", "q"), OTHER_PIXELS),
        (("a", "", BLANK), ("a", "", "q"), OTHER_PIXELS),
        (("a", "", "p"), ("a", "", ""), NOT_IN_MEMORY),
        (("a", "", ""), ("a", "", ""), NOT_IN_MEMORY),
        (("a", "", ""), ("a", "", "p"), NOT_KEPT),
        (("a", "", BLANK), ("b", "", BLANK), ONE_VALUE),
        (("a", "", BLANK), ("a.tif", "", BLANK), SEVERAL),
    ],
)
def test_the_question_says_why_it_is_asked(work: Any, here: Any, why: str) -> None:
    assert why_asked(ImageIdentity(*work), ImageIdentity(*here)) == why


def lazy(number: int) -> Any:
    return da.from_array(SERIES[number], chunks=(40, 50))


def test_work_on_a_lazy_image_asks_before_it_goes_onto_another_layer(
    open_desk: Callable[..., Any], answers: Answers
) -> None:
    desk = open_desk(lazy(2), name="array")
    accept(desk, (20, 20), (20, 60))
    own, banner = desk.image, desk.widget.recovery.banner
    desk.viewer.layers.remove(own)
    desk.until(banner.isVisible)
    desk.viewer.layers.append(own)  # the same layer comes back
    press_restore(desk)
    assert restored_on(desk) is own
    assert answers.asked == []
    desk.viewer.layers.remove(own)
    desk.until(banner.isVisible)
    other = desk.viewer.add_image(lazy(1), name="array")
    press_restore(desk)
    assert NOT_IN_MEMORY in answers.asked[0]
    assert said_to_open(desk, IS_ASKED)
    assert desk.controller.annotation is None
    answers.titles = [RESTORE]
    press_restore(desk)
    assert restored_on(desk) is other


def test_work_on_a_lazy_image_asks_after_a_crash(
    open_desk: Callable[..., Any], answers: Answers
) -> None:
    desk = open_desk(lazy(2), name="array")
    accept(desk, (20, 20), (20, 60))
    desk = reopen(desk)
    desk.viewer.layers.clear()
    for data, why in ((lazy(1), NOT_IN_MEMORY), (SERIES[1], NOT_KEPT)):
        desk.viewer.add_image(data, name="array")
        press_restore(desk)
        assert why in answers.asked[-1]
        assert said_to_open(desk, IS_ASKED)
        assert desk.controller.annotation is None
        desk.viewer.layers.clear()
    assert len(answers.asked) == 2
    assert [one.objects for one in unsaved_work()] == [2]


def test_clicks_of_another_image_are_opened_only_if_that_is_wanted(
    open_desk: Callable[..., Any], tmp_path: Path, answers: Answers
) -> None:
    desk = open_desk(SERIES[2], name="im2")
    accept(desk, (20, 20))
    files = next(one for one in desk.widget.panels if isinstance(one, FilesPanel))
    files.write("save", tmp_path / "im2")
    desk.until(lambda: "Saved" in files.message.text())
    (clicks, *_) = file_names(tmp_path / "im2")
    files.open_file(clicks)  # of its own: no question
    desk.until(lambda: "Opened" in files.message.text())
    assert "another image" not in files.message.text()
    own, desk.image = desk.image, add(desk, 1, tmp_path)
    before = [*desk.viewer.layers]
    files.open_file(clicks)
    desk.until(lambda: files.message.text() == NOT_OPENED.format(clicks.name))
    (question,) = answers.asked
    assert clicks.name in question
    assert "of another image, 'im2'" in question
    assert f"'im1' ({tmp_path / 'im1.png'})" in question
    assert [*desk.viewer.layers] == before
    desk.viewer.layers.remove(own)
    desk.image.name = "im2"  # the name alone does not make it the same
    answers.titles = [OPEN]
    files.open_file(clicks)
    desk.until(lambda: files.message.text().startswith("Opened"))
    assert "has this name, but other pixels" in answers.asked[1]
    assert "of another image, 'im2'" in files.message.text()
    assert "by hand" not in files.message.text()
    assert desk.controller.annotation.image is desk.image
    assert ids(desk.labels) == [1]
