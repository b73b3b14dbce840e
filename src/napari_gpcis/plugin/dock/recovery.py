"""A calm line that offers work which a crash has left behind."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QWidget

from napari_gpcis.plugin.saving.recovery_file import Recovered, left_behind
from napari_gpcis.plugin.viewer.planes import layer_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image


class RecoveryNote(QWidget):
    """What was left behind, one after the other; hidden if there is nothing.

    Nothing is deleted before the person has chosen.
    """

    wanted = Signal(object)
    """A :class:`.Recovered` is to be brought back."""

    def __init__(self) -> None:
        super().__init__()
        self.found = left_behind()
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.hint = QLabel()
        self.hint.setWordWrap(True)
        self.bring_back = QPushButton("Bring back")
        self.bring_back.setToolTip(
            "Show its objects in a new layer and go on. Open its image first."
        )
        self.discard = QPushButton("Discard")
        self.discard.setToolTip("Delete what was kept of it, for good.")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.text, 0, 0, 1, 3)
        grid.addWidget(self.hint, 1, 0, 1, 3)
        grid.addWidget(self.bring_back, 2, 1)
        grid.addWidget(self.discard, 2, 2)
        grid.setColumnStretch(0, 1)
        self.bring_back.clicked.connect(self._on_bring_back)
        self.discard.clicked.connect(self._on_discard)
        self._show()

    def done(self, recovered: Recovered) -> None:
        """Offer the next: this one was brought back."""
        recovered.discard()
        self.found = [one for one in self.found if one is not recovered]
        self._show()

    def say(self, hint: str) -> None:
        """Say why it is not back yet."""
        self.hint.setText(hint)
        self.hint.setVisible(bool(hint))

    def _on_bring_back(self) -> None:
        self.wanted.emit(self.found[0])

    def _on_discard(self) -> None:
        self.done(self.found[0])

    def _show(self) -> None:
        self.setVisible(bool(self.found))
        self.say("")
        if not self.found:
            return
        saved = self.found[0].saved
        count = len(saved.ids)
        day = time.strftime("%d %B, %H:%M", time.localtime(self.found[0].when))
        objects = f"{count} object{'' if count == 1 else 's'}"
        self.text.setText(
            f"Work on {saved.image!r} ({objects}, {day}) was not closed properly."
        )


def image_of(recovered: Recovered, images: Sequence[Image]) -> Image | None:
    """Return the image that work belongs to: of its shape, best of its name too."""
    fitting = [one for one in images if layer_shape(one) == recovered.saved.shape]
    named = [one for one in fitting if one.name == recovered.saved.image]
    return next(iter((*named, *fitting)), None)
