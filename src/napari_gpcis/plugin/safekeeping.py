"""All that keeps a person's work: record, recovery, saving and going on with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import QObject

from napari_gpcis.plugin.dock.panels.files import FilesPanel
from napari_gpcis.plugin.dock.recovery import RecoveryNote, image_of
from napari_gpcis.plugin.saving.autosave import Keeper
from napari_gpcis.plugin.saving.restore import Restorer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari.components import ViewerModel

    from napari_gpcis.plugin.annotation.controller import Binding
    from napari_gpcis.plugin.dock.panels.base import Panel
    from napari_gpcis.plugin.saving.recovery_file import Recovered


class Safekeeping(QObject):
    """Keeps the work of one widget.

    Parameters
    ----------
    viewer
        The viewer.
    binding
        What annotates.
    parent
        Qt parent.
    """

    def __init__(
        self, viewer: ViewerModel, binding: Binding, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.keeper = Keeper(binding, self)
        self.restorer = Restorer(viewer, binding, self.keeper, self)
        self.note = RecoveryNote()
        self.note.wanted.connect(self._on_wanted)
        self.restorer.said.connect(self.note.say)
        self.restorer.recovered.connect(self.note.done)

    def serve(self, panels: Iterable[Panel], image: Callable[[], Image | None]) -> None:
        """Serve the section of files; ``image`` gives the image that is chosen."""
        for panel in panels:
            if isinstance(panel, FilesPanel):
                panel.follow(self.keeper, self.restorer, image)

    @property
    def end(self) -> Callable[..., None]:
        """Ends everything cleanly, even after Qt has deleted this object."""
        ends = self.keeper.end, self.restorer.end_thread

        def end(*_: object) -> None:
            for one in ends:
                one()

        return end

    def _on_wanted(self, recovered: Recovered) -> None:
        images = [layer for layer in self._viewer.layers if isinstance(layer, Image)]
        image = image_of(recovered, images)
        if image is None:
            where = f" ({recovered.source})" if recovered.source else ""
            self.note.say(f"Open its image first: {recovered.saved.image!r}{where}.")
        else:
            self.restorer.recover(recovered, image)
