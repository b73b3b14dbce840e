"""Superpixels by all methods: ids, connectedness, number, images, errors."""

import subprocess
import sys

import numpy as np
import pytest
from skimage.measure import label as connected_parts

from napari_gpcis.errors import CheckpointError, InputError
from napari_gpcis.superpixels import METHODS, superpixels

SHAPE = 60, 90


def coloured(shape=SHAPE, seed=0):
    """Return a photograph-like image: two colours, a bright disk, noise."""
    rng = np.random.default_rng(seed)
    rows, cols = np.indices(shape)
    image = np.zeros((*shape, 3))
    image[..., 0] = cols / shape[1] * 120
    image[..., 1] = 60
    image[(rows - 30) ** 2 + (cols - 40) ** 2 < 200] = 230, 180, 40
    return np.clip(image + rng.normal(0, 5, image.shape), 0, 255).astype(np.uint8)


def check(labels, shape, n):
    """Ids from 1 without gaps, each one region; their number within 10 %."""
    assert labels.dtype == np.int32
    assert labels.shape == shape
    count = int(labels.max())
    assert np.array_equal(np.unique(labels), np.arange(1, count + 1))
    assert connected_parts(labels, background=-1, connectivity=1).max() == count
    assert abs(count - n) <= 0.1 * n


@pytest.mark.parametrize("n", [1, 2, 3, 10, 47, 200, 1000, 60 * 90])
def test_ids_are_consecutive_connected_and_as_many_as_wanted(n):
    check(superpixels(coloured(), n, method="slic"), SHAPE, n)


def test_borders_follow_the_object():
    image = coloured()
    rows, cols = np.indices(SHAPE)
    disk = (rows - 30) ** 2 + (cols - 40) ** 2 < 200

    def wrong(labels):
        inside = np.bincount(labels[disk], minlength=labels.max() + 1)
        return np.minimum(inside, np.bincount(labels.ravel()) - inside).sum()

    grid = superpixels(np.zeros(SHAPE), 60, method="slic")
    assert wrong(superpixels(image, 60, method="slic")) < wrong(grid) / 3


@pytest.mark.parametrize(
    "image",
    [
        coloured()[..., 0],
        coloured().astype(np.uint16) * 257,
        coloured() / 255,
        coloured()[..., :2],
        coloured()[..., 0] > 100,
        np.dstack([coloured(), np.full(SHAPE, 255, np.uint8)]),
    ],
    ids=["grey", "16 bit", "float", "two channels", "boolean", "alpha"],
)
def test_images_of_all_kinds(image):
    check(superpixels(image, 50, method="slic"), SHAPE, 50)


def test_contrast_is_that_of_the_segmenter():
    image = coloured()
    wide = image.astype(np.uint16) * 257
    given = superpixels(wide, 50, method="slic", contrast=(0, 65535))
    assert np.array_equal(given, superpixels(image, 50, method="slic"))


def test_some_channels_of_many():
    image = np.repeat(coloured()[..., :1], 6, axis=2)
    labels = superpixels(image, 50, channels=(1, 2), method="slic")
    check(labels, SHAPE, 50)
    with pytest.raises(InputError, match="channels must name"):
        superpixels(image, 50)


def test_pixels_without_a_value_count_as_the_darkest():
    image = coloured()[..., 0].astype(float)
    dark, gap = image.copy(), image.copy()
    dark[10:20, 10:30] = -1e9
    gap[10:20, 10:30] = np.nan
    limits = float(image.min()), float(image.max())
    expected = superpixels(dark, 50, method="slic", contrast=limits)
    assert np.array_equal(
        superpixels(gap, 50, method="slic", contrast=limits), expected
    )


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 5)])
@pytest.mark.parametrize("n", [1, 3, 10])
def test_tiny_images(shape, n):
    pixels = shape[0] * shape[1]
    image = np.arange(pixels, dtype=np.uint8).reshape(shape)
    if n > pixels:
        with pytest.raises(InputError, match=f"from 1 to the {pixels} pixels"):
            superpixels(image, n)
    else:
        check(superpixels(image, n, method="slic"), shape, n)


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_constant_image_becomes_about_equal_parts(value):
    labels = superpixels(np.full(SHAPE, value, np.uint8), 54, method="slic")
    check(labels, SHAPE, 54)
    sizes = np.bincount(labels.ravel())[1:]
    assert sizes.max() < 2.5 * sizes.mean()


