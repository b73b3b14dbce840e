"""Section "Other masks": pictures of the masks that the same clicks may mean."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QGridLayout, QToolButton

from napari_gpcis.alternatives.selection import LIMIT
from napari_gpcis.plugin.dock.base import Lines
from napari_gpcis.plugin.dock.panels.base import Panel, with_key
from napari_gpcis.plugin.settings.preferences import PREFERENCES, follow
from napari_gpcis.plugin.tools.alternatives import AlternativeMasks, pictures

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_gpcis.plugin.annotation.controller import Controller

IDLE = "Click on an object: other masks that the clicks may mean are shown here."
ONLY_ONE = "The clicks leave no other mask."
CHOOSE = "Click on the mask that you mean"
PICTURE_HELP = "Take this mask: {:,} pixels."
SIZE, IN_A_ROW = 60, 4
"""Pixels of the longer side of a picture, and how many stand side by side."""
_KEEP = Qt.AspectRatioMode.KeepAspectRatio
_STYLE = (
    "QToolButton { border: 2px solid transparent; padding: 1px; }"
    "QToolButton:checked { border: 2px solid #2d6cb5; }"
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
        self.message = Lines(2)
        self.buttons = tuple(QToolButton() for _ in range(LIMIT))
        self._shown: Any = None
        grid = QGridLayout()
        grid.setSpacing(2)
        for place, button in enumerate(self.buttons):
            button.setCheckable(True)
            button.setStyleSheet(_STYLE)
            button.setIconSize(QSize(SIZE, SIZE))
            button.setToolTip(CHOOSE)
            button.clicked.connect(partial(self._on_clicked, place))
            grid.addWidget(button, *divmod(place, IN_A_ROW))
        grid.setColumnStretch(IN_A_ROW, 1)
        self.column.addWidget(self.message)
        self.column.addLayout(grid)
        self.show_on(controller.started, controller.stopped, self.alternatives.changed)
        self._end = follow(PREFERENCES.events.shortcuts, self._on_news, self)
        self.show_state()

    def show_state(self) -> None:
        """Show the pictures of the alternatives that are known."""
        offer, session = self.alternatives.offer, self.controller.session
        found = () if offer is None or session is None else offer.found
        if offer is None or session is None:
            self.message.setText(IDLE)
        else:
            several = with_key(CHOOSE, "alternative_next") + "."
            self.message.setText(several if len(found) > 1 else ONLY_ONE)
            if offer is not self._shown:
                for button, pixels in zip(
                    self.buttons, pictures(offer, session.prepared, SIZE), strict=False
                ):
                    button.setIcon(_icon(pixels))
        self._shown = offer
        for place, button in enumerate(self.buttons):
            button.setVisible(1 < len(found) > place)
            button.setChecked(offer is not None and offer.place == place)
            if place < len(found):
                text = PICTURE_HELP.format(found[place].area)
                button.setToolTip(text)
                button.setAccessibleName(text)

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


def _icon(pixels: NDArray[np.uint8]) -> QIcon:
    """Return an icon of pixels, uint8, (h, w, 3)."""
    flat = np.ascontiguousarray(pixels)
    height, width = flat.shape[:2]
    kind = QImage.Format.Format_RGB888
    image = QImage(flat.tobytes(), width, height, 3 * width, kind).copy()
    return QIcon(QPixmap.fromImage(image).scaled(SIZE, SIZE, _KEEP))
