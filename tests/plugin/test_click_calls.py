"""A click makes no more calls than it used to: the ceiling falls as the code is cut.

Calls are counted, not timed, see `benchmarks/click_calls.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from click_calls import SMALL, Deeds, table, table_of_files

MOST = {"second click": (350, 42, 200), "undo": (295, 44, 175)}
"""Calls, files, and moves between files that each deed may need."""


def test_a_click_and_its_undo_need_few_calls(make_napari_viewer_proxy: Any) -> None:
    proxy = make_napari_viewer_proxy(show=True)
    viewer = proxy.__wrapped__
    viewer.window.resize(1280, 860)
    edits = Deeds(viewer, proxy, SMALL)
    try:
        found = edits.measure()
    finally:
        edits.widget.shut_down()
    print(f"\n{table(found)}")
    for edit, (calls, files, moves) in MOST.items():
        assert 0 < found[edit].total <= calls, table_of_files(found)
        assert 0 < found[edit].files <= files
        assert 0 < found[edit].moves <= moves
