"""Classes of objects in the window: keys, the list, undo, files, find similar."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QInputDialog

from _fake_search import replace_search
from napari_gpcis.objects.classes import ClassedObjects
from napari_gpcis.plugin.dock.pages import PAGES, REVIEW
from napari_gpcis.plugin.dock.panels.objects import ObjectsPanel
from napari_gpcis.plugin.dock.panels.similar import SimilarPanel
from napari_gpcis.plugin.saving import export
from napari_gpcis.plugin.saving.autosave import Autosaver
from napari_gpcis.plugin.tools.objects.classes import ObjectClasses
from napari_gpcis.plugin.tools.objects.table import CLASS
from napari_gpcis.plugin.widget import GPCISWidget
from napari_gpcis.prompts import SavedAnnotation, read_prompts, write_prompts

CONTROL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


def panel(desk: Any, kind: type = ObjectsPanel) -> Any:
    return next(p for p in desk.widget.panels if isinstance(p, kind))


def accept_at(desk: Any, place: tuple[int, int]) -> None:
    desk.robot.click(desk.image, place)
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_N)
    desk.settled(0)


def names(desk: Any) -> dict[int, str]:
    """Class of each row of the list."""
    table = panel(desk).table
    return {
        found.label: table.data(table.index(row, CLASS))
        for row, found in enumerate(table.rows)
    }


def is_shown(desk: Any) -> bool:
    return not panel(desk).list.isColumnHidden(CLASS)


@pytest.fixture
def desk(open_desk: Any) -> Any:
    """A window with two objects."""
    opened = open_desk()
    for place in ((20, 20), (20, 75)):
        accept_at(opened, place)
    opened.until(lambda: len(panel(opened).table.rows) == 2)
    return opened


def test_a_key_gives_a_class_to_what_is_chosen_or_to_what_comes(desk) -> None:
    assert not is_shown(desk)
    desk.robot.click(desk.image, (20, 20))  # chooses it
    desk.until(lambda: panel(desk).picking.chosen is not None)
    desk.robot.press(Qt.Key.Key_2, CONTROL)
    desk.until(lambda: names(desk) == {1: "class 2", 2: "object"})
    assert is_shown(desk)
    desk.robot.press(Qt.Key.Key_U)
    desk.until(lambda: not is_shown(desk))
    desk.robot.press(Qt.Key.Key_U, SHIFT)
    desk.until(lambda: names(desk) == {1: "class 2", 2: "object"})
    panel(desk).picking.choose_none()
    desk.robot.press(Qt.Key.Key_3, CONTROL)
    accept_at(desk, (60, 20))
    desk.until(lambda: names(desk).get(3) == "class 3")
    desk.robot.press(Qt.Key.Key_U)
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_2, CONTROL)  # another class for the current object
    desk.robot.press(Qt.Key.Key_N)
    desk.until(lambda: names(desk).get(3) == "class 2")
    desk.robot.press(Qt.Key.Key_U)
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_U, SHIFT)
    desk.until(lambda: names(desk).get(3) == "class 2")
    assert names(desk) == {1: "class 2", 2: "object", 3: "class 2"}


def test_the_list_gives_a_new_class_that_files_keep(
    desk, tmp_path, monkeypatch
) -> None:
    found = panel(desk)
    desk.widget.pages.setCurrentIndex([*PAGES].index(REVIEW))
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: ("nucleus", True))
    found.list.selectRow(1)
    menu = found.class_button.menu()
    menu.aboutToShow.emit()
    next(one for one in menu.actions() if one.text().startswith("New")).trigger()
    desk.until(lambda: names(desk) == {1: "object", 2: "nucleus"})
    record = desk.widget.recovery.autosaver.record
    file = tmp_path / "work.clicks.json"
    write_prompts(file, record.saved())
    coco, geojson = tmp_path / "a.json", tmp_path / "b.geojson"
    export._coco(record)(coco, desk.labels.data)
    export._geojson(record)(geojson, desk.labels.data)
    content = json.loads(coco.read_text())
    assert [one["name"] for one in content["categories"]] == ["object", "nucleus"]
    assert [one["category_id"] for one in content["annotations"]] == [1, 2]
    features = json.loads(geojson.read_text())["features"]
    kinds = [one["properties"]["classification"] for one in features]
    assert kinds[1] == {"name": "nucleus", "color": [230, 159, 0]}
    before = desk.controller.annotation
    desk.widget.recovery.restorer.open_file(file, desk.image)
    desk.until(lambda: desk.controller.annotation is not before)
    desk.until(lambda: names(desk) == {1: "object", 2: "nucleus"})
    assert is_shown(desk)
    assert read_prompts(file).classes == desk.controller.annotation.classes


def test_classes_go_along_to_the_next_image(bench: Any) -> None:
    autosaver = Autosaver(bench.controller)
    tool = ObjectClasses(bench.controller, list)
    bench.start()
    tool.rename(0, "cell")
    tool.rename(1, "glia", "#0072b2")
    tool.activate(2)
    bench.start(np.ones((80, 100), np.uint8))
    names = [one.name for one in tool.known.classes]
    assert (names, tool.active) == (["cell", "glia", "class 3"], 2)
    assert tool.known.classes[1].colour == "#0072b2"
    assert not tool.known.numbers
    assert not autosaver.record.touched  # nothing was done here: no files for it
    bench.positive.add((30, 40))
    bench.settled(1)
    bench.controller.command("accept")
    bench.settled(0)
    assert tool.known.of(1).name == "class 3"
    saved = SavedAnnotation(
        "next",
        (80, 100),
        (),
        None,
        ClassedObjects().named(1, "class 3").assigned({7: 1}),
    )
    bench.start(np.zeros((80, 100), np.uint8))
    autosaver.record.add_earlier(saved)  # an image with classes of its own
    names = [one.name for one in tool.known.classes]
    assert (names, tool.active) == (["object", "class 3", "glia"], 1)
    assert tool.known.of(7).name == "class 3"
    autosaver.end()


def test_find_similar_looks_for_the_class_that_is_active(desk, monkeypatch) -> None:
    asked: list[list[int]] = []
    replace_search(monkeypatch)

    def collect(*given: Any) -> str:
        asked.append(given[3])
        return "examples"

    monkeypatch.setattr("napari_gpcis.plugin.tools.similar.search.collect", collect)
    assert not panel(desk).list.isVisible()
    panel(desk).list.selectRow(1)
    desk.robot.press(Qt.Key.Key_4, CONTROL)
    desk.until(lambda: is_shown(desk))
    assert names(desk) == {1: "object", 2: "object"}  # nobody sees that it is selected
    desk.widget.pages.setCurrentIndex([*PAGES].index(REVIEW))
    desk.robot.press(Qt.Key.Key_4, CONTROL)
    panel(desk).list.clearSelection()
    desk.robot.press(Qt.Key.Key_4, CONTROL)
    desk.robot.press(Qt.Key.Key_F, SHIFT)
    tool = panel(desk, SimilarPanel).similar
    desk.until(lambda: tool.candidates and tool.progress is None)
    assert asked == [[2]]
    desk.robot.press(Qt.Key.Key_D)
    desk.robot.press(Qt.Key.Key_T)
    desk.until(lambda: names(desk).get(3) == "class 4")
    desk.robot.press(Qt.Key.Key_2, CONTROL)
    desk.robot.press(Qt.Key.Key_F, SHIFT)
    desk.until(lambda: "'class 2'" in desk.widget.status.text())
    assert len(asked) == 1
    assert np.any(desk.labels.data == 3)


def quickly(desk: Any) -> None:
    """Accept two objects before their masks are there, of two classes."""
    desk.segmenter.gate.clear()
    for key, place in ((Qt.Key.Key_2, (60, 20)), (Qt.Key.Key_3, (60, 75))):
        desk.robot.press(key, CONTROL)
        desk.robot.click(desk.image, place)
        desk.robot.press(Qt.Key.Key_N)
    desk.until(lambda: desk.controller.annotation.awaited == 2)


EARLY = {1: "object", 2: "object", 3: "class 2", 4: "class 3"}


def test_an_object_is_of_the_class_with_which_it_was_accepted(desk) -> None:
    """Whatever class is chosen before its mask is there."""
    quickly(desk)
    desk.robot.press(Qt.Key.Key_4, CONTROL)
    desk.segmenter.gate.set()
    desk.until(lambda: names(desk) == EARLY)
    desk.robot.press(Qt.Key.Key_U)
    desk.until(lambda: 4 not in names(desk))
    desk.robot.press(Qt.Key.Key_N)
    desk.until(lambda: names(desk).get(4) == "class 4")


def test_one_that_was_withdrawn_is_of_the_class_that_is_active_then(desk) -> None:
    quickly(desk)
    desk.robot.press(Qt.Key.Key_U)
    desk.robot.press(Qt.Key.Key_4, CONTROL)
    desk.robot.press(Qt.Key.Key_N)
    desk.segmenter.gate.set()
    desk.until(lambda: names(desk) == {**EARLY, 4: "class 4"})


@pytest.mark.parametrize("crashed", [False, True])
def test_it_is_so_after_the_widget_was_closed(desk: Any, crashed: bool) -> None:
    """The same labels go on, or are restored from the recovery file."""
    quickly(desk)
    labels = desk.labels
    (saved,) = desk.widget.recovery.autosaver.record.saved().planes
    assert [one.class_number for one in saved.unfinished] == [1, 2]
    desk.widget.shut_down()
    desk.segmenter.gate.set()
    if crashed:
        for layer in [one for one in desk.viewer.layers if one != desk.image]:
            desk.viewer.layers.remove(layer)
    desk.viewer.window.remove_dock_widget(desk.widget)
    desk.widget = GPCISWidget(desk.widget.viewer, lambda name: desk.segmenter)
    desk.viewer.window.add_dock_widget(desk.widget, name="again")
    if crashed:
        desk.widget.recovery.banner.restore.click()
    else:
        assert desk.widget.start()
    desk.until(lambda: desk.widget.session is not None and names(desk) == EARLY)
    assert (desk.labels == labels) is not crashed
    if not crashed:
        accept_at(desk, (40, 48))
        desk.until(lambda: names(desk).get(5) == "class 3")
