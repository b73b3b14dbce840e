"""The examples run as they are, without a window."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
RUN = """
import runpy, sys
runpy.run_path(sys.argv[1])
shown = {"napari", "qtpy", "PySide6", "PyQt6"} & set(sys.modules)
assert not shown, shown
"""


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_example(example: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(example)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "the same masks: True" in done.stdout
    assert "3 objects" in done.stdout
    assert len(list((tmp_path / "annotated").iterdir())) == 3
