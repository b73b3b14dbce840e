"""Keys: one table, each key changeable, none that somebody else needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from app_model import Application
from napari.settings import get_settings
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_gpcis.errors import InputError
from napari_gpcis.plugin.dock.panels.shortcuts import ShortcutsPanel
from napari_gpcis.plugin.settings import shortcuts
from napari_gpcis.plugin.settings.commands import COMMANDS
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.settings.shortcuts import (
    change,
    commands,
    key_of,
    spelt,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def problems() -> dict[str, str]:
    return {row.command.name: row.problem for row in table() if row.problem}


def test_the_default_keys_are_free(make_napari_viewer: Callable[..., Any]) -> None:
    make_napari_viewer()
    for command in commands():  # as if the user had typed them
        PREFERENCES.shortcuts = {
            command.name: " ".join((*command.on_points, command.anywhere)) or "-"
        }
        wrong = problems().get(command.name, "")
        assert "is not a key" not in wrong
    PREFERENCES.shortcuts = {}
    assert not problems()
    keys = [spelt(key) for row in table() for key in row.keys]
    assert len(keys) == len(set(keys))


REFUSED = {
    "foo": "'foo' is not a key; examples: N, Shift-N",
    "Shift": "'Shift' is not a key",
    "X": "X is napari's key on image layers",
    "A": "A is napari's key on points layers",
    "W P": "P is napari's key on points layers",
    "Control-Y": "Control-Y is a key of napari itself",
    "Ctrl+O": "Ctrl+O is a key of napari itself",
    "G": "G runs 'Back to clicking' already",
    "Shift-K N": "N runs 'Accept, next object' already",
}
"""Keys that cannot be used, and why."""


def test_a_key_that_cannot_be_used_is_refused(
    make_napari_viewer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_napari_viewer()
    app = Application.get_app("test_app")  # napari's name for itself in tests
    monkeypatch.setattr(Application, "get_app", lambda name: app)
    for text, reason in REFUSED.items():
        PREFERENCES.shortcuts = {"undo": text}  # from napari's preferences
        assert reason in problems()["undo"]
        assert problems()["undo"].endswith("; U Control-Z stays.")
        assert key_of("undo") == "U"
        PREFERENCES.shortcuts = {}
        with pytest.raises(InputError, match="Undo: "):
            change("undo", text)
        assert PREFERENCES.shortcuts == {}, text
        change("undo", "F6")
        with pytest.raises(InputError, match="; F6 stays"):
            change("undo", text)
        assert PREFERENCES.shortcuts == {"undo": "F6"}, text


def test_two_keys_may_change_places() -> None:
    PREFERENCES.shortcuts = {"accept": "U Enter", "undo": "N Control-Z"}
    assert not problems()
    assert (key_of("accept"), key_of("undo")) == ("U", "N")


def test_the_table_is_built_again_only_when_keys_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built: list[int] = []

    def counted() -> Any:
        built.append(1)
        return table()

    monkeypatch.setattr(shortcuts, "table", counted)
    PREFERENCES.shortcuts = {"undo": "Shift-I Control-Z"}
    assert [key_of("undo") for _ in range(3)] == ["Shift-I"] * 3
    assert len(built) == 1
    settings = get_settings().shortcuts
    before = dict(settings.shortcuts)
    action = next(iter(before))
    try:
        settings.shortcuts = {**before, action: ["Shift-I"]}
        assert key_of("undo") == "U"
    finally:
        settings.shortcuts = before
    assert key_of("undo") == "Shift-I"
    assert len(built) == 3


def test_the_new_key_works_at_once_and_the_old_no_more(open_desk: Any) -> None:
    desk = open_desk()
    (panel,) = (one for one in desk.widget.panels if isinstance(one, ShortcutsPanel))
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    field = panel.fields["undo"]
    field.selectAll()
    QTest.keyClicks(field, "Shift-F6 Control-Z")
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert key_of("undo") == "Shift-F6"
    assert desk.widget.buttons["undo"].text() == "Undo (Shift-F6)"
    assert "Shift-F6 or Control-Z" in desk.widget.buttons["undo"].toolTip()
    desk.robot.press(Qt.Key.Key_U)
    desk.qtbot.wait(50)
    assert len(desk.positive.data) == 1
    desk.robot.press(Qt.Key.Key_F6, Qt.KeyboardModifier.ShiftModifier)
    desk.settled(0)
    desk.robot.press(Qt.Key.Key_U, Qt.KeyboardModifier.ShiftModifier)
    desk.settled(1)
    field.selectAll()
    QTest.keyClicks(field, "X")
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert "napari's key on image layers" in panel.message.text()
    assert field.text() == "Shift-F6 Control-Z"
    QTest.mouseClick(panel.reset, Qt.MouseButton.LeftButton)
    assert key_of("undo") == "U"
    assert not panel.message.text()


def test_the_key_for_going_back_is_named_everywhere(open_desk: Any) -> None:
    desk = open_desk()
    change("ready", "F7")
    desk.viewer.layers.selection.active = desk.image
    assert desk.widget.notices.banner.buttons[0].text() == "Click again (F7)"
    assert "<b>F7</b>" in desk.widget.help.text()
    desk.robot.press(Qt.Key.Key_F7)
    assert desk.viewer.layers.selection.active == desk.positive


def test_keys_bound_by_others_are_told(
    make_napari_viewer_proxy: Any, segmenter: Any, qtbot: Any
) -> None:
    from napari_gpcis.plugin.widget import GPCISWidget

    proxy = make_napari_viewer_proxy()
    proxy.__wrapped__.bind_key("N", lambda viewer: None)
    widget = GPCISWidget(proxy, lambda name: segmenter)
    qtbot.addWidget(widget)
    (panel,) = (one for one in widget.panels if isinstance(one, ShortcutsPanel))
    assert panel.message.text() == "Accept, next object: N is bound already."
    button = widget.buttons["accept"]
    assert button.text() == "Accept, next object"
    assert button.toolTip().endswith("Key: Enter")
    assert set(panel.fields) == {command.name for command in COMMANDS} | {"ready"}
    widget.shut_down()
