"""Functions behind the manifest's commands, for napari's palette and menus.

For each command of the table there is a function of its name, which takes the viewer,
opens the widget if need be, and runs the command there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from napari_gpcis.plugin.settings.shortcuts import READY, commands

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_gpcis.plugin.widget import GPCISWidget

WIDGET = "GPCIS"
"""Name of the widget in the manifest."""


def open_widget(viewer: napari.viewer.Viewer) -> None:
    """Open the widget, or bring it to the front, and start on the active image."""
    widget = widget_of(viewer)
    if widget.controller.annotation is None:
        widget.start()


def widget_of(viewer: napari.viewer.Viewer) -> GPCISWidget:
    """Return the widget of a viewer, opened if it was not."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-gpcis", WIDGET)
    return cast("GPCISWidget", widget)


def __getattr__(name: str) -> Callable[..., None]:
    """Return the function of a command."""
    titles = {command.name: command.title for command in commands()}
    if name not in titles:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return _function(name, titles[name])


def _function(name: str, title: str) -> Callable[..., None]:
    def run(viewer: Any) -> None:
        widget = widget_of(viewer)
        if name == READY.name:
            widget.controller.ready()
        else:
            widget.controller.command(name)

    run.__name__ = run.__qualname__ = name
    run.__doc__ = f"{title}."
    run.__annotations__ = {"viewer": "napari.viewer.Viewer", "return": None}
    return run
