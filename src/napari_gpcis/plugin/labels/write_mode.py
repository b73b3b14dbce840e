"""Write options: whether masks make new objects or change one that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from qtpy.QtCore import QObject, Signal

from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.labels.live_mask import LiveMask
from napari_gpcis.plugin.settings.preferences import PREFERENCES

if TYPE_CHECKING:
    from napari_gpcis.plugin.labels.writer import LabelsWriter
    from napari_gpcis.plugin.viewer.planes import Plane

ChosenMode: TypeAlias = Literal["new", "add", "cut", "replace"]


class WriteOptions(QObject):
    """Write mode, overwriting and threshold as the user has chosen; one a widget.

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
    """Emitted when the mode was changed, by the user or after an object."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._mode: ChosenMode = "new"
        self.threshold = PREFERENCES.threshold
        self._connections = Connections()
        self._connections.connect(PREFERENCES.events.threshold, self._on_threshold)

    def close(self) -> None:
        """Stop following the preferences."""
        self._connections.end()

    @property
    def mode(self) -> ChosenMode:
        """Write mode of the next object; may be set.

        ``"new"`` makes a new object. The others change the object whose id is the
        selected label of the labels layer, see `Session.accept`.
        """
        return self._mode

    @mode.setter
    def mode(self, mode: ChosenMode) -> None:
        if mode != self._mode:
            self._mode = mode
            self.changed.emit()

    @property
    def overwrite(self) -> bool:
        """True if new objects may overwrite finished ones."""
        return not PREFERENCES.protect

    def begin(self, plane: Plane, writer: LabelsWriter) -> LiveMask:
        """Return what a new current object holds before its first mask."""
        label = int(writer.labels.selected_label)
        live = LiveMask()
        if self._mode != "new" and label > 0:
            whole = self._mode == "replace"
            live = (
                writer.replaced(plane, label) if whole else LiveMask(label, self._mode)
            )
            writer.reserve(label)
        live.overwrite = self.overwrite and live.how != "cut"
        return live

    def finished(self) -> None:
        """Go back to new objects after one was cut or replaced."""
        if self._mode in ("cut", "replace"):
            self.mode = "new"

    def _on_threshold(self, threshold: Any) -> None:
        self.threshold = float(threshold)
