"""Binding the keys of all commands, where napari and the person leave them free.

Keys on the viewer work whatever layer is active; a layer's own keys go first, so the
familiar ones (Enter, Control-Z) are bound on our layers themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_gpcis.plugin.links import follow
from napari_gpcis.plugin.settings.preferences import PREFERENCES
from napari_gpcis.plugin.settings.shortcuts import READY, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel

    from napari_gpcis.plugin.annotation.controller import Binding
    from napari_gpcis.plugin.viewer.layers import ClickLayers


class Keys:
    """Binds the keys of all commands, and gives them back.

    Parameters
    ----------
    viewer
        The viewer; keys that are taken there already are left alone.
    target
        What carries the commands out.

    Attributes
    ----------
    refused
        Keys that somebody else has bound, in words.
    """

    def __init__(self, viewer: ViewerModel, target: Binding) -> None:
        self._viewer = viewer
        self._target = target
        self._layers: ClickLayers | None = None
        self._taken: list[tuple[Any, str]] = []
        self.refused: list[str] = []
        self._bind_all()
        self._end = follow(PREFERENCES.events.shortcuts, self._on_changed, target)

    def bind(self, layers: ClickLayers) -> None:
        """Bind the keys of the points layers, and undo on the labels layer."""
        self._layers = layers
        for row in table():
            for key in row.on_points:
                for layer in (layers.positive, layers.negative):
                    self._take(layer, key, self._runner(row.command.name))
        self._take(layers.labels, "Control-Z", self._labels_runner("undo"))
        self._take(layers.labels, "Control-Shift-Z", self._labels_runner("redo"))

    def unbind(self) -> None:
        """Give back the keys of the layers."""
        self._layers = None
        self._give_back(self._on_viewer)

    def close(self) -> None:
        """Give back all keys."""
        self._end()
        self._give_back(0)

    def _bind_all(self) -> None:
        """Bind the keys of the viewer."""
        self.refused.clear()
        for row in table():
            if row.anywhere:
                name = row.command.name
                if not self._take(self._viewer, row.anywhere, self._runner(name)):
                    words = f"{row.command.title}: {row.anywhere} is bound already."
                    self.refused.append(words)
        self._on_viewer = len(self._taken)

    def _on_changed(self, *_: Any) -> None:
        """Bind other keys, at once."""
        layers = self._layers
        self._give_back(0)
        self._bind_all()
        if layers is not None:
            self.bind(layers)

    def _runner(self, name: str) -> Callable[..., None]:
        if name == READY.name:
            return lambda *_: self._target.ready()
        return lambda *_: self._target.command(name)

    def _labels_runner(self, direction: str) -> Callable[..., None]:
        return lambda *_: self._target.travel_in_labels(direction)

    def _take(self, owner: Any, key: str, function: Callable[..., None]) -> bool:
        try:
            owner.bind_key(key, function)
        except ValueError:  # bound by the person or another plugin: theirs stays
            return False
        self._taken.append((owner, key))
        return True

    def _give_back(self, keep: int) -> None:
        while len(self._taken) > keep:
            owner, key = self._taken.pop()
            owner.bind_key(key, None)
