"""Outlines filled again are the same pixels, in QuPath's form and in ImageJ's."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from skimage.measure import grid_points_in_poly

from napari_gpcis.errors import InputError
from napari_gpcis.export import Calibration
from napari_gpcis.outlines import geojson, polygons, write_geojson, write_imagej

if TYPE_CHECKING:
    from pathlib import Path


def filled(rings: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Return the pixels whose centres lie in an odd number of rings."""
    inside = np.zeros(shape, bool)
    for ring in rings:
        corners = np.asarray(ring, float)[:, ::-1] - 0.5  # centres at whole numbers
        inside ^= grid_points_in_poly(shape, corners) == 1
    return inside


MASKS = {
    "a pixel": np.pad(np.ones((1, 1), bool), 2),
    "a bar": np.ones((3, 7), bool),
    "a ring": np.pad(np.pad(np.zeros((2, 3), bool), 1, constant_values=True), 1),
    "corners touch": np.eye(5, dtype=bool),
    "holes touch": ~np.pad(np.eye(3, dtype=bool), 1),
    "a comb": np.tile(np.array([[1, 1, 1, 1], [0, 0, 0, 1]], bool), (3, 1)),
    "noise": np.random.default_rng(0).random((40, 50)) > 0.5,
    "dense noise": np.random.default_rng(1).random((40, 50)) > 0.2,
}


@pytest.mark.parametrize("kind", MASKS)
def test_polygons_are_the_pixels(kind: str) -> None:
    mask = MASKS[kind]
    found = polygons(mask)
    rings = [ring for one in found for ring in (one.outer, *one.holes)]
    np.testing.assert_array_equal(filled(rings, mask.shape), mask)
    for ring in rings:  # corners only: each side turns
        sides = np.diff([*ring, ring[0]], axis=0)
        assert (np.count_nonzero(sides, axis=1) == 1).all()
        ways = sides != 0
        assert (ways[:, 0] != np.roll(ways, 1, axis=0)[:, 0]).all()


def test_pieces_and_holes_are_told_apart() -> None:
    ring = MASKS["a ring"]
    (one,) = polygons(ring)
    assert one.outer == [(1, 1), (6, 1), (6, 5), (1, 5)]
    assert sorted(one.holes[0]) == [(2, 2), (2, 4), (5, 2), (5, 4)]
    assert len(polygons(MASKS["corners touch"])) == 5
    assert polygons(np.zeros((3, 3), bool)) == []


@pytest.fixture
def labels() -> np.ndarray:
    """Two planes: a simple object, one of two pieces, one with a hole."""
    stack = np.zeros((2, 30, 40), np.int32)
    stack[0, 3:9, 4:14] = 7
    stack[0, 20:24, 2:6] = stack[0, 25:28, 20:30] = 2
    stack[1, 5:15, 5:15] = 70_000
    stack[1, 8:10, 8:10] = 0
    return stack


def test_geojson_has_the_pixels(labels: np.ndarray, tmp_path: Path) -> None:
    write_geojson(tmp_path / "o.geojson", labels)
    content = json.loads((tmp_path / "o.geojson").read_text())
    assert content == geojson(labels)
    again = np.zeros_like(labels)
    for feature in content["features"]:
        geometry = feature["geometry"]
        pieces = geometry["coordinates"]
        if geometry["type"] == "Polygon":
            pieces = [pieces]
        rings = [ring for piece in pieces for ring in piece]
        assert all(ring[0] == ring[-1] for ring in rings)
        mask = filled([ring[:-1] for ring in rings], labels.shape[1:])
        again[geometry["plane"]["z"]][mask] = int(feature["properties"]["name"])
    np.testing.assert_array_equal(again, labels)
    kinds = [feature["geometry"]["type"] for feature in content["features"]]
    assert kinds == ["MultiPolygon", "Polygon", "Polygon"]


def test_geojson_of_a_movie_and_of_a_picture(labels: np.ndarray) -> None:
    movie = Calibration((1.0,) * 3, ("pixel",) * 3, (1, 2), "TYX")
    planes = [one["geometry"]["plane"] for one in geojson(labels, movie)["features"]]
    assert planes[-1] == {"c": -1, "z": 0, "t": 1}
    assert "plane" not in geojson(labels[0])["features"][0]["geometry"]
    assert geojson(labels * 0)["features"] == []


def test_imagej_regions_have_the_pixels(labels: np.ndarray, tmp_path: Path) -> None:
    roifile = pytest.importorskip("roifile")
    for _ in range(2):  # a file that is there is replaced, not added to
        write_imagej(tmp_path / "o.zip", labels)
    regions = roifile.roiread(tmp_path / "o.zip")
    assert [region.name for region in regions] == ["z1-2", "z1-7", "z2-70000"]
    again = np.zeros_like(labels)
    for region in regions:
        rings = region.coordinates(multi=True)
        rings = rings if isinstance(rings, list) else [rings]
        open_rings = [r[:-1] if (r[0] == r[-1]).all() else r for r in rings]
        mask = filled(open_rings, labels.shape[1:])
        again[region.position - 1][mask] = int(region.name.split("-")[1])
    np.testing.assert_array_equal(again, labels)


def test_one_region_and_two_axes(labels: np.ndarray, tmp_path: Path) -> None:
    roifile = pytest.importorskip("roifile")
    write_imagej(tmp_path / "o.roi", (labels[0] == 7).astype(int))
    region = roifile.roiread(tmp_path / "o.roi")
    assert (region.name, region.left, region.top) == ("1", 4, 3)
    write_imagej(tmp_path / "o.zip", labels[None])
    (*_, last) = roifile.roiread(tmp_path / "o.zip")
    assert (last.name, last.t_position, last.z_position) == ("t1-z2-70000", 1, 2)


def test_what_imagej_cannot_hold_is_told(
    labels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("roifile")
    with pytest.raises(InputError, match=r"holds one object, got 3: use \.zip"):
        write_imagej(tmp_path / "o.roi", labels)
    with pytest.raises(InputError, match="no object"):
        write_imagej(tmp_path / "o.zip", labels * 0)
    with pytest.raises(InputError, match="reach to 32767"):
        write_imagej(tmp_path / "o.zip", np.zeros((2, 40_000), np.uint8))
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setitem(sys.modules, "roifile", None)
    with pytest.raises(InputError, match=r"pip install 'napari-gpcis\[imagej\]'"):
        write_imagej(tmp_path / "o.zip", labels)
