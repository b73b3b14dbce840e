"""The canvas of a window, and the Qt that it takes."""

from __future__ import annotations

import importlib

import pytest
import qtpy

from napari_gpcis.plugin.viewer import gl_context


def test_a_window_has_one_canvas(make_napari_viewer) -> None:
    viewer = make_napari_viewer()
    window = viewer.window.main_menu.window()
    assert gl_context.canvases_around(window) == [
        viewer.window._qt_viewer.canvas.native
    ]


def test_with_qt_5_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(qtpy, "QT5", True)
        patch.setattr(qtpy, "API_NAME", "PyQt5")
        spec = importlib.util.find_spec(gl_context.__name__)
        with pytest.raises(
            ImportError, match=r"runs with PyQt5 here\. Install PySide6"
        ):
            spec.loader.exec_module(importlib.util.module_from_spec(spec))
