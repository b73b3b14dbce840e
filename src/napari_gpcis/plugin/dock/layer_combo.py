"""Combo box of the viewer's layers, kept up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import (
    QComboBox,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolTip,
    QWidget,
)

from napari_gpcis.plugin.connections import Connections

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Layer

LAYER_EVENTS = ("inserted", "removed", "reordered")


class LayerCombo(QComboBox):
    """Combo box of the viewer's layers, also when they come, go or are renamed.

    Parameters
    ----------
    viewer
        The viewer.
    wanted
        Returns true for layers to offer.
    nothing
        Text of a first entry that stands for no layer; without it there is none.
    parent
        Qt parent.
    """

    picked = Signal()
    """Emitted when the user chose an entry."""

    refreshed = Signal()
    """Emitted when layers came, went or were renamed."""

    def __init__(
        self,
        viewer: ViewerModel,
        wanted: Callable[[Layer], bool],
        nothing: str | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._wanted = wanted
        self._nothing = nothing
        self._layers: list[Layer | None] = []
        self._names = Connections()
        self.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.setMinimumContentsLength(12)
        self._connections = Connections()
        for name in LAYER_EVENTS:
            self._connections.connect(viewer.layers.events[name], self.refresh)
        self.activated.connect(self._on_activated)
        self.refresh()

    @property
    def layer(self) -> Layer | None:
        """The chosen layer."""
        index = self.currentIndex()
        return self._layers[index] if 0 <= index < len(self._layers) else None

    @layer.setter
    def layer(self, layer: Layer | None) -> None:
        self.setCurrentIndex(self._find(layer))

    @property
    def layers(self) -> list[Layer]:
        """The layers that are offered."""
        return [layer for layer in self._layers if layer is not None]

    def close_links(self) -> None:
        """Disconnect from the viewer."""
        self._connections.end()
        self._names.end()

    def refresh(self, _event: Any = None) -> None:
        """Offer the present layers; the chosen one stays if it is still there."""
        before = self.layer
        layers = [layer for layer in self._viewer.layers if self._wanted(layer)]
        self._follow_names(layers)
        self._layers = [*layers] if self._nothing is None else [None, *layers]
        self.clear()
        if self._nothing is not None:
            self.addItem(self._nothing)
        self.addItems([layer.name for layer in layers])
        self.setCurrentIndex(max(self._find(before), 0 if self._layers else -1))
        self.refreshed.emit()

    def event(self, event: QEvent) -> bool:
        """Draw long names cut in their middle; show the whole name in the tooltip."""
        if event.type() == QEvent.Type.Paint:
            self._draw()
            return True
        if isinstance(event, QHelpEvent) and self.currentText():
            text = f"{self.currentText()}\n{self.toolTip()}"
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return bool(super().event(event))

    def _draw(self) -> None:
        """Draw the box as Qt does, but for the name."""
        option, style = QStyleOptionComboBox(), self.style()
        self.initStyleOption(option)
        kind = QStyle.ComplexControl.CC_ComboBox
        part = QStyle.SubControl.SC_ComboBoxEditField
        room = style.subControlRect(kind, option, part, self).width()
        option.currentText = self.fontMetrics().elidedText(
            option.currentText, Qt.TextElideMode.ElideMiddle, room
        )
        writer = QStylePainter(self)
        writer.drawComplexControl(kind, option)
        writer.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def _find(self, layer: Layer | None) -> int:
        """Return the place of a layer (layers compare equal through napari's proxy)."""
        for place, other in enumerate(self._layers):
            if (other is None) == (layer is None) and other == layer:
                return place
        return -1

    def _follow_names(self, layers: list[Layer]) -> None:
        self._names.end()
        for layer in layers:
            self._names.connect(layer.events.name, self.refresh)

    def _on_activated(self, _index: int) -> None:
        self.picked.emit()