def test_more_compactness_makes_more_regular_superpixels():
    image = coloured()
    outlines = []
    for compactness in (1, 100):
        labels = superpixels(image, 60, method="slic", compactness=compactness)
        outlines.append(
            (labels[1:] != labels[:-1]).sum() + (labels[:, 1:] != labels[:, :-1]).sum()
        )
    assert outlines[1] < outlines[0]


@pytest.mark.parametrize("n", [0, -5, 60 * 90 + 1, 2.5, True, "600", None])
def test_a_number_that_cannot_be_is_refused(n):
    with pytest.raises(InputError, match=r"^n must be [^\n]*got [^\n]*$"):
        superpixels(coloured(), n)


@pytest.mark.parametrize("compactness", [0, -1, float("nan"), "much"])
def test_compactness_must_be_positive(compactness):
    with pytest.raises(InputError, match="compactness must be a number above 0"):
        superpixels(coloured(), 50, method="slic", compactness=compactness)


def test_only_slic_has_compactness():
    with pytest.raises(InputError, match="compactness is an option of slic"):
        superpixels(coloured(), 50, method="cds", compactness=10)


def test_an_unknown_method_is_refused():
    with pytest.raises(InputError, match="auto, cds-lite, cds, slic, got 'seeds'"):
        superpixels(coloured(), 50, method="seeds")


def test_a_method_without_weights_says_how_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_GPCIS_HOME", str(tmp_path))
    with pytest.raises(CheckpointError, match="napari-gpcis convert"):
        superpixels(coloured(), 50, method="cds")


@pytest.mark.parametrize(
    "image",
    [np.zeros((0, 5)), np.zeros(7), np.zeros((2, 2, 2, 2)), np.full((4, 4), np.nan)],
)
def test_an_image_that_cannot_be_used_is_refused(image):
    with pytest.raises(InputError, match="image must have"):
        superpixels(image, 1)


def test_importing_needs_no_torch():
    code = (
        "import sys, napari_gpcis.superpixels\n"
        "assert not {'torch', 'skimage.segmentation'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_methods_are_listed():
    assert METHODS == ("cds-lite", "cds", "slic")


def test_a_large_plane_is_divided_as_its_shrunk_image(monkeypatch):
    from napari_gpcis.superpixels import slic

    small = coloured()
    large = small.repeat(3, 0).repeat(3, 1)
    monkeypatch.setattr(slic, "LARGEST", small.shape[0] * small.shape[1])
    monkeypatch.setattr(slic, "_STRIP", 3 * 90 * 12)
    labels = superpixels(large, 60, method="slic")
    check(labels, large.shape[:2], 60)
    # one superpixel of the small image has 90 pixels: enough to be shrunk
    expected = superpixels(small, 60, method="slic")
    assert np.array_equal(labels, expected.repeat(3, 0).repeat(3, 1))


@pytest.mark.parametrize("shape", [(61, 89), (50, 200)])
def test_a_large_plane_of_any_size(monkeypatch, shape):
    from napari_gpcis.superpixels import slic

    monkeypatch.setattr(slic, "LARGEST", 1000)
    image = coloured(shape)
    for n in (3, 20, 1000):
        check(superpixels(image, n, method="slic"), shape, n)


def test_a_plane_that_is_read_tile_by_tile():
    from napari_gpcis.inference.tiled import TiledPlane

    image = coloured()
    labels = superpixels(TiledPlane(image), 50, method="slic")
    assert np.array_equal(labels, superpixels(image, 50, method="slic"))
