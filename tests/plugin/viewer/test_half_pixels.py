"""Which pixel and which plane a place is in, up to the very border of a pixel.

Pixels have their middle at whole numbers, in napari as here: pixel 3 goes from 2.5,
which is part of it, to 3.5, which is not.
"""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt

from napari_gpcis.errors import InputError
from napari_gpcis.plugin.annotation import controller
from napari_gpcis.plugin.viewer.layers import LAID, claim_layers, fit_labels, lies_on
from napari_gpcis.plugin.viewer.planes import displayed_plane

NUMBERED = np.arange(6 * 8 * 10, dtype=np.int32).reshape(6, 8, 10)
PLACED = {"scale": (2, 0.5, 0.25), "translate": (10, -4, 7)}
NEAR = 0.49
"""Nearly half a pixel."""


@pytest.mark.parametrize("row", [2 - NEAR, 2, 2 + NEAR, 1.5, 2.5])
@pytest.mark.parametrize("col", [6 - NEAR, 6, 6 + NEAR, 5.5, 6.5])
def test_a_click_anywhere_in_a_pixel_is_in_it(bench, row: float, col: float) -> None:
    image = bench.start(NUMBERED, **PLACED)
    bench.viewer.dims.set_point(0, 16)
    world = np.array([16, -4 + 0.5 * row, 7 + 0.25 * col])
    bench.positive.add(bench.positive.world_to_data(world))
    bench.settled(1)
    (click,) = bench.controller.session.clicks
    wanted = 2 + (row == 2.5), 6 + (col == 6.5)
    assert click.pixel == wanted
    assert bench.current.plane.steps == (3, 0, 0)
    assert bench.labels.data[3, *wanted] == 1
    if row not in (1.5, 2.5) and col not in (5.5, 6.5):
        assert image.get_value(world, world=True) == NUMBERED[3, *wanted]


@pytest.mark.parametrize("z", [0.5, 1, 1.5, 1.5 + NEAR, 2.5, 3.5, 3.5 + NEAR, 4.5])
def test_the_plane_is_the_one_that_napari_shows_between_two(bench, z: float) -> None:
    # A second layer with planes half as far apart: the slider stops in between.
    image = bench.start(NUMBERED, **PLACED)
    bench.viewer.add_image(np.zeros((60, 8, 10)), scale=(0.04, 0.5, 0.25))
    world = np.array([10 + 2 * z, -4 + 0.5 * 3, 7 + 0.25 * 5])
    bench.viewer.dims.set_point(0, world[0])
    point = bench.positive.world_to_data((bench.viewer.dims.point[0], *world[1:]))
    assert point[0] == pytest.approx(z)
    shown = image.get_value((bench.viewer.dims.point[0], *world[1:]), world=True)
    plane = displayed_plane(bench.viewer, image)
    assert NUMBERED[plane.steps[0], 3, 5] == shown
    bench.positive.add(point)
    bench.settled(1)
    assert bench.current.plane == plane
    assert bench.labels.data[plane.steps[0], 3, 5] == 1
    assert np.count_nonzero(bench.labels.data.any(axis=(1, 2))) == 1


def test_clicks_of_the_mouse_near_the_border_of_a_pixel(open_desk) -> None:
    stack = np.zeros((4, 40, 50), np.uint8)
    desk = open_desk(stack, scale=(2, 0.5, 0.25), translate=(10, -4, 7))
    desk.viewer.dims.set_point(0, 14)
    for count, (row, col) in enumerate([(18.6, 24.6), (19.4, 25.4), (18.6, 25.4)], 1):
        desk.robot.look_at(desk.image, (2, 16, 22), (2, 22, 28), 0.9)
        desk.robot.click(desk.image, (2, row, col))
        desk.settled(count)
        assert desk.controller.session.clicks[-1].pixel == (19, 25)
    assert np.flatnonzero(desk.labels.data.any(axis=(1, 2))).tolist() == [2]


@pytest.mark.parametrize(
    "placed",
    [
        {},
        {"translate": (10, -4, 7)},
        {"rotate": 30, "scale": (2, 0.5, 0.25)},
        {"scale": (2, 0.5, 0.25), "translate": (10, -4, 7)},
    ],
)
def test_laid_on_masks_have_every_pixel_where_the_image_has_it(placed: dict) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(NUMBERED, **placed)
    labels = viewer.add_labels(NUMBERED.copy())
    fit_labels(labels, image)
    corners = np.indices((2, 2, 2)).reshape(3, -1).T * np.array(NUMBERED.shape) - 0.5
    for corner in (*corners, np.array([3, 2, 6])):
        np.testing.assert_allclose(
            labels.data_to_world(corner), image.data_to_world(corner)
        )
    world = image.data_to_world((3, 2.3, 5.7))
    viewer.dims.set_point(range(3), world)
    if "rotate" not in placed:
        found = labels.get_value(world, world=True)
        assert found == image.get_value(world, world=True) == NUMBERED[3, 2, 6]


@pytest.mark.parametrize("chosen", [True, False])
def test_start_lays_masks_on_the_image_and_they_are_corrected(
    open_desk, chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(controller, "show_info", told.append)
    stack = np.zeros((4, 40, 50), np.uint8)
    desk = open_desk(stack, scale=(2, 0.5, 0.25), translate=(10, -4, 7))
    data = np.zeros(stack.shape, np.int32)
    data[2, 18:30, 20:31] = 5
    masks = desk.viewer.add_labels(data, name="masks")
    if chosen:
        desk.widget.labels_combo.layer = masks
        assert desk.widget.start()
        desk.until(lambda: desk.widget.session is not None)
        assert lies_on(masks, desk.image)
    assert told == [LAID.format("masks", desk.image.name)] * chosen
    desk.viewer.dims.set_point(0, 14)
    desk.until(lambda: desk.current.plane.steps == (2, 0, 0))
    desk.robot.look_at(desk.image, (2, 10, 10), (2, 38, 40), 0.9)
    alt = Qt.KeyboardModifier.AltModifier
    desk.robot.press(Qt.Key.Key_G)
    desk.robot.click(desk.image, (2, 29.4, 30.4), modifier=alt)
    desk.until(lambda: desk.labels.data[2, 18, 20] > 0)
    assert (desk.labels.data[2] > 0).sum() == 12 * 11
    assert (desk.labels.data[2, 18:30, 20:31] > 0).all()
    assert masks.data is data
    assert (desk.labels.data[2].max() == 5) == chosen


@pytest.mark.parametrize("factor", [0.5, 2])
def test_masks_of_another_scale_are_not_laid_on(factor: float) -> None:
    # Half as many pixels of twice the size end where the image ends, and yet no pixel
    # lies on one of the image.
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((8, 8)), scale=(0.5, 0.5))
    size = round(8 / factor)
    scale, shift = 0.5 * factor, 0.25 * (factor - 1)
    labels = viewer.add_labels(
        np.zeros((size, size), np.int32), scale=(scale,) * 2, translate=(shift,) * 2
    )
    np.testing.assert_allclose(
        labels.data_to_world((-0.5, size - 0.5)), image.data_to_world((-0.5, 7.5))
    )
    assert fit_labels(labels, image) == ""
    assert not lies_on(labels, image)
    with pytest.raises(InputError, match="same shape"):
        claim_layers(viewer, image, labels)
