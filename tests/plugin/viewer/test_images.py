"""Any image: stacks, turned axes, colours, lazy and multiscale data, transforms."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from _fake_segmenter import disks
from napari_gpcis.clicks import Click

MASK = disks((80, 100), (Click(30, 40),))


def test_each_plane_of_a_stack_has_its_own_clicks(bench) -> None:
    bench.start(np.zeros((3, 80, 100), np.uint8))
    bench.viewer.dims.set_current_step(0, 1)
    bench.positive.add([1, 30, 40])
    bench.settled(1)
    bench.viewer.dims.set_current_step(0, 2)
    bench.settled(0)
    bench.positive.add([2, 60, 80])
    bench.settled(1)
    other = disks((80, 100), (Click(60, 80),))
    np.testing.assert_array_equal(bench.labels.data[1] == 1, MASK)
    np.testing.assert_array_equal(bench.labels.data[2] == 2, other)
    assert not bench.labels.data[0].any()
    bench.viewer.dims.set_current_step(0, 1)  # the first object goes on
    bench.settled(1)
    bench.positive.add([1, 30, 60])
    bench.settled(2)
    both = disks((80, 100), (Click(30, 40), Click(30, 60)))
    np.testing.assert_array_equal(bench.labels.data[1] == 1, both)
    np.testing.assert_array_equal(bench.labels.data[2] == 2, other)


def test_a_plane_left_while_busy_still_gets_its_mask(bench) -> None:
    bench.start(np.zeros((3, 80, 100), np.uint8))
    bench.viewer.dims.set_current_step(0, 1)
    bench.settled(0)
    bench.segmenter.gate.clear()
    bench.positive.add([1, 30, 40])
    bench.until(lambda: bench.segmenter.runs)
    bench.viewer.dims.set_current_step(0, 0)
    bench.until(lambda: bench.current.plane.steps == (0, 0, 0))
    bench.segmenter.gate.set()
    bench.until(lambda: bench.labels.data[1].any())
    np.testing.assert_array_equal(bench.labels.data[1] == 1, MASK)


def test_planes_visited_long_ago_come_back(bench) -> None:
    bench.start(np.zeros((9, 80, 100), np.uint8))
    bench.viewer.dims.set_current_step(0, 0)
    bench.positive.add([0, 30, 40])
    bench.settled(1)
    for step in range(1, 9):
        bench.viewer.dims.set_current_step(0, step)
        bench.until(lambda step=step: bench.current.plane.steps[0] == step)
        bench.settled(0)
    bench.viewer.dims.set_current_step(0, 0)
    bench.until(lambda: bench.current.plane.steps[0] == 0)
    bench.settled(1)
    bench.negative.add([0, 30, 46])
    bench.settled(2)
    wanted = disks((80, 100), (Click(30, 40), Click(30, 46, False)))
    np.testing.assert_array_equal(bench.labels.data[0] == 1, wanted)


def test_any_two_axes_may_be_shown(bench) -> None:
    bench.start(np.zeros((80, 3, 100), np.uint8))
    bench.viewer.dims.order = (1, 0, 2)
    bench.viewer.dims.set_current_step(1, 2)
    bench.until(lambda: bench.current.plane.axes == (0, 2))
    bench.positive.add([30, 2, 40])
    bench.settled(1)
    np.testing.assert_array_equal(bench.labels.data[:, 2] == 1, MASK)
    assert not bench.labels.data[:, :2].any()


def test_turning_the_axes_finishes_what_runs(bench) -> None:
    bench.start(np.zeros((80, 80, 100), np.uint8))
    bench.viewer.dims.set_current_step(0, 5)
    bench.positive.add([5, 30, 40])
    bench.settled(1)
    bench.viewer.dims.order = (1, 0, 2)
    bench.until(lambda: bench.current.plane.axes == (0, 2))
    assert len(bench.positive.data) == 0
    np.testing.assert_array_equal(bench.labels.data[5] == 1, MASK)


def test_the_3d_display_says_where_clicking_works(bench) -> None:
    bench.start(np.zeros((3, 80, 100), np.uint8))
    bench.viewer.dims.ndisplay = 3
    bench.until(lambda: "2-D display" in bench.controller.status)
    bench.positive.add([1, 30, 40])
    bench.controller.command("accept")
    bench.viewer.dims.ndisplay = 2
    bench.viewer.dims.set_current_step(0, 1)
    bench.settled(1)
    np.testing.assert_array_equal(bench.labels.data[1] == 1, MASK)


@pytest.mark.parametrize(
    "options",
    [
        {"scale": (0.5, 2.0), "translate": (100, -7)},
        {"scale": (-1.0, 3.0)},
        {"rotate": 30, "shear": [0.3]},
        {"affine": [[0.8, -0.6, 4], [0.6, 0.8, 9], [0, 0, 1]], "units": ("um", "um")},
    ],
    ids=["scale", "negative", "rotate", "affine"],
)
def test_transforms_are_honoured(bench, options) -> None:
    image = bench.start(**options)
    world = image.data_to_world([30, 40])
    bench.positive.add(bench.positive.world_to_data(world))
    bench.settled(1)
    assert bench.controller.session.clicks[0].pixel == (30, 40)
    np.testing.assert_array_equal(bench.labels.data == 1, MASK)
    bench.controller.command("undo")
    bench.controller.command("redo")
    bench.settled(1)
    np.testing.assert_allclose(bench.positive.data_to_world([30, 40]), world)
    assert bench.controller.session.clicks[0].pixel == (30, 40)


def test_the_image_may_be_moved_afterwards(bench) -> None:
    image = bench.start()
    image.scale = bench.labels.scale = (2.0, 2.0)
    bench.positive.add([60, 80])  # the points' layer still has scale 1
    bench.settled(1)
    np.testing.assert_array_equal(bench.labels.data == 1, MASK)


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_images(bench, channels) -> None:
    data = np.random.default_rng(0).integers(0, 255, (80, 100, channels), np.uint8)
    image = bench.start(data, rgb=True)
    assert image.rgb
    bench.positive.add([30, 40])
    bench.settled(1)
    np.testing.assert_array_equal(bench.labels.data == 1, MASK)
    assert bench.labels.data.shape == (80, 100)


def test_a_multiscale_image_is_read_at_full_resolution(bench) -> None:
    levels = [np.zeros((80, 100), np.uint8), np.zeros((40, 50), np.uint8)]
    bench.start(levels, multiscale=True)
    bench.positive.add([30, 40])
    bench.settled(1)
    np.testing.assert_array_equal(bench.labels.data == 1, MASK)


def test_only_the_shown_plane_of_a_lazy_image_is_read(bench) -> None:
    read: list[int] = []

    def load(block_info=None):
        read.append(block_info[None]["chunk-location"][0])
        return np.zeros((1, 80, 100), np.uint8)

    chunks, meta = ((1,) * 6, (80,), (100,)), np.empty((0, 0, 0), np.uint8)
    stack = da.map_blocks(load, chunks=chunks, dtype=np.uint8, meta=meta)
    image = bench.viewer.add_image(stack, contrast_limits=(0, 1))
    step, by_napari = bench.viewer.dims.current_step[0], set(read)
    assert bench.controller.start(image)
    bench.positive.add([step, 30, 40])
    bench.settled(1)
    np.testing.assert_array_equal(bench.labels.data[step] == 1, MASK)
    assert set(read) == by_napari | {step}
    assert len(set(read)) < 6


def test_an_image_that_cannot_be_used_is_one_notification(bench, errors) -> None:
    image = bench.viewer.add_image(np.full((80, 100), np.nan), contrast_limits=(0, 1))
    assert bench.controller.start(image)
    bench.until(lambda: errors)
    assert "NaN" in errors[0]
    assert len(errors) == 1
    assert not bench.labels.data.any()


def test_the_first_click_is_zoomed_to_what_is_visible(bench) -> None:
    bench.start()
    bench.labels.corner_pixels = np.array([[10, 20], [49, 79]])
    bench.positive.add([30, 40])
    bench.settled(1)
    bench.labels.corner_pixels = np.array([[0, 0], [79, 99]])
    bench.negative.add([30, 46])
    bench.settled(2)
    assert bench.segmenter.runs[-1].view == (10, 20, 50, 80)
    bench.controller.command("accept")
    bench.positive.add([60, 80])
    bench.settled(1)
    assert bench.segmenter.runs[-1].view == (0, 0, 80, 100)
