"""Shortcuts: the keys of each command, and binding them in a viewer.

The default keys stand in :data:`.COMMANDS`. A preference is a text such as
``"N Enter"``: the first key works whatever layer is active, the others while a layer
with clicks is. A key that is none, or is taken, is refused with a reason; the default
keys stay.
"""

from __future__ import annotations

from functools import cache, lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakSet

from app_model import Application
from app_model.types import KeyCode
from napari.layers import Image, Labels, Points, Shapes, Surface, Tracks, Vectors
from napari.settings import get_settings
from napari.utils.key_bindings import coerce_keybinding

from napari_gpcis.errors import InputError
from napari_gpcis.plugin.settings.commands import COMMANDS, READY_KEY, Command
from napari_gpcis.plugin.settings.preferences import PREFERENCES, follow
from napari_gpcis.plugin.viewer.layers import unwrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from napari.components import ViewerModel
    from napari.layers import Layer
    from qtpy.QtCore import QObject

    from napari_gpcis.plugin.viewer.layers import AnnotationLayers


READY = Command(
    "ready",
    "Back to clicking",
    "Make the clicks' layer active again, ready for the next click.",
    READY_KEY,
    (),
    button=False,
)

_MODIFIERS = {
    KeyCode.UNKNOWN,
    KeyCode.Shift,
    KeyCode.Ctrl,
    KeyCode.Alt,
    KeyCode.Meta,
}
KINDS = (Points, Image, Labels, Shapes, Vectors, Tracks, Surface)


class Shortcut(NamedTuple):
    """Keys of one command.

    Attributes
    ----------
    command
        The command they run.
    anywhere
        Key that works whatever layer is active; empty if there is none.
    on_points
        Keys that work while a layer with clicks is active.
    reason
        Why the preferred keys are not used; empty if they are.
    """

    command: Command
    anywhere: str
    on_points: tuple[str, ...]
    reason: str = ""

    @property
    def text(self) -> str:
        """All keys, in the form of the preference."""
        return " ".join((self.anywhere or "-", *self.on_points))

    @property
    def problem(self) -> str:
        """Reason why the preferred keys are not used, and which are."""
        return f"{self.reason}; {spoken(self.text)} stays." if self.reason else ""

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys."""
        return tuple(filter(None, (self.anywhere, *self.on_points)))


def commands() -> tuple[Command, ...]:
    """Return all commands that have keys."""
    return (*COMMANDS, READY)


def default_keys(command: Command) -> str:
    """Return the default keys of a command, in the form of the preference."""
    return " ".join((command.anywhere or "-", *command.on_points))


def spoken(text: str) -> str:
    """Return keys in the form of the preference as a sentence names them."""
    first, *others = text.split()
    return " ".join(("no key" if first == "-" else first, *others))


def table(
    preferred: Mapping[str, str] | None = None, last: Collection[str] = ()
) -> tuple[Shortcut, ...]:
    """Return the keys of all commands.

    Parameters
    ----------
    preferred
        Keys by the command's name; by default, the preference as it is now.
    last
        Names of commands whose keys were changed last: those of others come first.
    """
    if preferred is None:
        preferred = PREFERENCES.shortcuts
    rows = {one.name: _wanted(one, preferred) for one in commands()}
    while clash := _clash(rows, last):
        loser, winner, key = clash
        why = f"{key} runs {winner.command.title!r} already"
        rows[loser.command.name] = _refused(loser.command, why)
    return tuple(rows.values())


def key_of(name: str) -> str:
    """Return the first key of a command; empty if it has none."""
    return _keys(tuple(PREFERENCES.shortcuts.items()))[name]


@lru_cache(maxsize=1)
def _keys(_preferred: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Return the first keys, which displays ask for at every click.

    They are found again when others are preferred, or when napari's keys change.
    """
    get_settings().shortcuts.events.shortcuts.connect(_forget_keys)
    app = Application.get_app("napari")
    if app is not None:
        app.keybindings.registered.connect(_forget_keys, unique=True)
    return {row.command.name: next(iter(row.keys), "") for row in table()}


def _forget_keys(*_: object) -> None:
    _keys.cache_clear()


def change(name: str, text: str) -> None:
    """Set other keys for a command; an empty text restores the defaults.

    Raises
    ------
    InputError
        If a key is none, or is taken; nothing is changed.
    """
    command = next(one for one in commands() if one.name == name)
    keys = text.strip() or default_keys(command)
    preferred = {**PREFERENCES.shortcuts, name: keys}
    row = next(row for row in table(preferred, [name]) if row.command.name == name)
    if row.reason:
        stays = next(row.text for row in table() if row.command.name == name)
        msg = f"{row.reason}; {spoken(stays)} stays."
        raise InputError(msg)
    PREFERENCES.shortcuts = preferred


