"""Section "Stack": copying and propagating an object to other planes."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHeaderView,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QTreeWidget,
    QTreeWidgetItem,
)

from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.dock.icons import with_icon
from napari_gpcis.plugin.dock.pages import STACK
from napari_gpcis.plugin.dock.panels.base import Panel, with_key
from napari_gpcis.plugin.settings.preferences import PREFERENCES, follow
from napari_gpcis.plugin.tools.stack.copying import Copying
from napari_gpcis.plugin.tools.stack.propagation import Propagation
from napari_gpcis.plugin.viewer.axes import axis_name

if TYPE_CHECKING:
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.viewer.planes import Plane
    from napari_gpcis.propagation import PlaneResult

COPY_HELP = (
    "Accept the object, go to the {} plane and begin there with its mask: correct it "
    "by clicks, and accept. The object keeps its label."
)
COPY_BACK, COPY_ON = "Copy to previous plane", "Copy to next plane"
PROPAGATE = "Propagate through stack:"
BACKWARD, BOTH, FORWARD = "Backward", "Both", "Forward"
PROPAGATE_HELP = (
    "Propagate the object through the {} planes until it vanishes. Look at the planes "
    "with little agreement afterwards. Undo takes the whole run back."
)
AXIS_HELP = "The axis along which the next plane lies, called as its slider is."
LIST_HELP = (
    "Planes of the last run. Agreement: how well the mask fits the neighbour's. "
    "Certainty: what agreement the model expects. Low ones, marked with \u25c0, are "
    "worth a look, and those in doubt, marked with ?: click to go there."
)
DOUBT = "Go on where in doubt"
DOUBT_HELP = (
    "A run stops where the object is twice as large as at the start, or its shape or "
    "brightness is another. With this on, such planes are marked only."
)
FILL = "Fill between corrected planes"
FILL_HELP = (
    "Interpolate the object on the planes between two on which you have made or "
    "corrected it: those nearest to the displayed plane. Undo takes it back."
)
LOW = 0.7
"""Planes with less agreement or certainty are marked."""
NO_STACK = "For images with more than one plane."
CANCEL = "Cancel"
CANCEL_HELP = "Stop here; the planes found so far are kept."
PROGRESS_HELP = "How many planes were done, of those there are."
MESSAGE_HELP = "Why the last run ended where it did."
HEADINGS = ("Plane", "Agreement", "Certainty")
ROWS_SEEN = 6
_NARROW = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
_NO_BAR = Qt.ScrollBarPolicy.ScrollBarAlwaysOff


class StackPanel(Panel):
    """Buttons to copy and propagate an object, and the list of planes found.

    Parameters
    ----------
    controller
        The annotation shown and commanded.
    """

    title: ClassVar[str] = "Stack"
    page: ClassVar[str] = STACK
    unfolded: ClassVar[bool] = True

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self.propagation = Propagation(controller)
        self.copying = Copying(controller, self.propagation)
        self.axis = QComboBox()
        self.copy_back, self.copy_on = QPushButton(), QPushButton()
        self.propagate_back = QPushButton(BACKWARD)
        self.propagate_both = QPushButton(BOTH)
        self.propagate_on = QPushButton(FORWARD)
        self.through_doubt, self.fill = QCheckBox(DOUBT), QPushButton(FILL)
        self.bar, self.stop = QProgressBar(), QPushButton(CANCEL)
        self.message = QLabel()
        self.planes = QTreeWidget()
        self._shown: list[tuple[Plane, PlaneResult]] = []
        self._connections = Connections()
        self._lay_out()
        self._connect()
        self.show_state()

    def show_state(self) -> None:
        """Show the progress of a run, and the planes it found."""
        stack, running = self.propagation.stack, self.propagation.running
        axes = () if stack is None else stack.axes
        self.copy_back.setText(COPY_BACK)
        self.copy_on.setText(with_key(COPY_ON, "accept_next"))
        for button in self._buttons:
            button.setEnabled(bool(axes) and not running)
        self.bar.setVisible(running)
        self.stop.setVisible(running)
        self.bar.setMaximum(max(1, self.propagation.total))
        self.bar.setValue(len(self.propagation.found))
        annotation = self.controller.annotation
        nowhere = annotation is not None and annotation.current is None
        none = "" if axes else NO_STACK
        if annotation is not None and nowhere:
            none = annotation.obstacle
        self.message.setText(self.propagation.message or none)
        self.message.setVisible(bool(self.message.text()))
        self._show_axes(axes)
        self._show_planes()
        if not nowhere:  # as in 3-D: the page stays as it was
            self.wanted.emit(bool(axes))

    def close_links(self) -> None:
        """Disconnect from the preferences and the viewer."""
        self._end()
        self._connections.end()

    def _lay_out(self) -> None:
        directions = ("previous", "previous and next", "next")
        buttons = (self.propagate_back, self.propagate_both, self.propagate_on)
        for button, which in zip(buttons, directions, strict=True):
            button.setToolTip(PROPAGATE_HELP.format(which))
        for button in (self.copy_back, self.propagate_back):
            with_icon(button, "left_arrow")
        for button in (self.copy_on, self.propagate_on):
            with_icon(button, "right_arrow")
        self.copy_back.setToolTip(COPY_HELP.format("previous"))
        self.copy_on.setToolTip(COPY_HELP.format("next"))
        self.axis.setToolTip(AXIS_HELP)
        self.axis.setSizeAdjustPolicy(_NARROW)
        self.axis.setMinimumContentsLength(10)
        self.axis.setAccessibleName("Axis")
        self.planes.setAccessibleName("Planes of the last run")
        self.bar.setAccessibleName("Planes done")
        self.bar.setToolTip(PROGRESS_HELP)
        self.message.setToolTip(MESSAGE_HELP)
        self.stop.setToolTip(CANCEL_HELP)
        self.through_doubt.setToolTip(DOUBT_HELP)
        self.fill.setToolTip(FILL_HELP)
        self.message.setWordWrap(True)
        self.planes.setHeaderLabels(HEADINGS)
        self.planes.setRootIsDecorated(False)
        self.planes.setToolTip(LIST_HELP)
        self.planes.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.planes.setHorizontalScrollBarPolicy(_NO_BAR)  # the columns share the width
        self.planes.header().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        height = self.planes.fontMetrics().height() + 6
        self.planes.setFixedHeight(height * (ROWS_SEEN + 1))
        grid = QGridLayout()
        grid.addWidget(self.copy_on, 0, 0, 1, 3)
        grid.addWidget(self.copy_back, 1, 0, 1, 3)
        propagate = QLabel(PROPAGATE)
        propagate.setToolTip(PROPAGATE_HELP.format("previous or next"))
        grid.addWidget(propagate, 2, 0, 1, 3)
        for place, button in enumerate(buttons):
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            grid.addWidget(button, 3, place)
        grid.addWidget(self.through_doubt, 4, 0, 1, 3)
        grid.addWidget(self.fill, 5, 0, 1, 3)
        grid.addWidget(self.bar, 6, 0, 1, 2)
        grid.addWidget(self.stop, 6, 2)
        self.column.addWidget(self.axis)
        self.column.addLayout(grid)
        self.column.addWidget(self.message)
        self.column.addWidget(self.planes)

    def _connect(self) -> None:
        self.copy_back.clicked.connect(partial(self._copy, -1))
        self.copy_on.clicked.connect(partial(self._copy, 1))
        self.propagate_back.clicked.connect(partial(self._propagate, (-1,)))
        self.propagate_both.clicked.connect(partial(self._propagate, (-1, 1)))
        self.propagate_on.clicked.connect(partial(self._propagate, (1,)))
        self.through_doubt.toggled.connect(self._on_doubt)
        self.fill.clicked.connect(self._on_fill)
        self.stop.clicked.connect(self._on_stop)
        self.axis.activated.connect(self._on_axis)
        self.planes.itemClicked.connect(self._on_plane)
        controller = self.controller
        self.show_on(controller.started, controller.stopped, controller.plane_changed)
        self.show_on(self.propagation.changed)
        names = controller.viewer.dims.events.axis_labels
        self._connections.connect(names, self._on_news)
        self._end = follow(PREFERENCES.events.shortcuts, self._on_news, self)

    def _copy(self, direction: int, *_: object) -> None:
        self.copying.copy(direction)

    def _propagate(self, directions: tuple[int, ...], *_: object) -> None:
        self.propagation.propagate(directions)

    def _on_doubt(self, on: bool) -> None:
        self.propagation.through_doubt = on

    def _on_fill(self) -> None:
        self.propagation.fill_between()

    def _on_stop(self) -> None:
        self.propagation.cancel()

    def _on_axis(self, place: int) -> None:
        if self.propagation.stack is not None:
            self.propagation.stack.axis = self.axis.itemData(place)

    def _on_plane(self, item: QTreeWidgetItem, _column: int) -> None:
        stack = self.propagation.stack
        if stack is not None:
            stack.show(item.data(0, Qt.ItemDataRole.UserRole))

    def _show_axes(self, axes: tuple[int, ...]) -> None:
        """List the axes, if there are several."""
        stack = self.propagation.stack
        self.axis.setVisible(len(axes) > 1)
        if stack is None or not axes:
            return
        image = stack.annotation.image
        with QSignalBlocker(self.axis):
            self.axis.clear()
            for axis in axes:
                name = axis_name(stack.annotation.viewer, image, axis)
                self.axis.addItem(f"Along {name}", axis)
            along = stack.along if stack.along in axes else axes[-1]  # of a run
            self.axis.setCurrentIndex(axes.index(along))

    def _show_planes(self) -> None:
        """List the planes of the last run, if they are others than before."""
        stack, found = self.propagation.stack, self.propagation.found
        self.planes.setVisible(bool(found))
        if found == self._shown:
            return
        self._shown = list(found)
        self.planes.clear()
        for plane, one in found:
            low = min(one.agreement, one.certainty) < LOW
            number = "" if stack is None else str(stack.number(plane))
            mark = " ?" if one.doubt else " \u25c0" if low else ""
            item = QTreeWidgetItem(
                [number + mark, _percent(one.agreement), _percent(one.certainty)]
            )
            item.setToolTip(0, f"In doubt: {one.doubt}." if one.doubt else LIST_HELP)
            item.setData(0, Qt.ItemDataRole.UserRole, plane)
            self.planes.addTopLevelItem(item)

    @property
    def _buttons(self) -> tuple[QPushButton, ...]:
        return (
            self.copy_back,
            self.copy_on,
            self.propagate_back,
            self.propagate_both,
            self.propagate_on,
            self.fill,
        )


def _percent(share: float) -> str:
    """Return a share as text; a dash where there is none."""
    return "\u2013" if math.isnan(share) else f"{share:.0%}"
