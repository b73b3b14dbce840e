"""Preferences: kept by napari, seen by open widgets, reachable from its menus."""

from __future__ import annotations

import runpy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from npe2 import PluginManifest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_gpcis.checkpoints.registry import DEFAULT_MODEL
from napari_gpcis.plugin import menu as palette
from napari_gpcis.plugin.dock.model_list import MODELS
from napari_gpcis.plugin.settings.preferences import (
    PREFERENCES,
    SECTIONS,
    click_colour,
    link_to_napari,
)
from napari_gpcis.plugin.settings.shortcuts import commands, key_of
from napari_gpcis.plugin.viewer.layers import NEGATIVE_COLOUR, POSITIVE_COLOUR
from napari_gpcis.plugin.widget import GPCISWidget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qtpy.QtWidgets import QLineEdit

ROOT = Path(__file__).parents[3]
MATCH_EXACTLY = Qt.MatchFlag.MatchExactly


@pytest.fixture
def manifest() -> PluginManifest:
    return PluginManifest.from_file(ROOT / "napari.yaml")


@pytest.fixture
def kept(plugin_settings: None, npe2pm: Any, manifest: PluginManifest) -> Any:
    """The preferences as napari keeps them, in a file of the test's."""
    from napari.settings import get_plugin_settings

    npe2pm.register(manifest)
    return get_plugin_settings("napari-gpcis")


def test_what_is_made_from_the_table_of_commands_is_up_to_date() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "update_tables.py"))["made"]
    for file, text in made().items():
        assert file.read_text() == text, f"run scripts/update_tables.py: {file}"


def test_the_manifest_has_all_preferences_with_their_defaults(
    manifest: PluginManifest,
) -> None:
    sections = manifest.contributions.configurations
    for section, names in SECTIONS.items():
        assert set(sections[section].properties) == set(names)
        for name in names:
            found = sections[section].properties[name]
            assert found.default == getattr(PREFERENCES, name), name
            assert found.description, name
            assert type(found.default) is type(getattr(PREFERENCES, name))
    assert [*sections] == [*SECTIONS, "keybindings"]


def test_changes_are_seen_on_both_sides_and_kept(kept: Any) -> None:
    assert link_to_napari()
    assert link_to_napari()  # once is enough
    kept.models.device = "cpu"
    assert PREFERENCES.device == "cpu"
    PREFERENCES.threshold = 0.7
    assert kept.clicking.threshold == 0.7
    kept.keybindings.undo = "F6 Control-Z"
    assert key_of("undo") == "F6"
    PREFERENCES.shortcuts = {**PREFERENCES.shortcuts, "undo": "F7"}
    assert kept.keybindings.undo == "F7"
    with pytest.raises(ValueError, match="not one of the allowed"):
        kept.models.device = "abacus"
    assert "threshold: 0.7" in Path(kept.config_path).read_text()


def test_what_was_kept_is_there_the_next_time(kept: Any) -> None:
    kept.clicking.protect = False
    kept.saving.autosave_seconds = 99
    assert link_to_napari()
    assert (PREFERENCES.protect, PREFERENCES.autosave_seconds) == (False, 99)


def test_an_older_napari_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import napari.settings

    monkeypatch.delattr(napari.settings, "get_plugin_settings")
    assert not link_to_napari()
    PREFERENCES.threshold = 0.6  # holds until napari is closed
    assert PREFERENCES.threshold == 0.6


def test_a_plugin_that_is_not_installed_keeps_nothing(plugin_settings: None) -> None:
    assert not link_to_napari()


