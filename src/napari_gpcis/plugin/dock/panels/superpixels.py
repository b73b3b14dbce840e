"""Section "Superpixels": how large they are, outlines, painting and snapping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
)

from napari_gpcis.plugin.dock.base import Lines
from napari_gpcis.plugin.dock.icons import with_icon
from napari_gpcis.plugin.dock.panels.base import Panel, with_key
from napari_gpcis.plugin.settings.preferences import PREFERENCES, follow
from napari_gpcis.plugin.tools.superpixels.outlined import PARTS, Superpixels
from napari_gpcis.plugin.tools.superpixels.painting import SuperpixelPainting

if TYPE_CHECKING:
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.tools.superpixels.outlined import SizeUnit

SIZE, METHOD, REGULAR = "Size", "Method", "Compactness"
SIZE_HELP = (
    "How many superpixels, or their mean diameter (that of a disk of the same area).\n"
    "Of planes above four million pixels, the part in sight is divided."
)
METHOD_HELP = (
    "CDS-lite is a small network that comes with the package. CDS is larger, and its "
    "weights are converted first: see the page about superpixels. SLIC is no network."
)
REGULAR_HELP = "Of SLIC: the higher, the more regular. The default is {:.0f}."
SHOW, COMPUTE, CANCEL = "Show outlines", "Compute again", "Cancel"
SHOW_HELP = "Show the borders of superpixels: small regions of similar pixels."
COMPUTE_HELP = "Compute them anew, for the part of a very large plane that is seen now."
CANCEL_HELP = "Give up computing superpixels."
PAINT, PAINT_TITLE = "superpixels_tool", "Paint"
PAINT_HELP = (
    "Each superpixel that a stroke (or a click) crosses is added to the current "
    "object, or to the chosen finished one; without either, it begins an object.\n"
    "With Alt held, or the right button: it is taken away."
)
SNAP, SNAP_TITLE = "snap", "Snap"
SNAP_HELP = (
    "Move the border of the current object, or of the chosen one, to superpixels that "
    "are inside, or outside, by 90 %. Thin parts and clicks stay as they are."
)
SMALLER, LARGER = "Smaller", "Larger"
SMALLER_HELP = "Smaller superpixels, at once.\nKey while you click: ["
LARGER_HELP = "Larger superpixels, at once.\nKey while you click: ]"
WORK = ("Computing ...", "Making them whole ...", "Merging ...")
IDLE = "For masks on visible edges. Show them, or paint."
NOT_STARTED = "Press Start first."
COUNT = "{} superpixels, mean diameter {}."
METHODS = (
    ("auto", "Automatic"),
    ("slic", "SLIC"),
    ("cds-lite", "CDS-lite"),
    ("cds", "CDS"),
)
COMPACTNESS = 20.0
"""That of the library, whose import is slow."""
_TAKES_COMPACTNESS = ("slic",)
_NARROW = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon


class SuperpixelsPanel(Panel):
    """Size and method of superpixels, their outlines, and what is done with them.

    Parameters
    ----------
    controller
        The annotation shown and commanded.
    """

    title: ClassVar[str] = "Superpixels"

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self.superpixels = Superpixels(controller, self)
        self.painting = SuperpixelPainting(controller, self.superpixels, self)
        self.unit, self.amount = QComboBox(), QDoubleSpinBox()
        self.method, self.compactness = QComboBox(), QDoubleSpinBox()
        self.show_box = QCheckBox(SHOW)
        self.compute_button, self.stop_button = (
            QPushButton(COMPUTE),
            QPushButton(CANCEL),
        )
        self.bar, self.message = QProgressBar(), Lines(1)
        self.paint_button, self.snap_button = QPushButton(), QPushButton()
        self.smaller_button = QPushButton(SMALLER)
        self.larger_button = QPushButton(LARGER)
        self._world = ""
        self._lay_out()
        superpixels = self.superpixels
        self.unit.activated.connect(self._on_unit)
        self.amount.valueChanged.connect(self._on_settings)
        self.method.activated.connect(self._on_settings)
        self.compactness.valueChanged.connect(self._on_settings)
        self.show_box.toggled.connect(self._on_shown)
        for button, run in (
            (self.compute_button, superpixels.compute),
            (self.stop_button, superpixels.cancel),
        ):
            button.clicked.connect(lambda *_, run=run: run())
        for button, name in (
            (self.paint_button, PAINT),
            (self.snap_button, SNAP),
            (self.smaller_button, "superpixels_smaller"),
            (self.larger_button, "superpixels_larger"),
        ):
            button.clicked.connect(lambda *_, name=name: self._on_command(name))
        self.show_on(controller.started, controller.stopped, superpixels.changed)
        self.show_on(controller.plane_changed)
        self._end = follow(PREFERENCES.events.shortcuts, self._show_keys, self)
        self._show_keys()
        self.show_state()

    def _lay_out(self) -> None:
        for part, name, text in (
            (self.amount, SIZE, SIZE_HELP),
            (self.unit, f"{SIZE} in", SIZE_HELP),
            (self.method, METHOD, METHOD_HELP),
            (self.compactness, REGULAR, REGULAR_HELP.format(COMPACTNESS)),
            (self.bar, "Computed", "How much of the work is done."),
        ):
            part.setAccessibleName(name)
            part.setToolTip(text)
        for button, text in (
            (self.show_box, SHOW_HELP),
            (self.compute_button, COMPUTE_HELP),
            (self.stop_button, CANCEL_HELP),
            (self.smaller_button, SMALLER_HELP),
            (self.larger_button, LARGER_HELP),
        ):
            button.setToolTip(text)
        self.compactness.setRange(0.1, 1000)
        self.compactness.setDecimals(1)
        self.compactness.setValue(COMPACTNESS)
        for name, title in METHODS:
            self.method.addItem(title, name)
        for combo in (self.method, self.unit):
            combo.setSizeAdjustPolicy(_NARROW)
            combo.setMinimumContentsLength(10)
        self.bar.setTextVisible(False)
        self.bar.setRange(0, PARTS)
        self.paint_button.setCheckable(True)
        with_icon(self.paint_button, "paint")
        grid = QGridLayout()
        grid.setVerticalSpacing(2)
        for row, (text, help_text, parts) in enumerate(
            (
                (SIZE, SIZE_HELP, (self.unit, self.amount)),
                (METHOD, METHOD_HELP, (self.method, self.compactness)),
            )
        ):
            label = QLabel(text)
            label.setToolTip(help_text)
            grid.addWidget(label, row, 0)
            grid.addWidget(parts[0], row, 1)
            grid.addWidget(parts[1], row, 2)
        grid.setColumnStretch(1, 3)
        grid.setColumnStretch(2, 2)
        shown = QHBoxLayout()
        shown.addWidget(self.show_box, stretch=1)
        shown.addWidget(self.bar, stretch=1)
        shown.addWidget(self.compute_button)
        shown.addWidget(self.stop_button)
        steps = QHBoxLayout()
        for button in (self.smaller_button, self.larger_button):
            steps.addWidget(button)
        done = QHBoxLayout()
        for button in (self.paint_button, self.snap_button):
            done.addWidget(button)
        self.column.addLayout(grid)
        self.column.addLayout(shown)
        self.column.addWidget(self.message)
        self.column.addLayout(steps)
        self.column.addLayout(done)

    def show_state(self) -> None:
        """Show what is wanted, how far it is, and what can be done."""
        superpixels, running = self.superpixels, self.controller.annotation is not None
        settings = superpixels.settings
        self._show_units()
        self._show_size()
        with QSignalBlocker(self.show_box):
            self.show_box.setChecked(superpixels.shown)
        self.show_box.setEnabled(running)
        self.compactness.setEnabled(settings.method in _TAKES_COMPACTNESS)
        computing = superpixels.part is not None
        self.bar.setVisible(computing)
        self.stop_button.setVisible(computing)
        self.compute_button.setVisible(not computing)
        self.compute_button.setEnabled(running and superpixels.wanted)
        if superpixels.part is not None:
            self.bar.setValue(superpixels.part)
        self.message.setText(self._words())
        for button in (self.smaller_button, self.larger_button):
            button.setEnabled(superpixels.divided is not None and superpixels.wanted)
        self.paint_button.setEnabled(running)
        self.paint_button.setChecked(self.painting.on)
        self.snap_button.setEnabled(running)

    def _words(self) -> str:
        """Return what is there, or why it is not."""
        superpixels = self.superpixels
        if self.controller.annotation is None:
            return NOT_STARTED
        if superpixels.part is not None:
            return WORK[superpixels.part]
        divided = superpixels.divided
        if superpixels.problem or divided is None or not superpixels.wanted:
            return superpixels.problem or IDLE
        pixels = divided.hierarchy.fine.size / superpixels.count
        diameter = f"{2 * np.sqrt(pixels / np.pi):.3g} px"
        return COUNT.format(superpixels.count, diameter)

    def _show_units(self) -> None:
        """Offer diameters in the unit of the image, where it has a scale."""
        world = self._unit_of_image()
        if world == self._world and self.unit.count():
            return
        self._world = world
        units: list[tuple[SizeUnit, str]] = [
            ("number", "Number"),
            ("pixels", "Diameter (px)"),
        ]
        if world:
            units.append(("world", f"Diameter ({world})"))
        with QSignalBlocker(self.unit):
            self.unit.clear()
            for name, title in units:
                self.unit.addItem(title, name)
            place = self.unit.findData(self.superpixels.settings.unit)
            self.unit.setCurrentIndex(max(place, 0))
        if place < 0:
            self._on_unit()

    def _unit_of_image(self) -> str:
        """Return the unit of the image's pixels, empty if they have no size."""
        annotation = self.controller.annotation
        if annotation is None or annotation.current is None:
            return self._world
        image, axis = annotation.image, annotation.current.plane.axes[-1]
        if np.allclose(image.scale[-2:], 1):
            return ""
        units = getattr(image, "units", None)
        name = "" if units is None else f"{units[axis]:~P}"
        return "unit" if name in ("", "px", "pixel") else name

    def _show_size(self) -> None:
        settings = self.superpixels.settings
        with QSignalBlocker(self.amount):
            whole = settings.unit == "number"
            self.amount.setDecimals(0 if whole else 2)
            self.amount.setRange(1 if whole else 0.01, 1_000_000)
            self.amount.setSingleStep(50 if whole else 1)
            self.amount.setValue(settings.size)

    def _show_keys(self, *_: Any) -> None:
        self.paint_button.setText(with_key(PAINT_TITLE, PAINT))
        self.paint_button.setToolTip(PAINT_HELP)
        self.snap_button.setText(with_key(SNAP_TITLE, SNAP))
        self.snap_button.setToolTip(SNAP_HELP)

    def close_links(self) -> None:
        """Disconnect from the viewer and the preferences."""
        self._end()
        self.painting.close()
        self.superpixels.close()

    def _on_unit(self, *_: Any) -> None:
        """Give the size in another unit: it stays about the same."""
        self.superpixels.settings = self.superpixels.in_unit(self.unit.currentData())

    def _on_settings(self, *_: Any) -> None:
        method = self.method.currentData()
        value = self.compactness.value()
        own = method in _TAKES_COMPACTNESS and value != COMPACTNESS
        self.superpixels.settings = self.superpixels.settings._replace(
            size=self.amount.value(), method=method, compactness=value if own else None
        )

    def _on_shown(self, shown: bool) -> None:
        self.superpixels.shown = shown

    def _on_command(self, name: str) -> None:
        self.controller.command(name)
        if name == PAINT and self.painting.on:
            self.controller.ready()  # strokes are drawn over the clicks' layer
        self.show_state()
