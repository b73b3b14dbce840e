"""The planes that objects are looked up on."""

from __future__ import annotations

from napari_gpcis.plugin.tools.object_list import planes_of


def test_planes_of_a_stack() -> None:
    planes = planes_of((2, 30, 3, 40), (1, 3))
    assert [plane.steps for plane in planes] == [
        (time, 0, depth, 0) for time in range(2) for depth in range(3)
    ]
