"""The calm of the dock: nothing moves, and what it shows is what there is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import QApplication, QToolTip

from napari_gpcis.plugin.annotation.controller import progress
from napari_gpcis.plugin.dock.layer_combo import LayerCombo
from napari_gpcis.plugin.dock.panels import objects as objects_panel
from napari_gpcis.plugin.dock.panels import uncertainty as uncertainty_panel
from napari_gpcis.plugin.dock.panels.files import FilesPanel

LONG = "plate 7 of the third experiment, well B04, site 2, all channels, after {} hours"


def places(widget: Any) -> list[tuple[int, int]]:
    """Where the main buttons and the sections begin, and how high they are."""
    QApplication.processEvents()
    parts = (widget.start_button, *widget.buttons.values(), widget.pages)
    return [(part.y(), part.height()) for part in parts]


def test_buttons_stay_where_they_are(open_desk: Any) -> None:
    desk = open_desk()
    widget = desk.widget
    running = places(widget)
    widget.status.setText("Nothing to accept yet: click on an object first.\nPress G.")
    assert places(widget) == running
    widget.start_button.click()
    assert not widget.buttons["undo"].isEnabled()
    assert places(widget) == running
    desk.viewer.layers.clear()
    assert not widget.start_button.isEnabled()
    assert places(widget) == running


def test_empty_sections_say_what_to_do(open_desk: Any) -> None:
    desk = open_desk()
    panels = {type(panel): panel for panel in desk.widget.panels}
    objects = panels[objects_panel.ObjectsPanel]
    uncertainty = panels[uncertainty_panel.UncertaintyPanel]
    desk.until(lambda: objects.summary.text() == objects_panel.NO_OBJECT)
    assert uncertainty.message.text() == uncertainty_panel.IDLE
    desk.controller.stop()
    assert objects.summary.text() == objects_panel.NOT_STARTED
    assert uncertainty.message.text() == uncertainty_panel.NOT_STARTED


def test_the_combo_boxes_follow_what_is_annotated(open_desk: Any) -> None:
    desk = open_desk()
    widget, note = desk.widget, desk.widget.recovery.banner
    note.say("Open its image first: 'other'.")
    other = desk.viewer.add_image(np.zeros((60, 70), np.uint8), name="other")
    assert note.hint == ""
    assert desk.controller.start(other)
    assert widget.image_combo.layer == other
    assert widget.labels_combo.layer == desk.labels


def test_long_names_are_told_apart(qtbot: Any) -> None:
    viewer = ViewerModel()
    for hours in (24, 48):
        viewer.add_image(np.zeros((4, 4)), name=LONG.format(hours))
    combo = LayerCombo(viewer, lambda _: True)
    combo.setToolTip("The image.")
    qtbot.addWidget(combo)
    combo.resize(combo.minimumSizeHint())
    combo.show()
    shown = []
    for layer in viewer.layers:
        combo.layer = layer
        shown.append(combo.grab().toImage())
    assert shown[0] != shown[1]
    place = QPoint(5, 5)
    help_event = QHelpEvent(QHelpEvent.Type.ToolTip, place, combo.mapToGlobal(place))
    QApplication.sendEvent(combo, help_event)
    assert QToolTip.text() == f"{LONG.format(48)}\nThe image."
    combo.close_links()


@pytest.mark.parametrize(("seconds", "words"), [(0.1034, "103 ms"), (14.06, "14.1 s")])
def test_times_are_read_at_a_glance(seconds: float, words: str) -> None:
    live = SimpleNamespace(label=3, how="add")
    current: Any = SimpleNamespace(
        session=True,
        clicks=[1, 2],
        drawn=SimpleNamespace(live=live),
        busy=False,
        unseen=False,
        seconds=seconds,
    )
    assert progress(current) == f"2 clicks · object 3 · {words}"


@pytest.mark.parametrize("shape", [(80, 100), (3, 80, 100)])
def test_a_section_that_cannot_apply_is_hidden(open_desk: Any, shape: Any) -> None:
    desk = open_desk(np.zeros(shape, np.uint8))
    (stack,) = (one for one in desk.widget.sections if one.title == "Stack")
    assert stack.isHidden() is (len(shape) == 2)


def test_the_files_are_no_wider_than_other_sections(open_desk: Any) -> None:
    """The dock takes its width from the image."""
    widths = {type(one): one.sizeHint().width() for one in open_desk().widget.panels}
    files = widths.pop(FilesPanel)
    assert 0 < files <= max(widths.values())
