"""Section "Clicking": preview, threshold, tidying, drawing, signs, write mode."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
)

from napari_gpcis.plugin.annotation.click_layers import BOX, LASSO, SCRIBBLE
from napari_gpcis.plugin.dock.icons import with_icon
from napari_gpcis.plugin.dock.panels.base import Panel, with_key
from napari_gpcis.plugin.settings.preferences import PREFERENCES, follow
from napari_gpcis.plugin.tools.display.size_ring import SizeRing
from napari_gpcis.plugin.tools.drawing import DrawingTool
from napari_gpcis.plugin.tools.hover import Hover

if TYPE_CHECKING:
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.labels.write_mode import ChosenMode

LOWEST, HIGHEST = 10, 90
"""Thresholds that can be chosen, in hundredths."""

PREVIEW_HELP = (
    "Shows as a thin line what a click under the mouse would give.\n"
    "With Control held: what a click on the background would give.\n"
    "The line is a quick guess: the mask after the click may be a little better."
)
RING_HELP = (
    "A ring at the mouse shows how large the next object is likely to be: the median "
    "of those finished on this plane, from two of them on.\n"
    "A first click is tried in a view that suits this size. A preview replaces it."
)
THRESHOLD_HELP = (
    "How sure the model must be that a pixel belongs to the object.\n"
    "Lower: larger masks. Higher: smaller masks. The default is 0.50.\n"
    "The current mask changes at once; finished objects stay as they are."
)
TIDY_HELP = (
    "Removes pieces of the mask that have no click, and fills small holes. Clicks are "
    "obeyed in any case.\nFor the current object; the preferences hold for the next."
)
BOX_HELP = (
    "Draw a box around an object to begin it: the model looks into the box and takes "
    "its middle as the first click.\n"
    "While this is off, hold Shift and drag."
)
LASSO_HELP = (
    "Draw along the border of an object to begin it: what is inside becomes its mask, "
    "which you correct by clicks."
)
SCRIBBLE_HELP = (
    "Draw a line on the object: up to five clicks along it, one step of undo.\n"
    "With Control held: on the background."
)
SIGN_HELP = "Switch selected clicks (or the last one) between positive and negative."
PREVIEW, SIGN = "Preview under the mouse", "Switch sign"
RING = "Size ring"
DRAWN = {BOX: "Box", LASSO: "Lasso", SCRIBBLE: "Scribble"}
ICONS = {BOX: "rectangle", LASSO: "polygon_lasso", SCRIBBLE: "path"}
DRAWN_HELP = {BOX: BOX_HELP, LASSO: LASSO_HELP, SCRIBBLE: SCRIBBLE_HELP}
THRESHOLD, TIDY = "Mask threshold", "Tidy mask"
WRITE_MODES: tuple[tuple[ChosenMode, str], ...] = (
    ("new", "New object"),
    ("add", "Add to selected label"),
    ("cut", "Subtract from selected label"),
    ("replace", "Replace selected label"),
)
WRITE_MODE = "Write mask as"
WRITE_MODE_HELP = (
    "What the mask of your clicks does to the labels layer.\n"
    "The selected label is the one that the labels layer shows as its label; a click "
    "on an object, or on its row on the page Review, selects it too.\n"
    "Subtract and Replace hold for one mask, then this is New object again."
)
OVERWRITE = "Allow overwriting other objects"
OVERWRITE_HELP = (
    "Off: finished objects are protected, a new mask takes free pixels only.\n"
    "On: a new mask also takes pixels of finished objects."
)
_NARROW = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon


class ClickingPanel(Panel):
    """Preview, ring, threshold, tidying, drawing, signs; write mode, overwriting."""

    title: ClassVar[str] = "Clicking"
    unfolded: ClassVar[bool] = True

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self.hover = Hover(controller, self)
        self.size_ring = SizeRing(controller, self)
        self.drawing = DrawingTool(controller, self)
        self.preview = QCheckBox()
        self.ring = QCheckBox(RING)
        self.threshold = QSlider(Qt.Orientation.Horizontal)
        self.threshold_label = QLabel()
        self.tidy = QCheckBox()
        self.draw_buttons = {shape: QPushButton() for shape in DRAWN}
        self.write_mode = QComboBox()
        self.overwrite = QCheckBox(OVERWRITE)
        self.sign_button = QPushButton()
        self._lay_out()
        self.preview.toggled.connect(self._on_preview)
        self.ring.toggled.connect(self._on_ring)
        self.threshold.valueChanged.connect(self._on_threshold)
        self.tidy.clicked.connect(self._on_tidy)
        for shape, button in self.draw_buttons.items():
            button.clicked.connect(partial(self.drawing.toggle, shape))
        self.show_on(controller.started, controller.stopped, self.drawing.changed)
        self.write_mode.activated.connect(self._on_write_mode)
        self.overwrite.toggled.connect(self._on_overwrite)
        self.show_on(controller.current_changed, controller.plane_changed)
        self.show_on(controller.writing.changed)
        self.sign_button.clicked.connect(self._on_sign)
        self._ends = (
            follow(PREFERENCES.events.shortcuts, self._show_keys, self),
            follow(PREFERENCES.events.hover_preview, self._on_news, self),
            follow(PREFERENCES.events.size_ring, self._on_news, self),
            follow(PREFERENCES.events.threshold, self._on_news, self),
            follow(PREFERENCES.events.tidy, self._on_news, self),
            follow(PREFERENCES.events.protect, self._on_protect, self),
        )
        self._show_keys()
        self.show_state()

    def _lay_out(self) -> None:
        self.preview.setToolTip(PREVIEW_HELP)
        self.ring.setToolTip(RING_HELP)
        for part in (self.threshold, self.threshold_label):
            part.setToolTip(THRESHOLD_HELP)
        self.threshold.setAccessibleName(THRESHOLD)
        self.threshold.setRange(LOWEST, HIGHEST)
        self.tidy.setToolTip(TIDY_HELP)
        for mode, title in WRITE_MODES:
            self.write_mode.addItem(title, mode)
        self.write_mode.setSizeAdjustPolicy(_NARROW)
        self.write_mode.setMinimumContentsLength(14)
        self.write_mode.setAccessibleName(WRITE_MODE)
        label = QLabel(WRITE_MODE)
        label.setToolTip(WRITE_MODE_HELP)
        self.write_mode.setToolTip(WRITE_MODE_HELP)
        self.overwrite.setToolTip(OVERWRITE_HELP)
        self.sign_button.setToolTip(SIGN_HELP)
        row = QHBoxLayout()
        row.addWidget(self.threshold_label)
        row.addWidget(self.threshold, stretch=1)
        buttons = QHBoxLayout()
        for shape, button in self.draw_buttons.items():
            button.setCheckable(True)
            with_icon(button, ICONS[shape])
            buttons.addWidget(button)
        below = QHBoxLayout()
        below.addWidget(self.tidy, stretch=1)
        below.addWidget(self.sign_button)
        shown = QHBoxLayout()
        shown.addWidget(self.preview, stretch=1)
        shown.addWidget(self.ring)
        self.column.addLayout(shown)
        self.column.addLayout(row)
        self.column.addLayout(below)
        written = QHBoxLayout()
        written.addWidget(label)
        written.addWidget(self.write_mode, stretch=1)
        self.column.addLayout(buttons)
        self.column.addLayout(written)
        self.column.addWidget(self.overwrite)

    def show_state(self) -> None:
        """Show the choices, and how the mask of the current object is made."""
        session, writing = self.controller.session, self.controller.writing
        current = None if session is None else session.current
        threshold = (writing if current is None else current).threshold
        running = current is not None and bool(current.clicks)
        tidy = current.tidy if current is not None and running else writing.tidy
        self.tidy.setChecked(tidy is not None)
        self.tidy.setEnabled(running)
        with (
            QSignalBlocker(self.threshold),
            QSignalBlocker(self.preview),
            QSignalBlocker(self.ring),
            QSignalBlocker(self.overwrite),
        ):
            self.threshold.setValue(round(threshold * 100))
            self.preview.setChecked(PREFERENCES.hover_preview)
            self.ring.setChecked(PREFERENCES.size_ring)
            self.overwrite.setChecked(not PREFERENCES.protect)
            self.write_mode.setCurrentIndex(self.write_mode.findData(writing.mode))
        self.threshold_label.setText(f"{THRESHOLD} {threshold:.2f}")
        drawn = self.drawing.shape
        for shape, button in self.draw_buttons.items():
            button.setChecked(shape == drawn)
        self.sign_button.setEnabled(self.controller.annotation is not None)

    def _show_keys(self, *_: Any) -> None:
        self.preview.setText(with_key(PREVIEW, "hover_preview"))
        self.tidy.setText(with_key(TIDY, "toggle_tidy"))
        for shape, button in self.draw_buttons.items():
            title, name = DRAWN[shape], f"{shape}_tool"
            button.setText(title)  # three keys beside each other would widen the dock
            button.setToolTip(f"{with_key(title, name)}\n{DRAWN_HELP[shape]}")
        self.sign_button.setText(with_key(SIGN, "toggle_sign"))

    def close_links(self) -> None:
        """Disconnect from the viewer and the preferences."""
        for end in self._ends:
            end()
        self.hover.close()
        self.size_ring.close()
        self.drawing.close()

    def _on_preview(self, on: bool) -> None:
        PREFERENCES.hover_preview = on

    def _on_ring(self, on: bool) -> None:
        PREFERENCES.size_ring = on

    def _on_threshold(self, value: int) -> None:
        self.controller.writing.threshold = value / 100
        annotation = self.controller.annotation
        if annotation is not None and annotation.current is not None:
            annotation.current.set_threshold(value / 100)
        self.show_state()

    def _on_tidy(self) -> None:
        self.controller.command("toggle_tidy")
        self.show_state()

    def _on_write_mode(self, _place: int) -> None:
        self.controller.writing.mode = self.write_mode.currentData()
        self._write_otherwise()

    def _on_overwrite(self, on: bool) -> None:
        PREFERENCES.protect = not on

    def _on_protect(self, *_: Any) -> None:
        self.show_state()
        self._write_otherwise()

    def _write_otherwise(self) -> None:
        """Write the current object's mask anew, as is chosen now."""
        annotation = self.controller.annotation
        if annotation is not None and annotation.current is not None:
            annotation.current.write_otherwise()

    def _on_sign(self) -> None:
        self.controller.command("toggle_sign")
