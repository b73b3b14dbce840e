import numpy as np
import pytest
from skimage.io import imsave

from gpcis_training.data.augment import AugmentOptions, augment
from gpcis_training.data.folders import (
    DataFolder,
    Target,
    draw_target,
    find_pairs,
    read_image,
    read_labels,
)
from napari_gpcis.errors import InputError
from training._folders import write_disks


def test_pairs_list_every_annotation(tmp_path):
    pairs = find_pairs(write_disks(tmp_path / "set"))
    assert [pair.image.name for pair in pairs] == ["p0.png", "p1.png", "p2.png"]
    assert [path.name for path in pairs[1].labels] == ["p1__0.png", "p1__1.png"]


def test_missing_folder_and_missing_labels_are_named(tmp_path):
    with pytest.raises(InputError, match="no folder 'images'"):
        find_pairs(tmp_path)
    root = write_disks(tmp_path / "set")
    for path in (root / "labels").glob("p1*"):
        path.unlink()
    with pytest.raises(InputError, match=r"no labels for \['p1.png'\]"):
        find_pairs(root)


def test_sixteen_bit_grey_becomes_rgb(tmp_path):
    ramp = np.linspace(100, 60000, 64 * 64).reshape(64, 64).astype(np.uint16)
    imsave(tmp_path / "grey.tif", ramp, check_contrast=False)
    image = read_image(tmp_path / "grey.tif")
    assert image.shape == (64, 64, 3)
    assert image.dtype == np.uint8
    assert image[0, 0, 0] <= 1
    assert image[-1, -1, 0] >= 254


def test_float_labels_are_refused(tmp_path):
    imsave(tmp_path / "l.tif", np.ones((9, 9), dtype=np.float32), check_contrast=False)
    with pytest.raises(InputError, match=r"l\.tif.*no label image"):
        read_labels(tmp_path / "l.tif")


def test_union_and_single_targets(tmp_path):
    folder = write_disks(tmp_path / "set")
    rng = np.random.default_rng(0)
    union = draw_target([DataFolder(folder, union=1.0)], rng)
    assert not union.others.any()
    single = draw_target([DataFolder(folder, merge=0.0)], rng)
    assert single.mask.any()
    assert single.others.any()
    assert not (single.mask & single.others).any()


def test_weights_choose_the_set(tmp_path):
    small = DataFolder(write_disks(tmp_path / "a", size=96), weight=0.0)
    large = DataFolder(write_disks(tmp_path / "b", size=128), weight=1.0)
    rng = np.random.default_rng(0)
    shapes = {draw_target([small, large], rng).mask.shape for _ in range(10)}
    assert shapes == {(128, 128)}


def test_a_set_without_objects_is_refused(tmp_path):
    root = write_disks(tmp_path / "set", images=1)
    for path in (root / "labels").iterdir():
        imsave(path, np.zeros((96, 96), dtype=np.uint8), check_contrast=False)
    with pytest.raises(InputError, match="no object of at least 80 pixels"):
        draw_target([DataFolder(root)], np.random.default_rng(0))


@pytest.fixture
def target():
    mask = np.zeros((90, 120), dtype=bool)
    mask[30:60, 70:100] = True
    others = np.zeros_like(mask)
    others[5:20, 5:40] = True
    image = np.zeros((90, 120, 3), dtype=np.uint8)
    image[mask] = 250
    return Target(image, mask, others)


@pytest.mark.parametrize("zoom", [0.0, 1.0])
def test_image_and_masks_stay_aligned(target, zoom):
    options = AugmentOptions(size=64, zoom=zoom, colour=0, grey=0, transpose=0.5)
    for seed in range(20):
        crop = augment(target, options, np.random.default_rng(seed))
        assert crop.image.shape == (3, 64, 64)
        bright = crop.image[0] > 0.5
        assert (bright == crop.mask).mean() > 0.99
        assert not (crop.mask & crop.others).any()


def test_zoom_keeps_the_object_whole(target):
    options = AugmentOptions(size=64, zoom=1.0, zoom_range=(1.1, 1.2))
    for seed in range(10):
        crop = augment(target, options, np.random.default_rng(seed))
        assert 0.6 < crop.mask.mean() < 0.9
        rim = np.ones((64, 64), dtype=bool)
        rim[1:-1, 1:-1] = False
        assert (crop.mask & rim).sum() < 64


def test_crops_do_not_always_reach_the_right_border(target):
    """The published crop ran from x1 to the border whatever its width."""
    target.image[:, -1] = 255
    options = AugmentOptions(
        size=64, zoom=0.0, ratio=(0.4, 0.05, 0.3, 0.5), colour=0, grey=0
    )
    options = AugmentOptions(**{**options.__dict__, "flip_horizontal": 0.0})
    touching = [
        augment(target, options, np.random.default_rng(seed)).image[0, :, -1].mean()
        for seed in range(30)
    ]
    assert np.mean(np.array(touching) > 0.9) < 0.3


def test_the_same_seed_gives_the_same_crop(target):
    first, second = (
        augment(target, AugmentOptions(size=48), np.random.default_rng(5))
        for _ in range(2)
    )
    assert np.array_equal(first.image, second.image)
