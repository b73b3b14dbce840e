"""Images with several channels along an axis."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image

from _fake_segmenter import disks
from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError
from napari_gpcis.plugin.dock.pages import PAGES, SETTINGS
from napari_gpcis.plugin.dock.panels.image import ChannelsPanel
from napari_gpcis.plugin.viewer.channels import blend, channel_axes, channel_limits

MASK = disks((80, 100), (Click(30, 40),))


def channels(count: int = 4, planes: int | None = None) -> np.ndarray:
    """Channel c is noise about 1000 (c + 1)."""
    shape = (count, 80, 100) if planes is None else (planes, count, 80, 100)
    noise = np.random.default_rng(0).normal(0, 50, shape)
    means = 1000 * np.arange(1, count + 1)[:, None, None]
    return (noise + means).astype(np.uint16)


@pytest.mark.parametrize(
    ("data", "rgb", "axes"),
    [
        (np.zeros((80, 100)), False, ()),
        (np.zeros((80, 100, 3), np.uint8), True, ()),
        (np.zeros((4, 80, 100)), False, (0,)),
        (np.zeros((50, 3, 80, 100)), False, (1,)),
        (np.zeros((7, 3, 80, 100)), False, (0, 1)),
    ],
)
def test_axes_that_may_be_channels(data, rgb, axes) -> None:
    assert channel_axes(Image(data, rgb=rgb)) == axes


def test_channels_become_colours() -> None:
    image = Image(channels())
    limits = channel_limits(image, 0, (0, 2), (0, 0, 0))
    for (low, high), mean in zip(limits, (1000, 3000), strict=True):
        assert low == pytest.approx(mean - 150, abs=60)
        assert high == pytest.approx(mean + 150, abs=60)
    made = np.asarray(blend(image, 0, (0, 2), limits).data)
    assert made.shape == (1, 80, 100, 3)
    assert made.dtype == np.uint8
    for place, (channel, (low, high)) in enumerate(zip((0, 2), limits, strict=True)):
        share = np.clip((image.data[channel] - low) / (high - low), 0, 1)
        np.testing.assert_allclose(made[0, ..., place], share * 255, atol=0.6)
    mean = (made[..., 0].astype(int) + made[..., 1]) // 2
    np.testing.assert_array_equal(made[..., 2], mean)
    grey = np.asarray(blend(image, 0, (3,), [(0, 8000)]).data)
    assert (grey[..., 0] == grey[..., 2]).all()


@pytest.mark.parametrize("chosen", [(), (0, 1, 2, 3), (4,), (-1,)])
def test_other_channels_are_refused(chosen) -> None:
    with pytest.raises(InputError, match="channels must be one to three"):
        blend(Image(channels()), 0, chosen, [(0, 1)] * len(chosen))


def test_a_picture_reads_only_the_plane_that_is_shown() -> None:
    read: list[tuple[int, int]] = []

    def load(block_info=None):
        read.append(block_info[None]["chunk-location"][:2])
        return np.ones((1, 1, 80, 100), np.uint16)

    chunks = ((1,) * 5, (1,) * 4, (80,), (100,))
    meta = np.empty((0,) * 4, np.uint16)
    stack = da.map_blocks(load, chunks=chunks, dtype=np.uint16, meta=meta)
    image = Image(stack, contrast_limits=(0, 1))
    read.clear()
    made = blend(image, 1, (0, 3), [(0, 2), (0, 2)])
    read.clear()
    np.asarray(made.data[2])
    assert set(read) == {(2, 0), (2, 3)}


@pytest.fixture
def panel(bench):
    made = ChannelsPanel(bench.controller)
    yield made
    made.close_links()
    bench.controller.stop()
    made.deleteLater()


@pytest.mark.parametrize("options", [{}, {"scale": (1, 3, -2.0, 0.5), "units": "um"}])
def test_objects_lie_on_all_channels(bench, panel, options) -> None:
    image = bench.viewer.add_image(channels(4, planes=6), **options)
    panel.show_state()
    panel.axis.setCurrentIndex(panel.axis.findData(1))
    panel._show_channels()
    panel.use.click()
    bench.until(lambda: bench.controller.session is not None)
    picture = bench.controller.annotation.image
    assert picture.rgb
    assert not image.visible
    assert "channel 2: 28" in panel.message.text()  # near 3000 - 3 sigma
    assert bench.labels.data.shape == (6, 1, 80, 100)
    bench.viewer.dims.set_current_step(0, 2)
    bench.until(lambda: bench.current.plane.steps[0] == 2)
    bench.settled(0)
    for channel in (0, 3):  # wherever the channel slider stands
        bench.viewer.dims.set_current_step(1, channel)
        bench.until(lambda: bench.current.plane.steps == (2, 0, 0, 0))
    world = image.data_to_world([2, 3, 30, 40])
    bench.positive.add(bench.positive.world_to_data(world))
    bench.settled(1)
    np.testing.assert_array_equal(bench.labels.data[2, 0] == 1, MASK)
    for channel in range(4):
        world = image.data_to_world([2, channel, 30, 40])
        place = np.round(bench.labels.world_to_data(world)).astype(int)
        assert bench.labels.data[tuple(place)] == 1


def test_channels_that_come_last_are_no_longer_displayed(bench, panel) -> None:
    image = bench.viewer.add_image(np.moveaxis(channels(4), 0, -1), rgb=False)
    assert bench.viewer.dims.displayed == (1, 2)
    panel.show_state()
    panel.use.click()
    bench.until(lambda: bench.controller.session is not None)
    assert bench.viewer.dims.displayed == (0, 1)
    world = image.data_to_world([30, 40, 0])
    bench.positive.add(bench.positive.world_to_data(world))
    bench.settled(1)
    np.testing.assert_array_equal(bench.labels.data[..., 0] == 1, MASK)


def test_the_layers_contrast_may_be_used(bench, panel) -> None:
    image = bench.viewer.add_image(channels(2), contrast_limits=(0, 4000))
    panel.show_state()
    panel.contrast.setCurrentIndex(panel.contrast.findData("layer"))
    panel.use.click()
    made = np.asarray(bench.controller.annotation.image.data)
    np.testing.assert_allclose(made[0, ..., 0], image.data[0] / 4000 * 255, atol=0.6)


def test_the_section_is_seen_only_with_channels(open_desk) -> None:
    desk = open_desk(np.zeros((80, 100), np.uint8))
    (panel,) = (one for one in desk.widget.panels if isinstance(one, ChannelsPanel))
    desk.widget.pages.setCurrentIndex([*PAGES].index(SETTINGS))
    assert not panel.parentWidget().isVisible()
    desk.widget.controller.stop()
    desk.viewer.add_image(channels(3))
    desk.until(lambda: panel.parentWidget().isVisible())
    panel.use.click()
    made = desk.controller.annotation.image
    assert made.rgb
    assert desk.widget.image_combo.layer == made
    assert panel.parentWidget().isVisible()  # other channels may be tried
    panel.channels[2].setCurrentIndex(0)
    panel.use.click()
    assert desk.controller.annotation.image.name.endswith("channels 0, 1")
    assert not made.visible
