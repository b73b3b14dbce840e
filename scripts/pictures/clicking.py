"""Pictures of the first page: start, click, correct, preview, ring, objects."""

from __future__ import annotations

from typing import Any

from material import known_labels, neighbours, whole
from qtpy.QtCore import Qt
from stage import Stage, settle

from napari_gpcis.plugin.settings.preferences import PREFERENCES

NUCLEI = "nuclei-fluorescence"


def first_mask() -> None:
    """From the open image to a corrected mask."""
    known = known_labels()
    one, other = neighbours(known)
    with Stage() as stage:
        stage.sample(NUCLEI)
        stage.open_widget()
        stage.viewer.reset_view()
        stage.picture("start")
        stage.start()
        both = (known == one) | (known == other)
        stage.look_at(both, 0.5)
        stage.warm_up(*_middle(both))
        stage.segment(known == one, 1)
        stage.picture("first-click")
        stage.segment(known == one, 2, good=0.97)
        stage.picture("correction")


def preview() -> None:
    """Show the mask that a click would give."""
    known = known_labels()
    with Stage() as stage:
        stage.sample(NUCLEI)
        stage.open_widget()
        stage.start()
        stage.unfold("Clicking")
        chosen = known == whole(known)[3]
        stage.look_at(chosen, 0.4)
        PREFERENCES.hover_preview = True
        panel = next(p for p in stage.widget.panels if p.title == "Clicking")
        place = _middle(chosen)
        stage.robot.move(stage.image, place)
        stage.until(lambda: panel.hover.shown)
        settle()
        stage.picture("preview", pointer=place)
        PREFERENCES.hover_preview = False


def size_ring() -> None:
    """Finish three objects and rest on the next: the ring is as large as they are."""
    known = known_labels()
    with Stage() as stage:
        stage.sample(NUCLEI)
        stage.open_widget()
        stage.start()
        stage.unfold("Clicking")
        *done, coming = whole(known)[:4]
        for number in done:
            stage.finish(known == number, 5)
        stage.look_at(known == coming, 0.3)
        place = _middle(known == coming)
        panel = next(p for p in stage.widget.panels if p.title == "Clicking")
        stage.robot.move(stage.image, place)
        stage.until(lambda: panel.size_ring.shown)
        settle()
        stage.picture("size-ring", pointer=place)


def objects() -> None:
    """Finished objects and their list."""
    known = known_labels()
    with Stage("light") as stage:
        stage.sample(NUCLEI)
        stage.open_widget()
        stage.start()
        for number in whole(known)[:7]:
            stage.finish(known == number, 5)
        stage.viewer.reset_view()
        stage.unfold("Objects")
        stage.picture("objects")


def press_g() -> None:
    """Show what the widget says when another tool is in use."""
    with Stage() as stage:
        stage.sample(NUCLEI)
        stage.open_widget()
        stage.start()
        labels = stage.widget.controller.annotation.layers.labels
        stage.viewer.layers.selection.active = labels
        labels.mode = "paint"
        stage.picture("press-g")


def shortcuts() -> None:
    """Show the section with the keys."""
    with Stage() as stage:
        stage.sample(NUCLEI)
        stage.open_widget()
        stage.start()
        stage.unfold("Shortcuts")
        stage.picture("shortcuts")


def uncertainty() -> None:
    """Show a map of what the model is unsure about, and the ring."""
    with Stage() as stage:
        one, _ = _two_nuclei(stage)
        stage.segment(one, 1)
        panel = next(p for p in stage.widget.panels if p.title == "Uncertainty")
        stage.unfold(panel.title)
        stage.push(panel.boxes["doubt"])
        stage.push(panel.advanced.header)
        stage.push(panel.ring)
        stage.robot.press(Qt.Key.Key_H)
        stage.picture("uncertainty")


def other_masks() -> None:
    """Click once, and unfold the masks that the click may mean."""
    with Stage() as stage:
        one, _ = _two_nuclei(stage)
        stage.unfold("Other masks")
        stage.robot.click(stage.image, _middle(one))
        stage.until(lambda: stage.plane_labels().any())
        panel = next(p for p in stage.widget.panels if p.title == "Other masks")
        stage.until(lambda: panel.buttons[1].isVisible())
        settle()
        stage.picture("other-masks")


def superpixels_window() -> None:
    """Paint a nucleus with superpixels; the one under the mouse is outlined."""
    with Stage() as stage:
        one, other = _two_nuclei(stage)
        stage.unfold("Superpixels")
        panel = next(p for p in stage.widget.panels if p.title == "Superpixels")
        stage.push(panel.paint_button)
        tool = panel.superpixels
        stage.until(lambda: tool.divided is not None and tool.part is None)
        (row, col), cols = _middle(one), one.nonzero()[1]
        ends = [(row, (cols.min() + col) / 2), (row, (cols.max() + col) / 2)]
        stage.robot.draw(stage.image, ends)
        stage.until(lambda: stage.plane_labels().any())
        place = _middle(other)
        stage.robot.move(stage.image, place)
        settle()
        stage.picture("superpixels-window", pointer=place)


def _two_nuclei(stage: Stage) -> tuple[Any, Any]:
    """Begin on the sample with two neighbours in view; return their masks."""
    known = known_labels()
    stage.sample(NUCLEI)
    stage.open_widget()
    stage.start()
    one, other = (known == number for number in neighbours(known))
    stage.look_at(one | other, 0.5)
    return one, other


def _middle(mask) -> tuple[float, float]:
    """Return the middle of a mask."""
    rows, cols = mask.nonzero()
    return float(rows.mean()), float(cols.mean())
