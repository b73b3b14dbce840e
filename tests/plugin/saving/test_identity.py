"""Whether an image that is open is that of some work: name, file and pixels."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_gpcis.plugin.saving.identity import (
    ImageIdentity,
    Match,
    contradicts,
    digest_of_pixels,
    is_opened_again,
    match,
)

if TYPE_CHECKING:
    from pathlib import Path

ONE = digest_of_pixels(np.ones((9, 9)))
TWO = digest_of_pixels(np.full((9, 9), 2))
NOISE = np.random.default_rng(0).integers(0, 255, (3, 70, 80, 4), np.uint8)


@pytest.fixture
def series(tmp_path: Path) -> dict[str, str]:
    """Files of images, by short names."""
    files = {}
    for name in ("a/im1.png", "a/im2.png", "b/im1.png", "x.zarr/0", "x.zarr/1"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
        files[name] = str(file)
    return files | {"x.zarr": str(tmp_path / "x.zarr"), "gone": str(tmp_path / "im1")}


@pytest.mark.parametrize(
    ("work", "image", "found"),
    [
        (("im1", "a/im1.png"), ("im1", "a/im1.png"), Match.SAME),
        (("im1.png", "a/im1.png"), ("im1", "a/im1.png"), Match.LIKELY),
        (("im1", "a/im1.png", "p"), ("im1", "a/im1.png", "p"), Match.SAME),
        (("im1", "a/im1.png", "p"), ("im1", "a/im1.png", "q"), Match.UNKNOWN),
        (("im1", "a/im1.png", "p"), ("im1 [1]", "a/im1.png", "q"), Match.UNKNOWN),
        (("im2", "a/im2.png"), ("im1", "a/im1.png"), Match.OTHER),
        (("im1", "a/im1.png"), ("im1", "b/im1.png"), Match.OTHER),
        (("im1", "a/im1.png", "p"), ("im1", "b/im1.png", "q"), Match.OTHER),
        (("im1", "a/im1.png", "p"), ("im1", "b/im1.png", "p"), Match.ALIKE),
        (("im1", "gone"), ("im1", "b/im1.png"), Match.UNKNOWN),
        (("im1", "gone", "p"), ("im1", "b/im1.png", "p"), Match.ALIKE),
        (("x", "x.zarr"), ("x", "x.zarr/0"), Match.UNKNOWN),
        (("x", "x.zarr/0"), ("x", "x.zarr/1"), Match.OTHER),
        (("x", ""), ("x", ""), Match.UNKNOWN),  # their pixels were not compared
        (("x", ""), ("x", "", "p"), Match.UNKNOWN),
        (("x", "", "p"), ("x", ""), Match.UNKNOWN),
        (("x", "", ONE), ("x", "", ONE), Match.LIKELY),
        (("x", "", ONE), ("y", "", ONE), Match.UNKNOWN),
        (("x", "", ONE), ("x", "", TWO), Match.UNKNOWN),
        (("x", "", ONE), ("x", "", "p"), Match.UNKNOWN),
        (("x", "", "p"), ("x", "", ONE), Match.UNKNOWN),
        (("x", "", ONE), ("x", ""), Match.UNKNOWN),
        (("im1", "a/im1.png", ONE), ("im1", "a/im1.png", ONE), Match.SAME),
        (("im1", "a/im1.png", ONE), ("im1", "a/im1.png", "p"), Match.UNKNOWN),
        (("im1", "a/im1.png", ONE), ("im1", "b/im1.png", ONE), Match.OTHER),
        (("x", "", "p"), ("x", "", "q"), Match.UNKNOWN),
        (("x", "", "p"), ("y", "", "p"), Match.ALIKE),
        (("x", ""), ("y", ""), Match.UNKNOWN),
        (("im1", "a/im1.png"), ("im1", ""), Match.UNKNOWN),
        (("im1", "a/im1.png", "p"), ("img", "", "p"), Match.ALIKE),
    ],
)
def test_file_name_and_pixels_tell_images_apart(
    series: dict[str, str], work: Any, image: Any, found: Match
) -> None:
    one, other = (
        ImageIdentity(name, series.get(file, file), *rest)
        for name, file, *rest in (work, image)
    )
    assert match(one, other) is found


def test_links_and_detours_lead_to_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    file = tmp_path / "a" / "im1.png"
    file.touch()
    detour = str(tmp_path / "a" / ".." / "a" / "im1.png")
    one = ImageIdentity("im1", str(file))
    assert match(one, ImageIdentity("im1", detour)) is Match.SAME
    try:
        (tmp_path / "link").symlink_to(tmp_path / "a")
    except OSError:
        pytest.skip("no links here")
    link = os.fspath(tmp_path / "link" / "im1.png")
    assert match(one, ImageIdentity("im1", link)) is Match.SAME


@pytest.mark.parametrize(
    ("saved", "image", "other"),
    [
        (("im1", "", ""), ("im1", "", ""), False),
        (("im1.png", "", ""), ("im1", "", ""), False),
        (("im1", "", ""), ("nuclei", "a/im1.png", ""), False),
        (("im2", "", ""), ("im1", "a/im1.png", ""), True),
        (("im2", "", "p"), ("im1", "", ""), True),
        (("im1", "", "p"), ("im1", "a/im1.png", "q"), True),
        (("nuclei", "", "p"), ("im1", "a/im1.png", "p"), False),
        (("", "", ""), ("im1", "", "p"), False),
        (("im1", "", ONE), ("im1", "", ONE), False),
        (("im2", "", ONE), ("im1", "", ONE), True),  # blank ones are all alike
        (("im1", "", ONE), ("im1", "", "p"), True),
        (("im1", "", ONE), ("im1", "", ""), False),
    ],
)
def test_clicks_are_of_another_image_if_anything_says_so(
    saved: Any, image: Any, other: bool
) -> None:
    assert contradicts(ImageIdentity(*saved), ImageIdentity(*image)) is other


@pytest.mark.parametrize(
    ("image", "again"),
    [
        (ImageIdentity("im0", "", "p"), True),
        (ImageIdentity("other", "", "p"), True),
        (ImageIdentity("im0", "", ""), True),  # lazy: nothing contradicts
        (ImageIdentity("im0", "", "q"), False),
        (ImageIdentity("other", "", ""), False),
        (ImageIdentity("other", "", "q"), False),
    ],
)
def test_work_goes_on_unasked_with_the_image_opened_again(
    image: ImageIdentity, again: bool
) -> None:
    assert is_opened_again(ImageIdentity("im0", "", "p"), image) is again


def test_the_digest_is_of_the_pixels() -> None:
    plane = NOISE[..., 0]
    digest = digest_of_pixels(plane)
    assert len(digest) == 32
    assert digest_of_pixels(plane.astype(np.float32)) == digest
    assert digest_of_pixels(np.asfortranarray(plane)) == digest
    assert digest_of_pixels(plane.reshape(70, 3, 80)) != digest
    other = plane.copy()
    other[2, 30, 30] += 1
    assert digest_of_pixels(other) != digest
    opaque = NOISE.copy()
    opaque[..., 3] = 255
    colour = digest_of_pixels(opaque, colour=True)
    assert colour == digest_of_pixels(NOISE[..., :3], colour=True)


def test_a_large_image_is_looked_at_everywhere() -> None:
    large = np.random.default_rng(1).normal(size=(1024, 1024)).astype(np.float32)
    digest = digest_of_pixels(large)
    for rows, cols in (np.s_[:32, :32], np.s_[-32:, -32:], np.s_[500:532, 17:49]):
        other = large.copy()
        other[rows, cols] += 1
        assert digest_of_pixels(other) != digest


def test_what_takes_long_to_read_has_no_digest(tmp_path: Path) -> None:
    dask = pytest.importorskip("dask.array")
    np.save(tmp_path / "plane.npy", NOISE)
    mapped = np.load(tmp_path / "plane.npy", mmap_mode="r")
    silent = [
        dask.from_array(NOISE),
        dask.ones((9, 9)),
        mapped,
        np.asarray(mapped),
        np.zeros((0, 9)),
        np.array([["a", "b"]]),
    ]
    assert [digest_of_pixels(one) for one in silent] == [""] * len(silent)


def test_an_image_of_one_value_has_that_for_a_digest() -> None:
    assert "" not in {ONE, TWO}
    assert ONE != TWO
    assert digest_of_pixels(np.ones((9, 9), bool)) == ONE
    assert digest_of_pixels(np.ones((9, 3))) != ONE
    assert digest_of_pixels(np.zeros(9)) == digest_of_pixels(-np.zeros(9))


def test_a_few_other_pixels_of_a_large_image_are_found() -> None:
    """None of them is among those that are looked at evenly."""
    blank = np.zeros((1024, 1024), np.uint8)
    digests = {digest_of_pixels(blank)}
    for place, value in (((5, 3), 1), ((5, 3), 2), ((900, 1), 1)):
        image = blank.copy()
        image[place] = value
        digests.add(digest_of_pixels(image))
        assert digest_of_pixels(np.asfortranarray(image)) in digests
    assert len(digests) == 4
