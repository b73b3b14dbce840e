"""Notices: a coloured banner with buttons for what the user should know or decide now.

There is room for one at a time, and the room is always there: nothing below moves.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from napari.layers import Image
from qtpy.QtCore import QObject, Qt
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
)

from napari_gpcis.plugin.annotation.click_layers import (
    BOX,
    LASSO,
    SCRIBBLE,
    SUPERPIXELS,
)
from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.dock.base import Message
from napari_gpcis.plugin.settings.preferences import PREFERENCES, follow
from napari_gpcis.plugin.settings.shortcuts import key_of
from napari_gpcis.plugin.viewer.overlays import is_display, is_ours_to_show

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtpy.QtCore import QEvent

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.click_layers import Shape
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.tools.objects.regrouping import Regrouping
    from napari_gpcis.plugin.tools.picking import Picking
    from napari_gpcis.plugin.tools.superpixels.outlined import Superpixels

OFF = "Clicks are off: another layer or tool is active."
HIDDEN = "Clicks are off: their layer is hidden."
CLICK_AGAIN = "Click again"
CLICK_AGAIN_HELP = "Make the layers of the clicks visible and active again."
ADDED = "{!r} was added. Annotate it?"
ANNOTATE, NOT_NOW = "Annotate", "Not now"
ANNOTATE_HELP = "Go over to this image. What was done so far is kept."
NOT_NOW_HELP = "Go on with the image that is being annotated."
CHOSEN = "Object {}. Shift-click begins a new one here."
CORRECT, DELETE = "Correct", "Delete"
CORRECT_HELP = "Go on with this object by clicks. A double click does the same."
DELETE_HELP = "Delete this object; undo brings it back."
SPLIT_FIRST = "Split: click on one part of the object."
SPLIT_SECOND = "Split object {}: click on its other part."
MERGE_FIRST = "Merge: click on the first object."
MERGE_SECOND = "Merge object {}: click on the other one."
CANCEL, CANCEL_HELP = "Cancel", "Let clicks be clicks again. Escape does the same."
DRAWING = {
    BOX: "Box: each drag begins an object.",
    LASSO: "Lasso: each drag begins an object.",
    SCRIBBLE: "Scribble: each drag makes clicks.",
    SUPERPIXELS: "Paint: clicks and strokes add superpixels.",
}
PAINTING_ON = "Paint: strokes change object {}."
PAINTING_SOON = "Paint: the superpixels are being computed. Strokes wait for them."
STOP, LET_GO = "Stop", "Let go"
STOP_HELP = "Let clicks be clicks again. Escape does the same."
LET_GO_HELP = "Choose this object no more: strokes begin new ones then."
AMBER, BLUE = ("#f2b134", "#1b1b1b"), ("#2d6cb5", "#ffffff")
"""Colours of ground and text: attention, and a question."""
_STYLE = (
    "#notice {{ background: {0}; border-radius: 4px; }}"
    "#notice QLabel {{ color: {1}; background: transparent; }}"
    "#notice QPushButton {{ color: {1}; background: transparent; padding: 3px 6px;"
    " border: 1px solid {1}; border-radius: 3px; }}"
    "#notice QPushButton:hover {{ background: {1}; color: {0}; }}"
)


class Action(NamedTuple):
    """A button of a notice: its text, its tooltip, and what it does."""

    title: str
    help: str
    run: Callable[[], object]


class Banner(QFrame):
    """Coloured line of text with buttons.

    Parameters
    ----------
    keeps_room
        Whether it keeps its room, of two lines, while it is hidden. If not, it is as
        high as its text, which stands above the buttons.
    """

    def __init__(self, *, keeps_room: bool = True) -> None:
        super().__init__()
        self._keeps_room = keeps_room
        self.setObjectName("notice")
        self.text = Message()
        self.text.setAlignment(Qt.AlignmentFlag.AlignVCenter)
        self.buttons = (QPushButton(ANNOTATE), QPushButton(NOT_NOW))
        for button, text in zip(
            self.buttons, (ANNOTATE_HELP, NOT_NOW_HELP), strict=True
        ):
            button.setToolTip(text)
        self._actions: tuple[Action, ...] = ()
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 4, 6, 4)
        row = QHBoxLayout()
        if keeps_room:
            row.addWidget(self.text, stretch=1)
        else:
            column.addWidget(self.text)
            row.addStretch()
        column.addLayout(row)
        for place, button in enumerate(self.buttons):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
            button.clicked.connect(partial(self._on_clicked, place))
            row.addWidget(button)
        policy = self.sizePolicy()
        policy.setRetainSizeWhenHidden(keeps_room)
        self.setSizePolicy(policy)
        self.hide()

    def show_notice(
        self, text: str, actions: Sequence[Action], colours: tuple[str, str]
    ) -> None:
        """Show a text and at most two buttons in these colours."""
        self._actions = tuple(actions)
        self.text.setText(text)
        self.text.setToolTip(text)
        self.setStyleSheet(_STYLE.format(*colours))
        for place, button in enumerate(self.buttons):
            there = place < len(self._actions)
            button.setVisible(there)
            if there:
                button.setText(self._actions[place].title)
                button.setToolTip(self._actions[place].help)
        self.show()

    def event(self, event: QEvent) -> bool:
        """Have room for two lines, in whatever font the theme has."""
        done = bool(super().event(event))
        styled = event.type() in (event.Type.Polish, event.Type.FontChange)
        if styled and self._keeps_room:
            margins = self.contentsMargins()
            layout = self.layout()
            if layout is not None:
                margins = layout.contentsMargins()
            room = 2 * self.text.fontMetrics().lineSpacing()
            self.setFixedHeight(room + margins.top() + margins.bottom() + 4)
        return done

    def _on_clicked(self, place: int, *_: object) -> None:
        if place < len(self._actions):
            self._actions[place].run()


class Notices(QObject):
    """Says where clicks go: a new image, a chosen object, a tool, or that they are off.

    Parameters
    ----------
    controller
        The annotation.
    picking
        Knows which object is chosen.
    regrouping
        Knows what is to be split or merged.
    annotate
        Goes over to another image.
    parent
        Qt parent.
    """

    def __init__(
        self,
        controller: Controller,
        picking: Picking,
        regrouping: Regrouping,
        annotate: Callable[[Image], None],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self.banner = Banner()
        self._controller, self._picking = controller, picking
        self._regrouping = regrouping
        self._annotate = annotate
        self._superpixels: Superpixels | None = None
        self._added: Image | None = None
        self._connections, self._seen = Connections(), Connections()
        layers = controller.viewer.layers.events
        self._connections.connect(layers.inserted, self._on_inserted)
        self._connections.connect(layers.removed, self._on_removed)
        controller.started.connect(self._on_started)
        controller.stopped.connect(self._on_stopped)
        controller.plane_changed.connect(self.show_state)
        picking.changed.connect(self.show_state)
        regrouping.changed.connect(self.show_state)
        self._end = follow(PREFERENCES.events.shortcuts, self._on_keys, self)

    def follow(self, superpixels: Superpixels) -> None:
        """Say while one paints whether superpixels are being computed."""
        self._superpixels = superpixels
        superpixels.changed.connect(self.show_state)

    def close(self) -> None:
        """Disconnect from the viewer and the preferences."""
        self._connections.end()
        self._seen.end()
        self._end()

    def show_state(self, *_: Any) -> None:
        """Show what is most urgent, or nothing."""
        annotation, banner = self._controller.annotation, self.banner
        if annotation is None:
            banner.hide()
        elif self._added is not None:
            actions = (
                Action(ANNOTATE, ANNOTATE_HELP, self._on_annotate),
                Action(NOT_NOW, NOT_NOW_HELP, self._on_not_now),
            )
            banner.show_notice(ADDED.format(self._added.name), actions, BLUE)
        elif self._clicks_are_off(annotation):
            key = key_of("ready")
            title = f"{CLICK_AGAIN} ({key})" if key else CLICK_AGAIN
            action = Action(title, CLICK_AGAIN_HELP, self._controller.ready)
            text = HIDDEN if annotation.click_layers.hidden else OFF
            banner.show_notice(text, [action], AMBER)
        elif self._regrouping.task is not None:
            action = Action(CANCEL, CANCEL_HELP, self._regrouping.stop)
            banner.show_notice(self._regrouping_text(), [action], BLUE)
        elif annotation.click_layers.drawing == SUPERPIXELS:
            self._show_drawing(SUPERPIXELS)
        elif self._picking.chosen is not None:
            actions = (
                Action(CORRECT, CORRECT_HELP, self._picking.correct_chosen),
                Action(DELETE, DELETE_HELP, self._picking.delete_chosen),
            )
            text = CHOSEN.format(self._picking.chosen[1])
            banner.show_notice(text, actions, BLUE)
        elif annotation.click_layers.drawing is not None:
            self._show_drawing(annotation.click_layers.drawing)
        else:
            banner.hide()

    def _clicks_are_off(self, annotation: Annotation) -> bool:
        """Return whether clicks do nothing; an overlay gives way on the canvas."""
        if annotation.current is None or annotation.clicking:
            return False
        active = annotation.viewer.layers.selection.active
        gives_way = active is not None and is_ours_to_show(active)
        return annotation.click_layers.hidden or not gives_way

    def _show_drawing(self, shape: Shape) -> None:
        """Show what drags do, which stays so until it is stopped."""
        name, chosen = f"{shape}_tool", self._picking.chosen
        text, key = DRAWING[shape], key_of(name)
        about = f"{STOP_HELP}\nKey: {key}" if key else STOP_HELP
        actions = [Action(STOP, about, partial(self._controller.command, name))]
        if chosen is not None and shape == SUPERPIXELS:
            text = PAINTING_ON.format(chosen[1])
            actions.insert(0, Action(LET_GO, LET_GO_HELP, self._picking.choose_none))
        computed = self._superpixels
        if shape == SUPERPIXELS and computed is not None and computed.part is not None:
            text = PAINTING_SOON
        self.banner.show_notice(text, actions, BLUE)

    def _regrouping_text(self) -> str:
        """Return what the next click does, and to which object."""
        tool = self._regrouping
        splits = tool.task == "split"
        if tool.first is None:
            return SPLIT_FIRST if splits else MERGE_FIRST
        return (SPLIT_SECOND if splits else MERGE_SECOND).format(tool.first.label)

    def _on_started(self, annotation: Any) -> None:
        self._added = None
        annotation.events.clicking_changed.connect(self.show_state)
        annotation.click_layers.drawing_changed.connect(self.show_state)
        self._seen.end()
        self._seen.connect(annotation.layers.positive.events.visible, self.show_state)
        self.show_state()

    def _on_stopped(self) -> None:
        self._added = None
        self._seen.end()
        self.show_state()

    def _on_keys(self, *_: Any) -> None:
        self.show_state()

    def _on_inserted(self, event: Any) -> None:
        """Ask about an image that was just added."""
        layer = event.value
        if self._controller.annotation is None or not isinstance(layer, Image):
            return
        if not is_display(layer):
            self._added = layer
            self.show_state()

    def _on_removed(self, event: Any) -> None:
        if self._added is not None and self._added == event.value:
            self._added = None
            self.show_state()

    def _on_annotate(self) -> None:
        image, self._added = self._added, None
        if image is not None:
            self._annotate(image)
        self.show_state()

    def _on_not_now(self) -> None:
        self._added = None
        self._controller.ready()
        self.show_state()
