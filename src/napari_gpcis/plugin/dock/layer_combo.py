"""Combo box of the viewer's layers, kept up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtGui import QFocusEvent, QHelpEvent, QKeyEvent, QStandardItemModel
from qtpy.QtWidgets import (
    QComboBox,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolTip,
    QWidget,
)

from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.viewer.layers import unwrapped

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Layer

LAYER_EVENTS = ("inserted", "removed", "reordered")

_STAYING = (
    Qt.FocusReason.PopupFocusReason,
    Qt.FocusReason.ActiveWindowFocusReason,
)
"""Reasons for which the keyboard goes elsewhere for a while only."""


class LayerCombo(QComboBox):
    """Combo box of the viewer's layers, also when they come, go or are renamed.

    The arrow keys choose at once, but for the entry that stands for no layer: something
    would be made for it each time they pass. It is chosen by the key Enter, or when the
    keyboard goes elsewhere, as it does with a click into the image; Escape goes back to
    the layer before.

    Parameters
    ----------
    viewer
        The viewer.
    wanted
        Returns true for layers to offer.
    nothing
        Text of a first entry that stands for no layer; without it there is none.
    obstacle
        Returns why a layer cannot be chosen now, in words, or an empty text: such
        layers are grey, with the reason in their tooltip.
    parent
        Qt parent.
    """

    picked = Signal()
    """Emitted when the user chose an entry."""

    passing = Signal(bool)
    """Emitted with true when the user is at the entry for no layer, by keys, and may go
    on; with false when the user has gone on to a layer."""

    changed = Signal()
    """Emitted when another layer is chosen, by whomever, before :attr:`picked`."""

    refreshed = Signal()
    """Emitted when layers came, went or were renamed."""

    def __init__(
        self,
        viewer: ViewerModel,
        wanted: Callable[[Layer], bool],
        nothing: str | None = None,
        obstacle: Callable[[Layer], str] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._wanted = wanted
        self._nothing = nothing
        self._obstacle = obstacle
        self._layers: list[Layer | None] = []
        self._chosen: Layer | None = None
        self._gone: Callable[[], Layer | None] = _nothing_gone
        self._by_key = self._unsettled = False
        self._passed: Callable[[], Layer | None] = _nothing_gone
        self._entries = QStandardItemModel(self)
        self.setModel(self._entries)
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
        self._unsettled, self._gone = False, _nothing_gone
        self.setCurrentIndex(self._find(layer))
        self._compare()

    @property
    def lost(self) -> Layer | None:
        """The layer that was chosen until it was removed; ``None`` without one."""
        return self._gone()

    @property
    def layers(self) -> list[Layer]:
        """The layers that are offered."""
        return [layer for layer in self._layers if layer is not None]

    def close_links(self) -> None:
        """Disconnect from the viewer."""
        self._connections.end()
        self._names.end()

    def refresh(self, _event: Any = None) -> None:
        """Offer the present layers; the chosen one stays if it is still there.

        If it was removed and comes back, it is chosen again, unless another one is.
        """
        before = self.layer
        layers = [layer for layer in self._viewer.layers if self._wanted(layer)]
        self._follow_names(layers)
        self._layers = [*layers] if self._nothing is None else [None, *layers]
        self.clear()
        if self._nothing is not None:
            self.addItem(self._nothing)
        self.addItems([layer.name for layer in layers])
        place = self._find(before)
        if before is None and (gone := self._gone()) is not None:
            place = max(place, self._find(gone))
        elif before is not None and place < 0:
            self._gone = ref(unwrapped(before))
        self.setCurrentIndex(max(place, 0 if self._layers else -1))
        self.show_obstacles()
        self._compare()
        self.refreshed.emit()

    def show_obstacles(self) -> None:
        """Show grey what cannot be chosen now."""
        for place, layer in enumerate(self._layers):
            why = (
                "" if layer is None or self._obstacle is None else self._obstacle(layer)
            )
            self._entries.item(place).setEnabled(not why)
            self._entries.item(place).setToolTip(why)

    def showPopup(self) -> None:
        """Show the list; layers may have been moved or locked meanwhile."""
        self.show_obstacles()
        super().showPopup()

    def event(self, event: QEvent) -> bool:
        """Draw long names cut in their middle; show the whole name in the tooltip.

        Of the keys, Enter chooses an entry at which the others have stopped.
        """
        if event.type() == QEvent.Type.Paint:
            self._draw()
            return True
        if isinstance(event, QHelpEvent) and self.currentText():
            text = f"{self.currentText()}\n{self.toolTip()}"
            QToolTip.showText(event.globalPos(), text, self)
            return True
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            return self._take_key(event)
        done = bool(super().event(event))
        if isinstance(event, QFocusEvent):
            self._take_focus(event)
        return done

    def _take_focus(self, event: QFocusEvent) -> None:
        """Take the entry at which the keys have stopped when the focus goes."""
        if event.lostFocus() and event.reason() not in _STAYING:
            self._settle()

    def _take_key(self, event: QKeyEvent) -> bool:
        """Let a key choose."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._unsettled:
            self._settle()
            return True
        if event.key() == Qt.Key.Key_Escape and self._unsettled:
            self.layer = self._passed()
            self.passing.emit(False)
            return True
        self.show_obstacles()
        self._by_key = True
        done = bool(super().event(event))
        self._by_key = False
        return done

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
        was, self._unsettled = self._unsettled, self._by_key and self.layer is None
        self._gone = _nothing_gone
        if self._unsettled and not was:
            before = self._chosen
            self._passed = _nothing_gone if before is None else ref(unwrapped(before))
        self._compare()
        if was or self._unsettled:
            self.passing.emit(self._unsettled)
        if not self._unsettled:
            self.picked.emit()

    def _settle(self) -> None:
        if self._unsettled:
            self._unsettled = False
            self.picked.emit()

    def _compare(self) -> None:
        """Tell if another layer is chosen than before."""
        before, self._chosen = self._chosen, self.layer
        if (before is None) != (self._chosen is None) or before != self._chosen:
            self.changed.emit()


def _nothing_gone() -> None:
    """Return nothing, as the reference to a layer that was deleted does."""
