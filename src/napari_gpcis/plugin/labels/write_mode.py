"""How masks are written: as new objects, or onto one that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from qtpy.QtCore import QObject, Signal

from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.labels.live_mask import Painted
from napari_gpcis.plugin.settings.preferences import PREFERENCES

if TYPE_CHECKING:
    from napari_gpcis.plugin.labels.writer import Painter
    from napari_gpcis.plugin.viewer.planes import Plane

Way: TypeAlias = Literal["new", "add", "cut", "replace"]


class Writing(QObject):
    """What a person has chosen about writing; one for each widget.

    Parameters
    ----------
    parent
        Qt parent.

    Attributes
    ----------
    threshold
        Probability above which a pixel is object, from the next object on.
    """

    changed = Signal()
    """Emitted when the way was changed, by a person or after an object."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._way: Way = "new"
        self.threshold = PREFERENCES.threshold
        self._connections = Connections()
        self._connections.connect(PREFERENCES.events.threshold, self._on_threshold)

    def close(self) -> None:
        """Stop following the preferences."""
        self._connections.end()

    @property
    def way(self) -> Way:
        """What the next object's mask does; may be set.

        ``"new"`` makes a new object. The others change the object whose id is the
        selected label of the labels layer, see `Session.accept`.
        """
        return self._way

    @way.setter
    def way(self, way: Way) -> None:
        if way != self._way:
            self._way = way
            self.changed.emit()

    @property
    def cover(self) -> bool:
        """Whether new objects may cover finished ones."""
        return not PREFERENCES.protect

    def begin(self, plane: Plane, painter: Painter) -> Painted:
        """Return what a new running object holds before its first mask."""
        label = int(painter.labels.selected_label)
        held = Painted()
        if self._way != "new" and label > 0:
            whole = self._way == "replace"
            held = (
                painter.replaced(plane, label) if whole else Painted(label, self._way)
            )
            painter.reserve(label)
        held.cover = self.cover and held.how != "cut"
        return held

    def finished(self) -> None:
        """Go back to new objects after one was cut or replaced."""
        if self._way in ("cut", "replace"):
            self.way = "new"

    def _on_threshold(self, threshold: Any) -> None:
        self.threshold = float(threshold)
