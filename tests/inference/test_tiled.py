"""Planes that are read tile by tile."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from _fake_segmenter import FakeSegmenter
from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError
from napari_gpcis.inference import tiled as lazy
from napari_gpcis.inference.image import prepare_image
from napari_gpcis.inference.segmenter import Segmenter
from napari_gpcis.inference.tiled import TILE, TiledPlane
from napari_gpcis.session.session import Session

SIDE = 8192


def huge(read: list[tuple[int, int]]) -> da.Array:
    """A plane of 8192 x 8192 that notes which chunks are read: a bright square."""

    def load(block_info=None):
        row, col = block_info[None]["chunk-location"]
        read.append((row, col))
        chunk = np.full((512, 512), 1000, np.uint16)
        if (row, col) == (9, 9):
            chunk[100:400, 120:380] = 9000
        return chunk

    chunks = ((512,) * 16,) * 2
    meta = np.empty((0, 0), np.uint16)
    return da.map_blocks(load, chunks=chunks, dtype=np.uint16, meta=meta)


def test_what_is_read_is_what_is_there() -> None:
    rng = np.random.default_rng(0)
    plane = rng.integers(0, 60000, (TILE + 300, 2 * TILE + 100, 2), np.uint16)
    tiled = TiledPlane(da.from_array(plane, chunks=(700, 900, 1)))
    assert tiled.channels == 2
    part = tiled.read(slice(900, 1200), slice(1000, 2100), channel=1)
    np.testing.assert_array_equal(part, plane[900:1200, 1000:2100, 1])
    rows, cols = np.array([3, 1300, 5, 5]), np.array([2147, 0, 1024])
    np.testing.assert_array_equal(
        tiled.read(rows, cols), plane[..., 0][np.ix_(rows, cols)]
    )


def test_a_prepared_image_is_the_same_read_whole_or_by_tiles() -> None:
    rng = np.random.default_rng(0)
    plane = rng.normal(5, 1, (1500, 1300)).astype(np.float32)
    whole = prepare_image(plane, contrast=(2, 8))
    tiled = prepare_image(TiledPlane(plane), contrast=(2, 8))
    assert tiled.shape == whole.shape
    box = slice(700, 1400), slice(10, 1100)
    np.testing.assert_array_equal(tiled.read(*box), whole.read(*box))
    own = prepare_image(TiledPlane(plane)).limits[0]
    np.testing.assert_allclose(own, prepare_image(plane).limits[0], atol=0.1)


def test_only_tiles_around_the_view_are_read_and_few_are_kept() -> None:
    read: list[tuple[int, int]] = []
    tiled = TiledPlane(huge(read), keep=4 * TILE * TILE)
    prepared = prepare_image(tiled, contrast=(0, 10000))
    assert not read
    prepared.read(slice(4600, 5200), slice(4600, 5200))
    assert {row for row, _ in read} <= {8, 9, 10, 11}
    assert len(read) == len(set(read)) == 16
    prepared.read(slice(4600, 5200), slice(4600, 5200))
    assert len(read) > 16  # kept are two tiles of 2 MB
    assert tiled._held() <= 4 * TILE * TILE


def test_the_default_contrast_reads_a_few_squares() -> None:
    read: list[tuple[int, int]] = []
    prepared = prepare_image(TiledPlane(huge(read)))
    assert len(set(read)) <= 4 * lazy.SAMPLED_TILES  # of 256 chunks
    assert prepared.limits[0][0] == 1000


def test_a_click_on_a_huge_plane_reads_its_surroundings() -> None:
    read: list[tuple[int, int]] = []
    segmenter = Segmenter.from_pretrained("gpcis-mobilenet-v2", "cpu")
    tiled = TiledPlane(huge(read))
    view = (4500, 4500, 5300, 5300)
    found = segmenter.predict(
        tiled, [Click(4850, 4860)], view=view, contrast=(0, 10000)
    )
    assert found.shape == (SIDE, SIDE)
    assert len(set(read)) <= 16
    inside = found.crop("mask")[4850 - found.roi[0], 4860 - found.roi[1]]
    assert inside


def test_without_a_view_the_first_click_gets_a_window() -> None:
    read: list[tuple[int, int]] = []
    session = Session(FakeSegmenter(), TiledPlane(huge(read)), contrast=(0, 10000))
    session.push_click(4850, 4860)
    assert session.request().view == (2802, 2812, 6898, 6908)
    session.clear()
    session.view = (4000, 0, 8192, 8192)
    session.push_click(4850, 100)
    assert session.request().view == (4000, 0, 6898, 2148)
    assert not read
    whole = Session(FakeSegmenter(), np.zeros((50, 60), np.uint8))
    whole.push_click(5, 5)
    assert whole.request().view is None


def test_nan_is_black_where_it_is_read() -> None:
    plane = np.ones((1100, 1100), np.float32)
    plane[1050:, 1050:] = np.nan
    prepared = prepare_image(TiledPlane(plane), contrast=(0, 2))
    read = prepared.read(slice(1000, 1100), slice(1000, 1100))
    assert (read[0, :50] == 0.5).all()
    assert not read[0, 50:, 50:].any()
    with pytest.raises(InputError, match="all values in the sampled squares are NaN"):
        prepare_image(TiledPlane(plane * np.nan))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 4, 4, 4)), "must have shape"),
        (np.zeros((0, 4)), "must have shape"),
        (np.zeros((4, 4), complex), "boolean, integer or real"),
    ],
)
def test_other_arrays_are_refused(array, words) -> None:
    with pytest.raises(InputError, match=words):
        TiledPlane(array)


def test_channels_must_be_chosen_as_ever() -> None:
    tiled = TiledPlane(np.zeros((30, 30, 5), np.uint16))
    with pytest.raises(InputError, match="channels must name"):
        prepare_image(tiled)
    assert len(prepare_image(tiled, channels=(0, 4)).planes) == 2
