"""Section "Uncertainty": maps with legends; under "Advanced" the next click."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_gpcis.plugin.dock.base import Lines, Section
from napari_gpcis.plugin.dock.panels.base import Panel
from napari_gpcis.plugin.settings.preferences import PREFERENCES, follow
from napari_gpcis.plugin.settings.shortcuts import key_of
from napari_gpcis.plugin.tools.display.uncertainty import MAPS, UncertaintyMaps, faded
from napari_gpcis.plugin.tools.next_click import NextClickGuide

if TYPE_CHECKING:
    from napari_gpcis.plugin.annotation.controller import Controller

RING_HELP = (
    "Marks, with a ring, the place where your next click would help most: a wide "
    "spot where the mask may well be wrong.\nIt was hardly better than any uncertain "
    "pixel when it was measured, and far from a click on a mistake that you see."
)

ADVANCED = "Advanced"
IDLE = "A click on a mistake that you see helps more than a click in the ring."
RING = "Where to click next ({}: go there)"
NOT_STARTED = "Press Start and click on an object: then look here."


class UncertaintyPanel(Panel):
    """Check boxes for the ring and for each map, with legends.

    Parameters
    ----------
    controller
        The annotation shown and commanded.
    """

    title: ClassVar[str] = "Uncertainty"

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self.maps = UncertaintyMaps(controller)
        self.guide = NextClickGuide(controller)
        self._was_wanted = False
        self.ring = QCheckBox()
        self.ring.setToolTip(RING_HELP)
        self.message = Lines(3)
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(8, 0, 0, 0)
        column.addWidget(self.ring)
        column.addWidget(self.message)
        self.advanced = Section(ADVANCED, content)
        self.boxes: dict[str, QCheckBox] = {}
        self.legends: dict[str, QWidget] = {}
        for name in MAPS:
            self._add_map(name)
        self.column.addWidget(self.advanced)
        self.ring.toggled.connect(self._on_ring)
        self.show_on(controller.started, controller.stopped)
        self.show_on(self.guide.changed, self.maps.changed)
        self._end = follow(PREFERENCES.events.shortcuts, self._on_news, self)
        self.show_state()

    def show_state(self) -> None:
        """Show which maps are on, the advice and the keys."""
        running = self.controller.annotation is not None
        self.ring.setText(RING.format(key_of("next_click")))
        self._set(self.ring, self.guide.wanted, running)
        if self.guide.wanted and not self._was_wanted:
            self.advanced.unfolded = True  # the key has asked for it
        self._was_wanted = self.guide.wanted
        for name, box in self.boxes.items():
            self._set(box, name in self.maps.shown, running)
            self.legends[name].setVisible(box.isChecked())
            box.setToolTip(f"{MAPS[name].help}\nOn and off: {key_of('uncertainty')}")
        self.message.setText((self.guide.message or IDLE) if running else NOT_STARTED)

    def close_links(self) -> None:
        """Disconnect from the preferences."""
        self._end()

    def _add_map(self, name: str) -> None:
        """Add the check box of a map and its legend, seen while the map is."""
        kind = MAPS[name]
        box = QCheckBox(kind.title)
        box.toggled.connect(partial(self.maps.show, name))
        self.boxes[name] = box
        self.legends[name] = QWidget()
        legend = QHBoxLayout(self.legends[name])
        legend.setContentsMargins(22, 0, 0, 0)
        bar = QLabel()
        bar.setStyleSheet(_gradient(kind.colormap))
        bar.setFixedHeight(10)
        bar.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        bar.setMinimumWidth(40)
        for part in (QLabel(kind.ends[0]), bar, QLabel(kind.ends[1])):
            part.setToolTip(kind.help)
            legend.addWidget(part)
        self.column.addWidget(box)
        self.column.addWidget(self.legends[name])

    def _on_ring(self, wanted: bool) -> None:
        self.guide.wanted = wanted

    def _set(self, box: QCheckBox, checked: bool, enabled: bool) -> None:
        box.blockSignals(True)
        box.setChecked(checked)
        box.blockSignals(False)
        box.setEnabled(enabled)


def _gradient(colormap: str) -> str:
    """Return the style of a bar with the colours of a map, from low to high."""
    places = np.linspace(0, 1, 9)
    colours = (faded(colormap).map(places) * 255).astype(int)
    stops = ", ".join(
        f"stop:{place:.3f} rgba({red}, {green}, {blue}, {alpha})"
        for place, (red, green, blue, alpha) in zip(places, colours, strict=True)
    )
    return f"background: qlineargradient(x1:0, y1:0, x2:1, y2:0, {stops});"