def test_colours_change_at_once(open_desk: Callable[..., Any]) -> None:
    desk = open_desk()
    desk.robot.click(desk.image, (30, 40))
    desk.settled(1)
    PREFERENCES.positive_colour = "magenta"
    np.testing.assert_allclose(desk.positive.face_color, [[1, 0, 1, 1]])
    desk.robot.click(desk.image, (50, 40))
    desk.settled(2)
    np.testing.assert_allclose(desk.positive.face_color, [[1, 0, 1, 1]] * 2)
    PREFERENCES.positive_colour = "no colour at all"
    shown = desk.positive.face_color[0]
    default = [int(POSITIVE_COLOUR[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    np.testing.assert_allclose(shown[:3], default, atol=0.01)


def test_a_colour_that_is_none_is_never_drawn(
    open_desk: Callable[..., Any], errors: list[str]
) -> None:
    """And what 'How to click' shows has the colours in use."""
    desk = open_desk()
    assert f"color:{POSITIVE_COLOUR}" in desk.widget.help.text()
    PREFERENCES.positive_colour = "#ff0000"
    assert "color:#ff0000" in desk.widget.help.text()
    assert click_colour(positive=True) == "#ff0000"
    PREFERENCES.positive_colour = "nocolour"
    assert f"color:{POSITIVE_COLOUR}" in desk.widget.help.text()
    assert click_colour(positive=True) == POSITIVE_COLOUR
    PREFERENCES.hover_preview = True
    for step in range(4):
        desk.robot.move(desk.image, (40, 50 + step))
        desk.qtbot.wait(20)
    curves = desk.controller.annotation.curves
    desk.until(lambda: curves.shows("preview"))
    assert not errors


def test_the_threshold_holds_from_the_next_object_on(bench: Any) -> None:
    bench.start()
    bench.positive.add([30, 40])
    bench.settled(1)
    PREFERENCES.threshold = 0.7
    assert bench.controller.session.threshold == 0.5
    bench.controller.command("accept")
    bench.positive.add([60, 80])
    bench.settled(1)
    assert bench.controller.session.threshold == 0.7


def test_commands_of_the_palette(
    make_napari_viewer_proxy: Any, manifest: PluginManifest, qtbot: Any
) -> None:
    proxy = make_napari_viewer_proxy()
    viewer = proxy.__wrapped__
    viewer.add_image(np.zeros((40, 40), np.uint8))
    palette.open_widget(proxy)
    (widget,) = (w for w in viewer.window.dock_widgets.values() if is_ours(w))
    assert widget.controller.annotation is not None
    ran: list[str] = []
    for command in commands():
        widget.controller.register(command.name, partial(ran.append, command.name))
        getattr(palette, command.name)(proxy)
    assert ran == [command.name for command in commands() if command.name != "ready"]
    assert (
        viewer.layers.selection.active == widget.controller.annotation.layers.positive
    )
    assert palette.widget_of(proxy) is widget
    with pytest.raises(AttributeError, match="no attribute 'fly'"):
        _ = palette.fly
    widget.shut_down()


def is_ours(widget: Any) -> bool:
    return isinstance(widget, GPCISWidget)


def test_the_menus_and_the_palette_reach_the_viewer(
    make_napari_viewer: Callable[..., Any],
) -> None:
    from napari._app_model import get_app_model

    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((40, 40), np.uint8))
    app = get_app_model()
    for menu in ("napari/layers/segment", "napari/layers/annotate"):
        entries = {item.command.id for item in app.menus.get_menu(menu)}
        assert "napari-gpcis.open_widget" in entries
    app.commands.execute_command("napari-gpcis.open_widget").result()
    (widget,) = (w for w in viewer.window.dock_widgets.values() if is_ours(w))
    assert widget.controller.annotation is not None
    app.commands.execute_command("napari-gpcis.accept").result()
    assert "click on an object first" in widget.status.text()
    for command in commands():
        assert f"napari-gpcis.{command.name}" in app.commands
    widget.shut_down()


def test_napari_shows_all_preferences(
    kept: Any, make_napari_viewer: Callable[..., Any], qtbot: Any
) -> None:
    from napari._qt.dialogs.preferences_dialog import PreferencesDialog

    dialog = PreferencesDialog(parent=make_napari_viewer().window._qt_window)
    qtbot.addWidget(dialog)
    pages = [dialog._list.item(row).text() for row in range(dialog._list.count())]
    assert "GPCIS interactive segmentation" in pages


def test_a_window_that_was_closed_follows_no_more(
    open_desk: Callable[..., Any],
) -> None:
    desk = open_desk()
    queue = desk.controller._worker._queue
    desk.viewer.close()
    desk.until(lambda: not queue.alive)
    PREFERENCES.shortcuts = {"undo": "F6"}
    PREFERENCES.device = "cpu"
    PREFERENCES.positive_colour = "red"
    PREFERENCES.hover_preview = True
    PREFERENCES.protect = False
    MODELS.changed.emit()


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """Texts of the notifications shown as warnings."""
    seen: list[str] = []

    def note(notification: Any) -> None:
        if str(notification.severity) == "warning":
            seen.append(notification.message)

    notification_manager.notification_ready.connect(note)
    yield seen
    notification_manager.notification_ready.disconnect(note)


@pytest.fixture
def type_in(
    kept: Any, open_desk: Callable[..., Any], qtbot: Any
) -> Callable[[str, str], QLineEdit]:
    """Type into a field of napari's dialog, as a user does; a desk is open."""
    from napari._qt.dialogs.preferences_dialog import PreferencesDialog
    from napari._vendor.qt_json_builder.qt_jsonschema_form import widgets

    desk = open_desk()
    dialog = PreferencesDialog(parent=desk.viewer.window._qt_window)
    qtbot.addWidget(dialog)
    page = "GPCIS interactive segmentation"
    dialog._list.setCurrentItem(dialog._list.findItems(page, MATCH_EXACTLY)[0])
    dialog.show()
    dialog.activateWindow()
    qtbot.waitUntil(dialog.isActiveWindow)
    fields: dict[str, QLineEdit] = {}
    for form in dialog._stack.currentWidget().findChildren(widgets.ObjectSchemaWidget):
        fields |= form.widgets

    def type_it(name: str, text: str) -> QLineEdit:
        field = fields[name]
        field.setFocus()
        qtbot.waitUntil(field.hasFocus)
        field.selectAll()
        QTest.keyClicks(field, text)
        assert field.text() == text  # nothing is taken back while one types
        QTest.keyClick(field, Qt.Key.Key_Tab)
        qtbot.wait(50)
        return field

    return type_it


def test_keys_that_are_refused_are_told_and_those_in_use_shown(
    kept: Any, type_in: Callable[[str, str], QLineEdit], warnings: list[str]
) -> None:
    field = type_in("accept", "F6 Enter")
    assert (field.text(), key_of("accept"), warnings) == ("F6 Enter", "F6", [])
    for text, why in {
        "A Enter": "A is napari's key on points layers",
        "U": "U runs 'Undo' already",
        "Blah+": "'Blah+' is not a key; examples: N, Shift-N, Control-Z, F5",
    }.items():
        warnings.clear()
        type_in("accept", text)
        assert warnings == [f"Accept, next object: {why}; F6 Enter stays."]
        assert (field.text(), key_of("accept")) == ("F6 Enter", "F6")
        assert kept.keybindings.accept == "F6 Enter"


def test_keys_that_others_have_displaced_are_told_as_well(
    type_in: Callable[[str, str], QLineEdit], warnings: list[str]
) -> None:
    undo = type_in("undo", "F6 Control-Z")
    type_in("accept", "U Enter")
    type_in("undo", "N Control-Z")
    assert warnings == []
    accept = type_in("accept", "N Enter")  # its default, which comes first
    assert warnings == [
        "Undo: N runs 'Accept, next object' already; U Control-Z stays."
    ]
    assert (accept.text(), undo.text()) == ("N Enter", "U Control-Z")


def test_no_keys_are_the_default_keys(
    type_in: Callable[[str, str], QLineEdit], warnings: list[str]
) -> None:
    field = type_in("accept", "F6 Enter")
    type_in("accept", " ")
    assert (field.text(), key_of("accept"), warnings) == ("N Enter", "N", [])


def test_a_colour_or_model_that_is_none_is_told_and_the_one_in_use_shown(
    type_in: Callable[[str, str], QLineEdit], warnings: list[str]
) -> None:
    field = type_in("positive_colour", "#ff0000")
    type_in("positive_colour", "nocolour")
    what = "Colour of positive clicks: 'nocolour' is not a colour"
    assert warnings == [f"{what}; examples: orange, #56b4e9; #ff0000 stays."]
    assert (field.text(), PREFERENCES.positive_colour) == ("#ff0000", "#ff0000")
    field = type_in("model", "nomodel")
    stays = f"{DEFAULT_MODEL} stays."
    assert warnings[1:] == [f"Model: 'nomodel' is not a model of the list; {stays}"]
    assert (field.text(), PREFERENCES.model) == (DEFAULT_MODEL, DEFAULT_MODEL)


def test_cancelling_the_dialog_takes_back_keys_that_changed_places(
    type_in: Callable[[str, str], QLineEdit], warnings: list[str], qtbot: Any
) -> None:
    field = type_in("undo", "F6 Control-Z")
    type_in("accept", "U Enter")
    type_in("undo", "N Control-Z")
    field.window().reject()
    qtbot.wait(50)
    assert (key_of("accept"), key_of("undo"), warnings) == ("N", "U", [])


def test_the_help_shows_the_colours_in_use(open_desk: Callable[..., Any]) -> None:
    desk = open_desk()
    assert f"color:{POSITIVE_COLOUR}" in desk.widget.help.text()
    PREFERENCES.positive_colour = "r"
    PREFERENCES.negative_colour = "lime"
    assert "color:#ff0000'>\u25cf" in desk.widget.help.text()
    assert "color:#00ff00'>\u271a" in desk.widget.help.text()
    PREFERENCES.negative_colour = "no colour at all"
    assert f"color:{NEGATIVE_COLOUR}'>\u271a" in desk.widget.help.text()
