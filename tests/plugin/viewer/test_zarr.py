"""Images of zarr: only the chunks that are seen or clicked are read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore, WrapperStore

from _fake_segmenter import disks
from napari_gpcis.clicks import Click
from napari_gpcis.inference import tiled as lazy
from napari_gpcis.plugin.annotation import jobs as work

CHUNK = 128
SIDE = 2048


class Counting(WrapperStore[MemoryStore]):
    """A store that notes which chunks are read."""

    read: set[tuple[int, ...]]

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        if "c/" in key:
            place = key.split("c/")[-1].split("/")
            self.read.add(tuple(map(int, place)))
        return await super().get(key, prototype, byte_range)


def stored(shape: tuple[int, ...], chunks: tuple[int, ...]) -> tuple[Any, set]:
    """Return an array with something in every chunk, and what is read of it."""
    store = Counting(MemoryStore())
    store.read = read = set()
    array = zarr.create_array(store, shape=shape, chunks=chunks, dtype=np.uint16)
    values = np.arange(np.prod(shape), dtype=np.uint64) % 5000
    array[...] = values.reshape(shape).astype(np.uint16) + 1
    read.clear()
    return array, read


def test_only_the_shown_plane_of_a_stack_is_read(bench) -> None:
    array, read = stored((6, 80, 100), (1, 40, 50))
    image = bench.viewer.add_image(array, contrast_limits=(0, 5000))
    assert isinstance(image.data, zarr.Array)
    step = bench.viewer.dims.current_step[0]
    read.clear()
    assert bench.controller.start(image)
    bench.positive.add([step, 30, 40])
    bench.settled(1)
    mask = disks((80, 100), (Click(30, 40),))
    np.testing.assert_array_equal(bench.labels.data[step] == 1, mask)
    assert {plane for plane, *_ in read} == {step}
    other = step - 1
    bench.viewer.dims.set_current_step(0, other)
    bench.until(lambda: bench.current.plane.steps[0] == other)
    bench.positive.add([other, 60, 80])
    bench.settled(1)
    assert {plane for plane, *_ in read} == {step, other}


@pytest.mark.parametrize("multiscale", [False, True])
def test_of_a_large_plane_only_the_chunks_around_the_clicks_are_read(
    bench, monkeypatch, multiscale
) -> None:
    monkeypatch.setattr(work, "TILED_PIXELS", SIDE * SIDE)
    monkeypatch.setattr(lazy, "TILE", 256)
    monkeypatch.setattr(lazy, "SAMPLE_SIDE", 64)
    array, read = stored((SIDE, SIDE), (CHUNK, CHUNK))
    coarse = np.zeros((SIDE // 8, SIDE // 8), np.uint16)
    data = [array, coarse] if multiscale else array
    image = bench.viewer.add_image(data, contrast_limits=(0, 5000))
    assert image.multiscale is multiscale
    bench.until(lambda: True)
    read.clear()
    assert bench.controller.start(image)
    bench.until(lambda: bench.controller.session is not None)
    sampled = set(read)
    assert 0 < len(sampled) <= 4 * lazy.SAMPLED_TILES  # of 256 chunks
    bench.labels.corner_pixels = np.array([[300, 300], [499, 499]])
    prepared = bench.controller.session.prepared
    part = prepared.read(slice(300, 500), slice(300, 500))
    assert part.shape[-2:] == (200, 200)
    assert read - sampled <= {(row, col) for row in range(2, 4) for col in range(2, 4)}
    bench.positive.add([400, 400])
    bench.settled(1)
    mask = disks((SIDE, SIDE), (Click(400, 400),))
    np.testing.assert_array_equal(bench.labels.data == 1, mask)
    assert len(read) <= len(sampled) + 4