@cache
def spelt(key: str) -> str:
    """Return a key as napari spells it in menus, such as ``"Ctrl+Z"``.

    Raises
    ------
    InputError
        If it is no key.
    """
    if not key:
        return ""
    parts = coerce_keybinding(key).parts
    if len(parts) != 1 or parts[0].key in _MODIFIERS:
        msg = f"{key!r} is not a key; examples: N, Shift-N, Control-Z, F5"
        raise InputError(msg)
    return str(coerce_keybinding(key))


def _wanted(command: Command, preferred: Mapping[str, str]) -> Shortcut:
    """Return the preferred keys of a command, or the defaults and the reason."""
    text = preferred.get(command.name, "").strip()
    if not text or text == default_keys(command):
        return Shortcut(command, command.anywhere, command.on_points)
    first, *others = ("" if word == "-" else word for word in text.split())
    try:
        _check_free(first, anywhere=True)
        for key in others:
            _check_free(key, anywhere=False)
    except InputError as error:
        return _refused(command, str(error))
    return Shortcut(command, first, tuple(filter(None, others)))


def _refused(command: Command, why: str) -> Shortcut:
    """Return the default keys, and the reason why others are not used."""
    reason = f"{command.title}: {why}"
    return Shortcut(command, command.anywhere, command.on_points, reason)


def _check_free(key: str, *, anywhere: bool) -> None:
    """Raise `InputError` if a key is none, or napari uses it where it should work."""
    if not key:
        return
    spelling = spelt(key)
    others = _layer_keys()
    points = others.pop("points")
    if spelling in points:
        msg = f"{key} is napari's key on points layers"
        raise InputError(msg)
    for kind, taken in others.items():
        if spelling in taken:
            if anywhere:
                msg = f"{key} is napari's key on {kind} layers"
                raise InputError(msg)
            return
    if spelling in _general_keys():
        msg = f"{key} is a key of napari itself"
        raise InputError(msg)


def _layer_keys() -> dict[str, set[str]]:
    """Return the keys of each kind of layer, which the user may have changed."""
    return {
        kind.__name__.lower(): {str(key) for key in kind.class_keymap} for kind in KINDS
    }


def _general_keys() -> set[str]:
    """Return the keys of the viewer and of the menus."""
    shortcuts = get_settings().shortcuts.shortcuts.values()
    found = {str(key) for keys in shortcuts for key in keys}
    app = Application.get_app("napari")
    if app is not None:
        found |= {str(bound.keybinding) for bound in app.keybindings}
    return found


def _clash(
    rows: Mapping[str, Shortcut], last: Collection[str]
) -> tuple[Shortcut, Shortcut, str] | None:
    """Return a row that must give way, the one it collides with, and the key."""
    owners: dict[str, Shortcut] = {}

    def order(row: Shortcut) -> tuple[bool, bool]:
        return _is_changed(row), row.command.name in last

    for row in sorted(rows.values(), key=order):
        for key in row.keys:
            other = owners.setdefault(spelt(key), row)
            if other is not row and _is_changed(row):
                return row, other, key
    return None


def _is_changed(row: Shortcut) -> bool:
    return row.keys != tuple(
        filter(None, (row.command.anywhere, *row.command.on_points))
    )


_KEYS: WeakSet[Keys] = WeakSet()
_TURNS = count(1)


