"""Private names of napari: in one file, and not needed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import napari_gpcis
from napari_gpcis.plugin.viewer import palette

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(napari_gpcis.__file__).parent
NAMED_TUPLES = {"_asdict", "_fields", "_make", "_replace"}
OWN = {"self", "cls", "super()"}
LOOKUPS = {"getattr", "hasattr", "setattr"}
SCRIPT = Path(__file__).parents[2] / "_renamed_napari.py"


@cache
def private_names(path: Path) -> frozenset[str]:
    """Names with an underscore that a file uses of objects that are not its own."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    used, own, theirs = set(), set(NAMED_TUPLES), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if isinstance(node.ctx, ast.Store):
                own.add(node.attr)
            elif ast.unparse(node.value) not in OWN:
                used.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and not _is_ours(node.module or ""):
            names = {alias.name for alias in node.names}
            used.update((node.module or "").split("."), names)
            theirs |= names if (node.module or "").startswith("napari") else set()
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in LOOKUPS:
            used.update(a.value for a in node.args if isinstance(a, ast.Constant))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            inherited = {ast.unparse(base) for base in node.bases} & theirs
            (used if inherited else own).update(_members(node))
        elif isinstance(node, ast.FunctionDef) and node in tree.body:
            own.add(node.name)
    return frozenset(
        name
        for name in used - own
        if isinstance(name, str) and name.startswith("_") and not name.endswith("__")
    )


def _members(cls: ast.ClassDef) -> Iterator[str]:
    """Names of a class's methods and of what it assigns."""
    for node in cls.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (one.id for one in targets if isinstance(one, ast.Name))


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in {"napari_gpcis", "__future__"}


def test_private_names_are_found(tmp_path: Path) -> None:
    path = tmp_path / "some.py"
    path.write_text(
        "from napari._qt.qt_viewer import QtViewer\n"
        "from napari.layers import Base\n"
        "class Ours(Base):\n"
        "    def _drawn(self):\n"
        "        return super()._drawn()\n"
        "class Own:\n"
        "    def _own(self):\n"
        "        self._kept = getattr(viewer.window, '_qt_window')\n"
        "        return self.settings._replace(a=self._own()), layer._slice\n"
    )
    assert private_names(path) == {"_qt", "_drawn", "_qt_window", "_slice"}


def test_no_other_file_uses_private_names() -> None:
    found = {
        str(path.relative_to(SOURCE)): sorted(private_names(path))
        for path in SOURCE.rglob("*.py")
        if private_names(path)
    }
    assert list(found) == ["plugin/viewer/palette.py"], found


@pytest.mark.slow
@pytest.mark.parametrize("renamed", [False, True])
def test_a_napari_without_the_private_names_shows_the_same(renamed: bool) -> None:
    names = private_names(Path(palette.__file__)) if renamed else frozenset()
    done = subprocess.run(
        [sys.executable, SCRIPT, *names],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    assert f"drawn in part: {not renamed}" in done.stdout
    assert " ".join(["renamed:", *sorted(names)]) in done.stdout
    assert len(names) == 7 * renamed
