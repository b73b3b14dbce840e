"""What a person can do by key: bound where napari leaves the keys free.

Keys on the viewer work whatever layer is active; a layer's own keys go first, so the
familiar ones (Enter, Control-Z) are bound on our layers themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel

    from napari_gpcis.plugin.layers import ClickLayers


class Command(NamedTuple):
    """One command, the words for it and its keys.

    Attributes
    ----------
    name
        Name of the command, see :meth:`Target.command`.
    title, help
        What the button says, and its tooltip.
    anywhere
        Key that works whatever layer is active.
    on_points
        Keys that work while a points layer of ours is active.
    button
        Whether it has a button among the main ones; a section may have others.
    """

    name: str
    title: str
    help: str
    anywhere: str
    on_points: tuple[str, ...]
    button: bool = True


COMMANDS = (
    Command(
        "accept",
        "Accept, next object",
        "The mask is right: keep it and begin the next object.",
        "N",
        ("Enter",),
    ),
    Command(
        "undo",
        "Undo",
        "Take back the last click; without clicks, reopen the last object.",
        "U",
        ("Control-Z",),
    ),
    Command(
        "redo",
        "Redo",
        "Repeat what was taken back.",
        "Shift-U",
        ("Control-Shift-Z",),
    ),
    Command(
        "clear",
        "Clear clicks",
        "Remove all clicks of this object, and with them its mask.",
        "K",
        ("C",),
    ),
)

READY_KEY = "G"
"""Makes the points layers ready for clicks, from wherever the person is."""


class Target(Protocol):
    """What carries the commands out."""

    def command(self, name: str) -> None:
        """Run a command by name."""

    def ready(self) -> None:
        """Make the points layers ready for clicks."""

    def travel_in_labels(self, direction: str) -> None:
        """Undo or redo as a person means it while the labels layer is active."""


class Keys:
    """Binds the keys of all commands, and gives them back.

    Parameters
    ----------
    viewer
        The viewer; keys that are taken there already are left alone.
    target
        What carries the commands out.
    """

    def __init__(self, viewer: ViewerModel, target: Target) -> None:
        self._viewer = viewer
        self._target = target
        self._taken: list[tuple[Any, str]] = []
        for command in COMMANDS:
            self._take(viewer, command.anywhere, self._runner(command.name))
        self._take(viewer, READY_KEY, lambda *_: target.ready())
        self._on_viewer = len(self._taken)

    def bind(self, layers: ClickLayers) -> None:
        """Bind the keys of the points layers, and undo on the labels layer."""
        for command in COMMANDS:
            for key in command.on_points:
                for layer in (layers.positive, layers.negative):
                    self._take(layer, key, self._runner(command.name))
        self._take(layers.labels, "Control-Z", self._labels_runner("undo"))
        self._take(layers.labels, "Control-Shift-Z", self._labels_runner("redo"))

    def unbind(self) -> None:
        """Give back the keys of the layers."""
        self._give_back(self._on_viewer)

    def close(self) -> None:
        """Give back all keys."""
        self._give_back(0)

    def _runner(self, name: str) -> Callable[..., None]:
        return lambda *_: self._target.command(name)

    def _labels_runner(self, direction: str) -> Callable[..., None]:
        return lambda *_: self._target.travel_in_labels(direction)

    def _take(self, owner: Any, key: str, function: Callable[..., None]) -> None:
        try:
            owner.bind_key(key, function)
        except ValueError:  # bound by the person or another plugin: theirs stays
            return
        self._taken.append((owner, key))

    def _give_back(self, keep: int) -> None:
        while len(self._taken) > keep:
            owner, key = self._taken.pop()
            owner.bind_key(key, None)
