"""Closing with unsaved work, or a training: a question before a window or dock closes.

Only the user is asked, who closes the window by its button, its menu or its keys, or
the dock by its button. A script that closes them is never held up.

Whoever has answered is not asked by napari as well: its window is then closed as napari
closes it after its own question. The user's preference stays what it is.
"""

from __future__ import annotations

from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, WeakSet, ref

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QApplication, QMainWindow, QMessageBox

from napari_gpcis.plugin.dock.base import breakable, dock_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QDockWidget, QWidget

    from napari_gpcis.plugin.saving.record import Record

TITLE = "Unsaved objects"
QUESTION = "The clicks and masks on {!r} ({}) are not saved."
QUESTION_IN = "The clicks and masks on {!r} in {} ({}) are not saved."
KEPT = "What you keep is offered again when the widget is next opened with this image."
ANSWERED = "napari_gpcis_answered"
"""Property of a window that is being closed: its user has answered a question."""
CLOSING = "napari_gpcis_closing"
"""Property of windows that are being closed: one question for all that each holds."""
_GUARDS: WeakSet[CloseGuard] = WeakSet()
_ALIVE: Callable[[QObject], bool] = isalive  # QtPy gives it no types
SAVE, KEEP, DISCARD = "Save ...", "Keep for next time", "Discard"


