"""The dock leaves the wheel to scrolling and the keys to napari."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QTextLayout, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLabel, QWidget

from napari_gpcis.plugin.dock.base import Message, breakable
from napari_gpcis.plugin.dock.panels.clicking import ClickingPanel
from napari_gpcis.plugin.dock.panels.objects import ObjectsPanel
from napari_gpcis.plugin.finetune.widget import FinetuneWidget
from napari_gpcis.plugin.settings.preferences import PREFERENCES


def panel(desk: Any, kind: Any) -> Any:
    (found,) = (one for one in desk.widget.panels if isinstance(one, kind))
    return found


def turn_wheel(part: QWidget) -> bool:
    """Turn the wheel over a part; return whether it took it."""
    place = QPointF(part.rect().center())
    event = QWheelEvent(
        place,
        QPointF(part.mapToGlobal(part.rect().center())),
        QPoint(),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(part, event)
    return event.isAccepted()


def test_the_wheel_changes_nothing(open_desk: Any) -> None:
    desk = open_desk()
    desk.viewer.add_image(desk.image.data, name="another")
    way, slider = (
        panel(desk, ClickingPanel).write_mode,
        panel(desk, ClickingPanel).threshold,
    )
    before = desk.widget.model_choice.combo.currentIndex()
    parts = (
        way,
        slider,
        desk.widget.image_combo,
        desk.widget.labels_combo,
        desk.widget.model_choice.combo,
    )
    assert not any(map(turn_wheel, parts))
    assert desk.controller.writing.mode == "new"
    assert slider.value() == round(PREFERENCES.threshold * 100)
    assert desk.controller.annotation.image == desk.image
    assert desk.widget.model_choice.combo.currentIndex() == before


def test_the_wheel_changes_nothing_in_the_training_either(
    make_napari_viewer_proxy: Any,
) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    widget = FinetuneWidget(viewer)
    viewer.window.add_dock_widget(widget)
    minutes = widget.minutes.value()
    widget.layers.add_row()
    pairs = [combo for row in widget.layers.rows for combo in row[:2]]
    assert not any(map(turn_wheel, (widget.source, widget.minutes, *pairs)))
    assert widget.minutes.value() == minutes
    assert widget.minutes.focusPolicy() == Qt.FocusPolicy.StrongFocus


def test_a_click_on_the_dock_leaves_the_keys_to_the_image(open_desk: Any) -> None:
    desk = open_desk()
    desk.robot.click(desk.image, (50, 40))
    desk.settled(1)
    desk.robot.press(Qt.Key.Key_N)
    objects = panel(desk, ObjectsPanel)
    desk.until(lambda: len(objects.table.rows) == 1)
    window = desk.viewer.window._qt_window
    desk.robot._canvas.setFocus()
    shown = PREFERENCES.hover_preview
    combo = panel(desk, ClickingPanel).write_mode
    for part in (combo, objects.list, objects.next_button):
        desk.widget.pages.setCurrentIndex(0 if part is combo else 2)
        target = part.viewport() if part is objects.list else part
        QTest.mouseClick(target, Qt.MouseButton.LeftButton, pos=QPoint(10, 5))
        combo.hidePopup()
        QTest.keyClick(window.focusWidget(), Qt.Key.Key_W)
        shown = not shown
        assert PREFERENCES.hover_preview is shown
        assert part.focusPolicy() & Qt.FocusPolicy.TabFocus


@pytest.mark.parametrize(
    "name", ["a.clicks.json", "y" * 240 + ".tif", "W_" * 110, "z" * 30 + "/" + "x" * 90]
)
def test_paths_and_long_names_are_wrapped_and_whole(qtbot: Any, name: str) -> None:
    """No line is wider than the label, and no path is broken after its first slash."""
    words = f"Saved /home/{name} and /tmp/work/{name}."
    message = Message()
    qtbot.addWidget(message)
    message.setText(words)
    assert message.text() == words
    assert message.minimumSizeHint().width() < 300
    for width in range(140, 360, 5):
        layout = QTextLayout(breakable(words), message.font())
        layout.beginLayout()
        lines = []
        while (line := layout.createLine()).isValid():
            line.setLineWidth(width)
            assert line.naturalTextWidth() <= width
            begin = line.textStart()
            lines.append(layout.text()[begin : begin + line.textLength()])
        layout.endLayout()
        shown = [line.replace("\u2060", "").replace("\u200b", "") for line in lines]
        assert "".join(shown) == words
        assert not any(line == "/" or line.endswith(" /") for line in shown)


def test_rich_text_is_shown_as_it_is(qtbot: Any) -> None:
    link = f'<a href="/{"x" * 40}">More</a>'
    message = Message()
    qtbot.addWidget(message)
    message.setText(link)
    assert QLabel.text(message) == link
