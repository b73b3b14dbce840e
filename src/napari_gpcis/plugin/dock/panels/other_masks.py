"""Section "Other masks": pictures of the masks that the same clicks may mean."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QImage, QPainter, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QToolButton, QWidget

from napari_gpcis.alternatives.selection import LIMIT
from napari_gpcis.plugin.dock.base import Lines
from napari_gpcis.plugin.dock.panels.base import Panel, with_key
from napari_gpcis.plugin.settings.preferences import PREFERENCES, follow
from napari_gpcis.plugin.tools.alternatives import AlternativeMasks, pictures

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_gpcis.inference.image import PreparedImage
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.tools.alternatives import Offer

IDLE = "Click on an object: other masks that the clicks may mean are shown here."
ONLY_ONE = "The clicks leave no other mask."
CHOOSE = "Click on a mask, or press its number"
FORGET = "Reset order"
FORGET_HELP = (
    "Masks of the kind that you took for the last objects come first.\n"
    "Press to reset the order."
)
PICTURE_HELP = "Take this mask: {:,} pixels. Undo goes back."
LARGEST, ROW, FRAME = 76, 320, 8
"""Pixels: longer side of a picture at most, length of the row, and space of a frame.
The row has always the same room, so that nothing moves when pictures come and go."""
_KEEP = Qt.AspectRatioMode.KeepAspectRatio
_STYLE = (
    "QToolButton { border: 3px solid transparent; padding: 0px; }"
    "QToolButton:checked { border: 3px solid #ffd400; }"
)


class OtherMasksPanel(Panel):
    """Row of pictures, of which a click chooses one; the one that is drawn is framed.

    They are computed while the section is open, or when one of the keys was pressed.

    Parameters
    ----------
    controller
        The annotation shown and commanded.
    """

    title: ClassVar[str] = "Other masks"

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self.alternatives = AlternativeMasks(controller)
        self.message = Lines(1)
        self.buttons = tuple(QToolButton() for _ in range(LIMIT))
        self._shown: Any = None
        room = QWidget()
        room.setMinimumWidth(ROW)
        room.setFixedHeight(LARGEST + FRAME)
        row = QHBoxLayout(room)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        for place, button in enumerate(self.buttons):
            button.setCheckable(True)
            button.setStyleSheet(_STYLE)
            button.setToolTip(CHOOSE)
            button.setAccessibleName(f"Mask {place + 1}")
            button.clicked.connect(partial(self._on_clicked, place))
            row.addWidget(button)
        row.addStretch()
        self.forget = QPushButton(FORGET)
        self.forget.setToolTip(FORGET_HELP)
        self.forget.clicked.connect(self.alternatives.forget_choices)
        top = QHBoxLayout()
        top.addWidget(self.message, 1)
        top.addWidget(self.forget)
        self.column.addLayout(top)
        self.column.addWidget(room)
        self.show_on(controller.started, controller.stopped, self.alternatives.changed)
        self._end = follow(PREFERENCES.events.shortcuts, self._on_news, self)
        self.show_state()

    def show_state(self) -> None:
        """Show the pictures of the alternatives that are known."""
        offer, session = self.alternatives.offer, self.controller.session
        found = () if offer is None or session is None else offer.found
        areas = () if offer is None else offer.areas
        if offer is None or session is None:
            self.message.setText(IDLE)
        else:
            several = with_key(CHOOSE, "alternative_next") + "."
            self.message.setText(several if len(found) > 1 else ONLY_ONE)
            if offer is not self._shown:
                self._show_pictures(offer, session.prepared)
        self._shown = offer
        learned = bool(self.alternatives.choices.preferred)
        self.forget.setVisible(learned and len(found) > 1)
        for place, button in enumerate(self.buttons):
            button.setVisible(1 < len(found) > place)
            button.setChecked(offer is not None and offer.place == place)
            if place < len(found):
                text = PICTURE_HELP.format(areas[place])
                button.setToolTip(text)
                button.setAccessibleName(text)

    def _show_pictures(self, offer: Offer, prepared: PreparedImage) -> None:
        """Draw the pictures, in one row."""
        size = min(LARGEST, ROW // len(offer.found) - FRAME)
        shown = pictures(offer, prepared, size)
        for place, pixels in enumerate(shown):
            button = self.buttons[place]
            icon = _icon(pixels, str(place + 1), size)
            button.setIcon(icon)
            button.setIconSize(icon.availableSizes()[0])

    def close_links(self) -> None:
        """Disconnect from the preferences."""
        self._end()

    def showEvent(self, event: QShowEvent) -> None:
        """Have the alternatives computed from now on."""
        super().showEvent(event)
        self.alternatives.wanted = True

    def hideEvent(self, event: QHideEvent) -> None:
        """Have them computed no more."""
        super().hideEvent(event)
        self.alternatives.wanted = False

    def _on_clicked(self, place: int, *_: object) -> None:
        self.alternatives.choose(place)
        self.show_state()


def _icon(pixels: NDArray[np.uint8], number: str, size: int) -> QIcon:
    """Return an icon of pixels, uint8, (h, w, 3), with a number in its corner."""
    flat = np.ascontiguousarray(pixels)
    height, width = flat.shape[:2]
    kind = QImage.Format.Format_RGB888
    image = QImage(flat.tobytes(), width, height, 3 * width, kind).copy()
    picture = QPixmap.fromImage(image).scaled(size, size, _KEEP)
    painter = QPainter(picture)
    box = painter.fontMetrics().boundingRect(number).adjusted(-3, 0, 3, 0)
    box.moveTo(0, 0)
    painter.fillRect(box, QColor(0, 0, 0, 170))
    painter.setPen(QColor("white"))
    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, number)
    painter.end()
    return QIcon(picture)
