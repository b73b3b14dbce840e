"""Write options: whether masks make new objects or change one that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from qtpy.QtCore import QObject, Signal

from napari_gpcis.inference.tidy import Tidy
from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.settings.preferences import PREFERENCES

if TYPE_CHECKING:
    from napari_gpcis.plugin.labels.writer import LabelsWriter
    from napari_gpcis.session.labels import WriteMode

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

    @property
    def tidy(self) -> Tidy | None:
        """Rules by which masks are tidied, from the next object on."""
        if not PREFERENCES.tidy:
            return None
        return Tidy(
            PREFERENCES.tidy_clicked,
            PREFERENCES.tidy_smallest,
            PREFERENCES.tidy_holes,
            PREFERENCES.tidy_smoothing,
        )

    def target(self, writer: LabelsWriter) -> tuple[int, WriteMode, bool]:
        """Return what a mask is written to now.

        Returns
        -------
        int
            Id of the object; 0 for a new one.
        str, bool
            Write mode, and whether other objects are overwritten.
        """
        label = int(writer.labels.selected_label)
        if self._mode == "new" or label <= 0:
            return 0, "add", self.overwrite
        return label, self._mode, self.overwrite and self._mode != "cut"

    def finished(self) -> None:
        """Go back to new objects after one was cut or replaced."""
        if self._mode in ("cut", "replace"):
            self.mode = "new"

    def _on_threshold(self, threshold: Any) -> None:
        self.threshold = float(threshold)
