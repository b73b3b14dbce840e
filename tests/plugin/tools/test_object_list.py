"""Areas and boxes of all objects of a plane, read in strips."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import regionprops

from napari_gpcis.plugin.tools import object_list as object_scan
from napari_gpcis.plugin.tools.object_list import Entry, planes_of, scan


@pytest.mark.parametrize("strip", [50, 333, 1 << 20])
@pytest.mark.parametrize("offset", [0, 1_000_000])
def test_agrees_with_region_properties(monkeypatch, strip, offset) -> None:
    monkeypatch.setattr(object_scan, "STRIP", strip)
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(0, 9, (6, 7)), np.ones((5, 6), int)).astype(np.int32)
    labels[rng.random(labels.shape) < 0.2] = 0
    wanted = {
        region.label + offset: Entry(int(region.area), region.bbox)
        for region in regionprops(labels)
    }
    found = scan(np.where(labels > 0, labels + offset, 0))
    assert found == wanted
    assert list(found) == sorted(found)


def test_a_full_plane_of_large_ids() -> None:
    found = scan(np.full((3, 4), 70_000, dtype=np.uint32))
    assert found == {70_000: Entry(12, (0, 0, 3, 4))}


def test_nothing_and_negative_values() -> None:
    assert scan(np.zeros((5, 5), dtype=np.uint8)) == {}
    assert scan(np.full((5, 5), -3)) == {}


def test_it_can_be_given_up() -> None:
    assert scan(np.ones((5, 5), dtype=int), lambda: True) is None


def test_planes_of_a_stack() -> None:
    planes = planes_of((2, 30, 3, 40), (1, 3))
    assert [plane.steps for plane in planes] == [
        (time, 0, depth, 0) for time in range(2) for depth in range(3)
    ]
