"""Recovery of unsaved work: a banner that offers it, and autosaving for one widget."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_gpcis.plugin.dock.closing import Answer, ask
from napari_gpcis.plugin.dock.notices import BLUE, Action, Banner
from napari_gpcis.plugin.dock.panels.files import FilesPanel
from napari_gpcis.plugin.dock.panels.folder import FolderPanel
from napari_gpcis.plugin.saving.autosave import Autosaver, Removed
from napari_gpcis.plugin.saving.recovery_file import Recovered, unsaved_work
from napari_gpcis.plugin.saving.restore import Restorer
from napari_gpcis.plugin.viewer.planes import layer_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from napari.components import ViewerModel

    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.dock.panels.base import Panel
    from napari_gpcis.plugin.saving.record import Record


FOUND = "Unsaved work on {!r} ({}, {}) was found."
REMOVED = "A layer of unsaved work on {!r} ({}) was removed. The work is kept."
RESTORE, DISCARD = "Restore", "Discard"
RESTORE_HELP = "Show its objects in a new layer and go on. Open its image first."
GO_ON_HELP = "Bring back its objects, clicks and classes, and go on."
DISCARD_HELP = "Delete the recovery file for good."
OPEN_IMAGE = "Open its image first: {}."
GONE = "It was restored or discarded in another window."


class RecoveryBanner(Banner):
    """Banner that offers to restore unsaved work, one piece after the other.

    First what has just lost a layer, then recovery files. It is hidden if there is
    none. Nothing is deleted before the user has chosen.
    """

    wanted = Signal(object)
    """Emitted with :class:`.Recovered` or :class:`.Removed` work to be restored."""
    unwanted = Signal(object)
    """Emitted with :class:`.Removed` work that is to be discarded."""

    def __init__(self) -> None:
        super().__init__(keeps_room=False)
        self.found: list[Recovered | Removed] = [*unsaved_work()]
        self.hint = ""
        self.restore, self.discard = self.buttons
        self._show()

    def offer(self, removed: Removed) -> None:
        """Offer work that has just lost a layer, before all other."""
        self.found.insert(0, removed)
        self.hint = ""
        self._show()

    def done(self, recovered: Recovered | Removed) -> None:
        """Offer the next piece of work after one that was restored or discarded."""
        self.found = [one for one in self.found if one is not recovered]
        self.hint = ""
        self._show()

    def say(self, hint: str) -> None:
        """Show a hint, such as why nothing was restored yet."""
        self.hint = hint
        self._show()

    def _on_restore(self) -> None:
        self.wanted.emit(self.found[0])

    def _on_discard(self) -> None:
        unwanted = self.found[0]
        if isinstance(unwanted, Removed):
            self.unwanted.emit(unwanted)
        else:
            unwanted.discard()
        self.done(unwanted)

    def _show(self) -> None:
        if not self.found:
            self.hide()
            return
        found = self.found[0]
        if isinstance(found, Removed):
            text, about = REMOVED.format(found.saved.image, found.amount), GO_ON_HELP
        else:
            day = time.strftime("%d %B, %H:%M", time.localtime(found.when))
            text = FOUND.format(found.saved.image, found.amount, day)
            about = RESTORE_HELP
        actions = (
            Action(RESTORE, about, self._on_restore),
            Action(DISCARD, DISCARD_HELP, self._on_discard),
        )
        self.show_notice(f"{text} {self.hint}".rstrip(), actions, BLUE)


class RecoveryManager(QObject):
    """Autosaving and restoring for one widget, connected to its banner and panels.

    Parameters
    ----------
    viewer
        The viewer.
    controller
        The annotation to save.
    parent
        Qt parent.
    """

    def __init__(
        self, viewer: ViewerModel, controller: Controller, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._controller = controller
        self.autosaver = Autosaver(controller, self)
        self.restorer = Restorer(viewer, controller, self.autosaver, self)
        self._files: FilesPanel | None = None
        self.banner = RecoveryBanner()
        self.banner.wanted.connect(self._on_wanted)
        self.restorer.said.connect(self.banner.say)
        self.restorer.recovered.connect(self.banner.done)
        self.banner.unwanted.connect(self.autosaver.discard)
        self.autosaver.removed.connect(self.banner.offer)
        self.autosaver.settled.connect(self.banner.done)

    def serve(self, panels: Iterable[Panel], image: Callable[[], Image | None]) -> None:
        """Connect the Files panel; ``image`` returns the chosen image."""
        for panel in panels:
            if isinstance(panel, FilesPanel):
                self._files = panel
                panel.follow(self.autosaver, self.restorer, image)
            elif isinstance(panel, FolderPanel):
                panel.follow(self._viewer, self.autosaver, self.restorer)

    @property
    def unsaved(self) -> bool:
        """True if there is work about which `may_close` asks."""
        return self._files is not None and bool(self.autosaver.unsaved)

    def may_close(self) -> bool:
        """Ask for all unsaved work what is to become of it; ``False`` to go on.

        Nothing is ended or discarded before all is answered. What long work has found
        by then belongs to what was asked about.
        """
        answers: dict[Record, Answer] = {}
        if self._files is not None:
            for record in self.autosaver.unsaved:
                answers[record] = ask(record, self._files, self._end_work)
                if answers[record] is Answer.CANCEL:
                    return False
        self._end_work()
        for record, answer in answers.items():
            if answer is Answer.DISCARD:
                record.discard()
        return True

    def _end_work(self) -> None:
        annotation = self._controller.annotation
        if annotation is not None:
            annotation.end_work()

    @property
    def end(self) -> Callable[..., None]:
        """Function that stops the threads, even after Qt has deleted this object."""
        ends = self.autosaver.end, self.restorer.end_thread

        def end(*_: object) -> None:
            for one in ends:
                one()

        return end

    def _on_wanted(self, recovered: Recovered | Removed) -> None:
        images = [layer for layer in self._viewer.layers if isinstance(layer, Image)]
        image = image_of(recovered, images)
        if isinstance(recovered, Recovered) and not recovered.waiting:
            self.banner.say(GONE)
        elif image is None:
            where = f" ({recovered.source})" if recovered.source else ""
            self.banner.say(OPEN_IMAGE.format(f"{recovered.saved.image!r}{where}"))
        elif isinstance(recovered, Removed):
            self.restorer.go_on(recovered, image)
        else:
            self.restorer.recover(recovered, image)


def image_of(recovered: Recovered | Removed, images: Sequence[Image]) -> Image | None:
    """Return an image of the shape of recovered work, if possible of its name too.

    Of work that has lost a layer it is the image itself, or the same, opened again.
    """
    fitting = [one for one in images if layer_shape(one) == recovered.saved.shape]
    if isinstance(recovered, Removed):
        same = [one for one in fitting if recovered.is_on(one)]
        same.sort(key=lambda one: str(one.unique_id) != recovered.image_id)
        return next(iter(same), None)
    named = [one for one in fitting if one.name == recovered.saved.image]
    return next(iter((*named, *fitting)), None)