class Keys:
    """Key bindings of all commands of one widget in a viewer.

    Widgets in one viewer share its keys: they are for the widget on whose layers the
    user works, that is, one of them is active, or else for the one that was used last.

    Parameters
    ----------
    viewer
        The viewer; keys that are taken there already are left alone.
    run, ready, run_in_labels
        Carry out a command, make the points layers ready for clicks, undo or redo
        in the labels layer.
    parent
        Its end is the end of the keys.

    Attributes
    ----------
    refused
        Messages about keys that were bound already, by the name of their command.
    hold
        Begins and ends a command that lasts as long as its key is held.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        run: Callable[[str], None],
        ready: Callable[[], None],
        run_in_labels: Callable[[str], None],
        parent: QObject,
    ) -> None:
        self._viewer = viewer
        self._own = unwrapped(viewer)  # the same for all widgets in it
        self._turn = 0
        self._run = run
        self._ready = ready
        self._run_in_labels = run_in_labels
        self.hold: Callable[[str, bool], None] = lambda *_: None
        self._layers: AnnotationLayers | None = None
        self._image: Image | None = None
        self._taken: list[tuple[Any, str]] = []
        self.refused: dict[str, str] = {}
        self._bind_all()
        _KEYS.add(self)
        self._end = follow(PREFERENCES.events.shortcuts, self._on_changed, parent)

    def use(self) -> None:
        """Take note that the widget is used now."""
        self._turn = next(_TURNS)

    def bind(self, layers: AnnotationLayers, image: Image) -> None:
        """Bind the keys of the points layers, and undo on the labels layer.

        Parameters
        ----------
        layers, image
            Layers on which the keys of the viewer are for this widget.
        """
        self._layers, self._image = layers, image
        for row in table():
            for key in row.on_points:
                for layer in (layers.positive, layers.negative):
                    self._take(layer, key, self._runner(row.command))
        self._take(layers.labels, "Control-Z", self._labels_runner("undo"))
        self._take(layers.labels, "Control-Shift-Z", self._labels_runner("redo"))

    def unbind(self) -> None:
        """Give back the keys of the layers."""
        self._layers = self._image = None
        self._give_back(self._on_viewer)

    def close(self) -> None:
        """Give back all keys; other widgets in the viewer take theirs."""
        self._end()
        self._give_back(0)
        _KEYS.discard(self)
        for other in self._beside:
            other._on_changed()

    @property
    def _beside(self) -> list[Keys]:
        """The keys of all widgets in the viewer."""
        return [one for one in _KEYS if one._own is self._own]

    @property
    def _addressed(self) -> Keys:
        """The keys of the widget that a key of the viewer is for."""
        beside = self._beside
        active = self._viewer.layers.selection.active
        working = [one for one in beside if active is not None and one._has(active)]
        started = [one for one in beside if one._layers is not None]
        found = max(working or started or beside, key=lambda one: one._turn)
        found.use()
        return found

    def _has(self, layer: Layer) -> bool:
        """Return whether a layer is one of those that are annotated."""
        layers = self._layers
        return layers is not None and layer in (*layers, self._image)

    def _bind_all(self) -> None:
        """Bind the keys of the viewer."""
        self.refused.clear()
        shared = {
            spelt(key)
            for other in self._beside
            for owner, key in other._taken
            if owner is other._viewer
        }
        for row in table():
            if row.anywhere and spelt(row.anywhere) not in shared:
                run = self._shared_runner(row.command)
                if not self._take(self._viewer, row.anywhere, run):
                    message = f"{row.command.title}: {row.anywhere} is bound already."
                    self.refused[row.command.name] = message
        self._on_viewer = len(self._taken)

    def _on_changed(self, *_: Any) -> None:
        """Bind other keys, at once."""
        layers, image = self._layers, self._image
        self._give_back(0)
        self._bind_all()
        if layers is not None and image is not None:
            self.bind(layers, image)

    def _shared_runner(self, command: Command) -> Callable[..., Any]:
        """Return what a key of the viewer runs: the command of the widget in use."""
        if command.held:
            return self._holder(command.name)
        if command.name == READY.name:
            return lambda *_: self._addressed._ready()
        name = command.name  # an undo needs few calls
        return lambda *_: (self if len(_KEYS) == 1 else self._addressed)._run(name)

    def _runner(self, command: Command) -> Callable[..., Any]:
        """Return what runs a command of this widget."""
        name = command.name
        if command.held:
            return self._holder(name)
        if name == READY.name:
            return lambda *_: self._ready()
        return lambda *_: self._run(name)

    def _holder(self, name: str) -> Callable[..., Iterator[None]]:
        """Return what napari runs as a key is pressed, and goes on with at its end."""

        def held(*_: Any) -> Iterator[None]:
            addressed = self._addressed
            addressed.hold(name, True)
            yield
            addressed.hold(name, False)

        return held

    def _labels_runner(self, direction: str) -> Callable[..., None]:
        return lambda *_: self._run_in_labels(direction)

    def _take(self, owner: Any, key: str, function: Callable[..., None]) -> bool:
        try:
            owner.bind_key(key, function)
        except ValueError:  # bound by the user or another plugin: theirs stays
            return False
        self._taken.append((owner, key))
        return True

    def _give_back(self, keep: int) -> None:
        while len(self._taken) > keep:
            owner, key = self._taken.pop()
            owner.bind_key(key, None)
