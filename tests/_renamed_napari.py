"""A napari in which some private names are others, everywhere in napari itself.

As a release of napari may do: whoever uses the old names finds nothing there.
``python tests/_renamed_napari.py NAME ...`` opens a window of it and annotates.
"""

from __future__ import annotations

import ast
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from typing import Any


class _Renaming(ast.NodeTransformer):
    """Gives attributes, methods and fields of some names another one."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names, self.found = names, set[str]()

    def _other(self, name: str) -> str:
        if name not in self.names:
            return name
        self.found.add(name)
        return f"{name}_renamed"

    def visit_Attribute(self, node: ast.Attribute) -> ast.Attribute:
        node.attr = self._other(node.attr)
        self.generic_visit(node)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.name = self._other(node.name)
        self.generic_visit(node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AnnAssign:
        if isinstance(node.target, ast.Name):
            node.target.id = self._other(node.target.id)
        self.generic_visit(node)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if isinstance(node.value, str):
            node.value = self._other(node.value)
        return node


class _Loader(SourceFileLoader):
    renaming: _Renaming

    def get_code(self, fullname: str) -> Any:
        path = self.get_filename(fullname)
        tree = self.renaming.visit(ast.parse(self.get_data(path)))
        return compile(tree, path, "exec")


class _Finder(MetaPathFinder):
    def __init__(self, renaming: _Renaming) -> None:
        self.renaming = renaming

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name.partition(".")[0] != "napari":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            loader = _Loader(spec.loader.name, spec.loader.path)
            loader.renaming = self.renaming
            spec.loader = loader
        return spec


def rename(names: frozenset[str]) -> _Renaming:
    """Rename from now on; return who does it, which knows the names it has found."""
    assert "napari" not in sys.modules
    renaming = _Renaming(names)
    sys.meta_path.insert(0, _Finder(renaming))
    return renaming


def main(names: frozenset[str]) -> None:
    """Click in a window, and compare what it shows with the whole drawn anew."""
    renaming = rename(names)
    import napari
    import numpy as np
    from napari.utils.colormaps import CyclicLabelColormap

    from _fake_segmenter import FakeSegmenter
    from napari_gpcis.plugin.labels import pixels, writer
    from napari_gpcis.plugin.robot import Robot, wait_for
    from napari_gpcis.plugin.viewer import palette
    from napari_gpcis.plugin.widget import GPCISWidget

    # A large picture in small: masks are drawn in parts, colours a few rows at a time.
    writer.MAX_STEP, palette.CACHED_PIXELS = 100, 1000
    drawn: list[bool] = []
    draw_part = palette.draw_part

    def noted(*arguments: Any) -> bool:
        drawn.append(draw_part(*arguments))
        return drawn[-1]

    pixels.draw_part = noted
    viewer = napari.Viewer()
    image = viewer.add_image(np.zeros((3, 400, 500), dtype=np.uint8))
    widget = GPCISWidget(viewer, lambda name: FakeSegmenter())
    viewer.window.add_dock_widget(widget, name="GPCIS")
    viewer.reset_view()
    assert widget.start()
    assert wait_for(lambda: widget.session is not None, 60)
    robot = Robot(viewer)

    def shown() -> Any:
        return viewer.screenshot(canvas_only=True, flash=False)

    labels = widget.controller.annotation.layers.labels
    for count, place in enumerate(((1, 100, 100), (1, 300, 400)), start=1):
        before = shown()
        robot.click(image, place)
        assert wait_for(lambda place=place: labels.data[place] == 1, 60)
        assert wait_for(lambda before=before: (shown() != before).any(), 60), count
    assert np.count_nonzero(labels.data) > 800
    widget.buttons["accept"].click()
    assert wait_for(lambda: not widget.session.clicks, 60)
    robot.click(image, (1, 200, 250))
    assert wait_for(lambda: labels.data[1, 200, 250] == 2, 60)
    for layer in widget.controller.annotation.layers[:2]:
        layer.visible = False
    found = shown()
    labels.refresh()
    np.testing.assert_array_equal(shown(), found)
    assert len(np.unique(found.reshape(-1, 4), axis=0)) >= 3
    labels.colormap = CyclicLabelColormap(np.array(labels.colormap.colors))
    np.testing.assert_array_equal(shown(), found)
    print("renamed:", *sorted(renaming.found))
    print("drawn in part:", any(drawn))
    widget.shut_down()
    viewer.close()


if __name__ == "__main__":
    main(frozenset(sys.argv[1:]))
