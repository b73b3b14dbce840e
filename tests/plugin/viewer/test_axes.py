"""Axes: called as the sliders are, and which has the planes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_gpcis.plugin.viewer.axes import axis_name, channel_axis, stack_axis


def test_axes_are_called_as_their_sliders() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((3, 4, 5)))
    slider = viewer.dims.axis_labels[0]  # a number; which one depends on napari
    assert axis_name(viewer, image, 0) == f"axis {slider}"
    viewer.dims.axis_labels = ("depth", "y", "x")
    assert axis_name(viewer, image, 0) == "axis depth"
    image.axis_labels = ("z", "y", "x")
    viewer.dims.axis_labels = (slider, "y", "x")
    assert axis_name(viewer, image, 0) == f"axis {slider} (z)"
    viewer.add_image(np.zeros((2, 3, 4, 5)))  # has one more slider, before that one
    viewer.dims.axis_labels = ("t", "z", "y", "x")
    assert axis_name(viewer, image, 0) == "axis z"


@pytest.mark.parametrize(
    ("shape", "names", "planes", "channels"),
    [
        ((6, 2), None, 0, 1),
        ((2, 6), None, 1, 0),
        ((6, 6), None, 1, 0),
        ((6, 2), ("t", "c", "y", "x"), 0, 1),
        ((2, 6), ("T", "Channel", "y", "x"), 0, 1),
        ((9, 5), ("t", "z", "y", "x"), 1, 1),
        ((2, 6), ("c", "-3", "-2", "-1"), 1, 0),
        ((2, 6), ("time", "-3", "-2", "-1"), 0, 1),
    ],
)
@pytest.mark.parametrize("sliders", [False, True])
def test_planes_are_looked_for_along_no_axis_of_channels(
    shape: Any, names: Any, planes: int, channels: int, sliders: bool
) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((*shape, 20, 30)))
    if names is not None:
        (viewer.dims if sliders else image).axis_labels = names
    assert stack_axis(viewer, image, (0, 1)) == planes
    assert channel_axis(viewer, image, (0, 1)) == channels


def test_a_unit_of_time_tells_the_axis_of_time() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((2, 6, 20, 30)))
    image.units = ("second", "pixel", "pixel", "pixel")
    assert stack_axis(viewer, image, (0, 1)) == 0
    assert stack_axis(viewer, image, (1,)) == 1


def test_channels_alone_may_be_gone_through() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 20, 30)), axis_labels=("c", "y", "x"))
    assert stack_axis(viewer, image, (0,)) == 0