class CloseGuard(QObject):
    """Asks before a window, or a dock in it, is closed by the user.

    Parameters
    ----------
    widget
        The widget in the dock.
    dock, window
        The dock, and napari's window.
    unsaved
        Returns whether there is a need to ask.
    may_close
        Returns whether it may be closed, having asked if there is a need to.
    notice
        Returns what the user is to know when the whole window is closed. If another
        guard of the window asks, this is part of its question, and there is no other.
        By default there is a question of its own.
    """

    def __init__(
        self,
        widget: QWidget,
        dock: QDockWidget,
        window: QMainWindow,
        unsaved: Callable[[], bool],
        may_close: Callable[[], bool],
        notice: Callable[[], str] | None = None,
    ) -> None:
        super().__init__(widget)
        _GUARDS.add(self)
        self._unsaved, self._notice = unsaved, notice
        self._told = False
        self._may_close: Callable[[], bool] | None = may_close
        self._replaced: list[tuple[ReferenceType[Any], str, Any]] = []
        window.installEventFilter(self)
        self._window: ReferenceType[QMainWindow] = ref(window)
        self._replace(window, "close", CloseGuard._close_window, _close_by_napari)
        self._replace(dock, "destroyOnClose", CloseGuard._close_dock)

    def end(self) -> None:
        """Let everything close without a question."""
        self._may_close = None
        replaced, self._replaced = self._replaced, []
        for known, name, ours in replaced:
            owner = known()
            if owner is not None and owner.__dict__.get(name) is ours:
                delattr(owner, name)
        window = self._window()
        if window is not None and _ALIVE(window):
            window.removeEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Ask when the window system asks the window to close.

        Napari asks too when that event reaches it, so it closes as by its menu instead.
        """
        window = self._window()
        if window is None or watched is not window:
            return False
        closing = event.type() == QEvent.Type.Close and event.spontaneous()
        if not closing or not self._is_needed():
            return False
        event.ignore()
        by_menu: Callable[..., Any] = window.close
        QTimer.singleShot(0, self, partial(by_menu, quit_app=False, confirm_need=True))
        return True

    def _replace(
        self,
        owner: Any,
        name: str,
        instead: Callable[..., Any],
        last: Callable[..., Any] | None = None,
    ) -> None:
        """Let napari call something else, which calls what it would have called.

        Nothing of it keeps the window or this guard alive. ``last`` is what is called
        in the end with the owner, by default what napari would have called.
        """
        if not hasattr(type(owner), name):
            return
        known, guard = ref(owner), ref(self)
        before = owner.__dict__.get(name)  # of a guard of another widget

        def ours(*args: Any, **options: Any) -> Any:
            there, asking = known(), guard()
            original = before or partial(last or getattr(type(there), name), there)
            if asking is None:
                return original(*args, **options)
            return instead(asking, original, *args, **options)

        setattr(owner, name, ours)
        self._replaced.append((known, name, ours))

    def _close_window(
        self,
        close: Callable[[bool, bool], Any],
        quit_app: bool = False,
        confirm_need: bool = False,
    ) -> Any:
        """Ask where napari would: its menu and its keys ask for confirmation.

        Each guard of a window asks for its own work; napari only if none of them did,
        or if other windows close as well. These are asked for then.
        """
        window = self._window()
        if not confirm_need or window is None:
            return close(quit_app, confirm_need)
        first = not window.property(CLOSING)
        others = _others(window) if quit_app else []
        if self._is_needed() and not others:
            window.setProperty(ANSWERED, True)
        begun = [window, *others] if first else []
        for one in begun:
            one.setProperty(CLOSING, True)
        try:
            asked = [guard for guard in _GUARDS if first and guard._window() in others]
            closes = all(guard._asked() for guard in (self, *asked))
            return close(quit_app, True) if closes else None
        finally:
            if _ALIVE(window):
                window.setProperty(ANSWERED, None)
            for one in filter(_ALIVE, begun):
                one.setProperty(CLOSING, None)
            if first:
                for guard in _GUARDS:
                    guard._told = False

    def _close_dock(self, close: Callable[[], Any]) -> None:
        """Ask when the button of the dock is pressed."""
        if self._asked():
            close()

    def _is_needed(self) -> bool:
        """Return whether the user is to be asked."""
        window = self._window()
        seen = window is not None and _ALIVE(window) and window.isVisible()
        return self._may_close is not None and seen and self._unsaved()

    def _asked(self) -> bool:
        """Return whether it may be closed."""
        window = self._window()
        seen = window is not None and _ALIVE(window) and window.isVisible()
        if self._may_close is None or not seen or window is None:
            return True
        told = self._told or self._is_told_by_others(window)
        return told or self._may_close()

    def _is_told_by_others(self, window: QMainWindow) -> bool:
        """Return whether another guard will tell of this one when it asks."""
        if self._notice is None or not window.property(CLOSING):
            return False
        others = (guard for guard in _GUARDS if guard._window() is window)
        return any(one._is_needed() for one in others if one._notice is None)


def guard_dock(
    widget: QWidget,
    unsaved: Callable[[], bool],
    may_close: Callable[[], bool],
    notice: Callable[[], str] | None = None,
) -> CloseGuard | None:
    """Return a guard of a widget and its window, ``None`` if it is in no dock.

    Parameters
    ----------
    widget, unsaved, may_close, notice
        See `CloseGuard`.
    """
    dock = dock_of(widget)
    window = None if dock is None else dock.parent()
    if dock is None or not isinstance(window, QMainWindow):
        return None
    return CloseGuard(widget, dock, window, unsaved, may_close, notice)


def _notices(widget: QWidget) -> list[str]:
    """Return what guards of a widget's window have to tell, if that is being closed.

    Each tells it once, in the first of several questions.
    """
    dock = dock_of(widget)
    window = None if dock is None else dock.parent()
    if window is None or not window.property(CLOSING):
        return []
    told = []
    for guard in _GUARDS:
        new = guard._window() is window and not guard._told
        if new and guard._notice is not None and guard._is_needed():
            guard._told = True
            told.append(guard._notice())
    return told


def _others(window: QMainWindow) -> list[QWidget]:
    """Return the windows that are closed with one by which all are."""
    return [
        other
        for other in QApplication.topLevelWidgets()
        if isinstance(other, QMainWindow) and other.isVisible() and other is not window
    ]


def _close_by_napari(
    window: Any, quit_app: bool = False, confirm_need: bool = False
) -> Any:
    """Let napari close its window, and ask only whom no guard has asked."""
    asks = confirm_need and not window.property(ANSWERED)
    return type(window).close(window, quit_app, asks)


class Answer(Enum):
    """Choice of what is to become of unsaved work."""

    CANCEL = "it goes on, nothing is closed"
    KEEP = "it stays unsaved, for the next time"
    SAVED = "it was saved"
    DISCARD = "it is not wanted"


def ask(
    record: Record, where: str, save: Callable[[], bool], parent: QWidget
) -> Answer:
    """Ask what is to become of unsaved work, which goes on meanwhile.

    Parameters
    ----------
    record
        The work.
    where
        Its labels layer in words, if the image has others with work; else empty.
    save
        Asks for a file name, saves it, and returns whether it is saved.
    parent
        Qt parent of the question.
    """
    image, amount = record.image_name, record.amount
    words = QUESTION_IN.format(image, where, amount)
    words = words if where else QUESTION.format(image, amount)
    record.keep()  # after an earlier answer it was not closed
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle(TITLE)
    box.setText(breakable(words))
    box.setInformativeText(breakable("\n\n".join([KEPT, *_notices(parent)])))
    kinds = QMessageBox.StandardButton
    box.setStandardButtons(kinds.Save | kinds.Discard | kinds.Cancel)
    box.button(kinds.Save).setText(SAVE)
    box.button(kinds.Discard).setText(DISCARD)
    keep = box.addButton(KEEP, QMessageBox.ButtonRole.AcceptRole)
    box.setDefaultButton(kinds.Save)
    box.setEscapeButton(kinds.Cancel)
    answer = box.exec()
    if box.clickedButton() is keep:
        return Answer.KEEP
    if answer == kinds.Discard:
        return Answer.DISCARD
    return Answer.SAVED if answer == kinds.Save and save() else Answer.CANCEL
