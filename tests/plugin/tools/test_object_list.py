"""The planes that objects are looked up on."""

from __future__ import annotations

from typing import Any

from napari_gpcis.plugin.dock.panels.objects import ObjectsPanel
from napari_gpcis.plugin.tools.object_list import _Measured, planes_of


def test_planes_of_a_stack() -> None:
    planes = planes_of((2, 30, 3, 40), (1, 3))
    assert [plane.steps for plane in planes] == [
        (time, 0, depth, 0) for time in range(2) for depth in range(3)
    ]


def test_a_change_before_an_answer_is_looked_up_after_it(open_desk: Any) -> None:
    desk = open_desk()
    panel = next(p for p in desk.widget.panels if isinstance(p, ObjectsPanel))
    index, plane = panel.index, desk.current.plane
    desk.until(lambda: not index.busy)
    desk.labels.data[5:9, 5:9] = 7
    index.look_up([plane])
    index._on_found(plane, _Measured({}, {}), 0.0)  # of what was there before
    desk.until(lambda: [found.label for found in index.objects()] == [7])
