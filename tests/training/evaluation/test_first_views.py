"""First views of given sides, and planes that are laid out of small images."""

from __future__ import annotations

import json

import numpy as np
import pytest
from skimage.io import imsave

from gpcis_training.data.planes import (
    Tile,
    draw_tiles,
    plane_image,
    plane_labels,
    whole_objects,
)
from gpcis_training.evaluation import evaluate, load_results
from gpcis_training.evaluation.datasets import (
    PLANE_LISTS,
    PLANES,
    RULES,
    DrawingRule,
    EvaluationObject,
    draw_list,
    first_view,
    ground_truth,
    load_objects,
    read_list,
    view_shift,
)
from gpcis_training.evaluation.tables import median_iou, view_table
from napari_gpcis.errors import InputError
from training._evaluating import command, rows_of

ITEM = EvaluationObject("a.png", "a.png", (1,))


# -- views ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("click", "shift", "expected"),
    [
        ((500, 500), (0.25, -0.25), (436 + 32, 436 - 32, 564 + 32, 564 - 32)),
        ((10, 990), (-0.25, 0.25), (0, 872, 128, 1000)),
        ((10, 500), (0.25, 0), (0, 436, 128, 564)),
    ],
)
def test_a_view_is_shifted_inside_the_image(click, shift, expected):
    assert first_view((1000, 1000), click, 128, shift) == expected


def test_shifts_depend_on_object_and_seed_alone():
    items = [EvaluationObject("a.png", "a.png", (k,)) for k in range(1, 200)]
    drawn = np.array([view_shift(item, 0.25, 0) for item in items])
    assert np.abs(drawn).max() <= 0.25
    assert (np.abs(drawn).max(axis=0) > 0.24).all()
    assert np.abs(drawn.mean(axis=0)).max() < 0.03
    assert view_shift(ITEM, 0.25, 0) == view_shift(ITEM, 0.25, 0)
    assert view_shift(ITEM, 0.25, 0) != view_shift(ITEM, 0.25, 1)
    assert view_shift(ITEM, 0, 0) == (0, 0)


class Views:
    """Keeps the first views, and answers with a larger and larger square."""

    def __init__(self):
        self.views = []

    def start(self, image, view):
        self.shape = image.shape[:2]
        self.views.append(view)

    def click(self, row, col, positive):
        mask = np.zeros(self.shape, bool)
        reach = 5 + 5 * len(self.views)
        mask[max(row - reach, 0) : row + reach, max(col - reach, 0) : col + reach] = 1
        return mask


@pytest.fixture
def root(tmp_path):
    """One plane of 300 x 400 pixels with three objects of 40 x 40."""
    labels = np.zeros((300, 400), np.uint8)
    for ident, (top, left) in enumerate(((130, 180), (0, 0), (100, 300)), start=1):
        labels[top : top + 40, left : left + 40] = ident
    for part, array in (("images", labels * 60), ("labels", labels)):
        (tmp_path / "set" / part).mkdir(parents=True)
        imsave(tmp_path / "set" / part / "a.png", array, check_contrast=False)
    return tmp_path


def test_a_first_view_holds_the_click_off_its_centre(root):
    views = Views()
    result = evaluate(views, root, "set", side=128, max_clicks=1, progress=False)
    for item, view, run in zip(result.items, views.views, result.runs, strict=True):
        top, left, bottom, right = view
        assert (bottom - top, right - left) == (128, 128)
        assert 0 <= top < bottom <= 300
        assert 0 <= left < right <= 400
        row, col = run.clicks[0].pixel
        shift = view_shift(item, 0.25, 0)
        assert view == first_view((300, 400), (row, col), 128, shift)
        assert top <= row < bottom
        assert left <= col < right
    (row, col), (top, left) = result.runs[0].clicks[0].pixel, views.views[0][:2]
    assert (row - top, col - left) != (64, 64)
    assert result.view == "128 px window, off centre"
    other = Views()
    evaluate(other, root, "set", side=128, seed=1, max_clicks=1, progress=False)
    assert other.views != views.views
    whole = Views()
    evaluate(whole, root, "set", side=400, max_clicks=1, progress=False)
    assert whole.views == [None] * 3


def test_mean_and_median_after_one_click(root, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "gpcis_training.evaluation.jobs.create_predictor", lambda *_: Views()
    )
    output = tmp_path / "views.json"
    arguments = ["peer:watershed", "--root", root, "--set", "set", "-o", output]
    assert command(*arguments, "--first-view", 256, 64) == 0
    text = capsys.readouterr().out
    rows = rows_of(text)
    assert [row["First view"] for row in rows] == [
        "256 px window, off centre",
        "64 px window, off centre",
    ]
    # squares of 20, 30 and 40 pixels on objects of 40 x 40, the last a pixel beside it
    ious = [20**2 / 40**2, 30**2 / 40**2, 39**2 / (2 * 40**2 - 39**2)]
    for result, row in zip(load_results(output), rows, strict=True):
        assert [run.ious for run in result.runs] == [(iou,) for iou in ious]
        assert median_iou(result) == ious[1]
        assert row["IoU&1"].startswith(f"{np.mean(ious):.2f} ± ")
        assert row["median IoU&1"] == f"{ious[1]:.2f}"
        assert row["Objects"] == "3"
    assert "**set**" not in text
    assert command(*arguments[:-2], "--first-view", 64, "--max-clicks", 2) == 0
    assert "NoC@85" in rows_of(capsys.readouterr().out)[0]


def test_views_are_compared_by_the_first_click(root, capsys):
    arguments = ["peer:watershed", "--peer", "grabcut", "--root", root]
    assert command(*arguments, "--set", "set", "--first-view", 64) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith(
        "set, 64 px window, off centre: IoU&1 of peer:watershed - peer:grabcut: "
    )


def test_other_views_are_left_out_of_the_table(root):
    result = evaluate("peer:watershed", root, "set", max_clicks=1, progress=False)
    shifted = evaluate("peer:watershed", root, "set", side=64, progress=False)
    assert len(rows_of(view_table([result, shifted]))) == 1


def test_a_view_must_show_something(root, capsys):
    arguments = ["peer:watershed", "--root", root, "--set", "set"]
    assert command(*arguments, "--first-view", 0) == 1
    assert "side of the first view must be at least 16 px" in capsys.readouterr().err


# -- planes --------------------------------------------------------------------


def write_images(folder, count=6, shape=(70, 90)):
    """Write dark images with bright squares, one of them dark on bright ground."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for index in range(count):
        labels = np.zeros(shape, np.uint8)
        labels[5:15, 5:15], labels[40:52, 40:52] = 3, 9
        labels[20:30, 60:90] = 12  # cut by the border of the image
        image = np.where(labels > 0, 20 + 30 * index, 10).astype(np.uint8)
        if index == 0:
            image = 255 - image
        for part, array in (("images", image), ("labels", labels)):
            imsave(folder / part / f"{index}.png", array, check_contrast=False)
    return folder


def test_tiles_are_stretched_and_labels_renumbered(tmp_path):
    folder = write_images(tmp_path)
    tiles = [Tile(f"{k}.png", f"{k}.png", 0, 0) for k in (1, 2, 3)]
    tiles.append(Tile("4.png", "4.png", 2, 5))
    image, labels = plane_image(folder, tiles, 64), plane_labels(folder, tiles, 64)
    assert image.shape == labels.shape == (128, 128)
    assert {*np.unique(image)} == {0, 255}
    assert ((image == 255) == (labels > 0)).all()
    assert {*np.unique(labels)} == {*range(13)}
    assert labels[10, 10] == 1
    assert labels[45, 64 + 45] == 5
    assert labels[64 + 45, 45] == 8
    assert labels[64 + 45 - 2, 64 + 45 - 5] == 11
    # the third object of each tile is cut by its border, and the shifted first one
    whole = whole_objects(labels, 64)
    assert {*np.unique(whole)} == {0, 1, 2, 4, 5, 7, 8, 11}
    assert (whole[whole > 0] == labels[whole > 0]).all()


def test_tiles_are_drawn_from_large_images_each_once():
    sizes = [(Tile(f"{k}", f"{k}", 0, 0), (60 + k, 80)) for k in range(10)]
    tiles = draw_tiles(sizes, 6, 64, np.random.default_rng(0))
    assert len({tile.image for tile in tiles}) == 6
    for tile in tiles:
        assert int(tile.image) >= 4
        assert 0 <= tile.top <= int(tile.image) - 4
        assert 0 <= tile.left <= 16
    with pytest.raises(InputError, match="at least 64 px must be 7 or more, got 6"):
        draw_tiles(sizes, 7, 64, np.random.default_rng(0))


def test_tiles_must_fit(tmp_path):
    folder = write_images(tmp_path)
    with pytest.raises(InputError, match=r"1\.png must have 64 x 64 pixels"):
        plane_image(folder, [Tile("1.png", "1.png", 30, 0)], 64)
    with pytest.raises(InputError, match="tiles must fill a square, got 2"):
        plane_labels(folder, [Tile("1.png", "1.png", 0, 0)] * 2, 64)


def test_planes_are_drawn_and_evaluated(tmp_path, monkeypatch):
    folder = write_images(tmp_path / "nuclei", 8)
    place = "gpcis_training.evaluation.datasets"
    monkeypatch.setattr(f"{place}.TILE", 64)
    monkeypatch.setattr(f"{place}.PLANE", 128)
    rule = DrawingRule(2, min_area=64, window=32)
    monkeypatch.setitem(RULES, "nuclei_planes", ("nuclei", rule))
    monkeypatch.setitem(PLANE_LISTS, "nuclei_planes", 1)
    path = tmp_path / "list.json"
    drawn = draw_list("nuclei_planes", tmp_path, path)
    assert drawn.form == PLANES
    assert [item.image for item in drawn.objects] == ["nuclei_planes/0"] * 2
    written = json.loads(path.read_text())
    assert "0.png" not in [tile[0] for tile in written["planes"]["0"]]
    monkeypatch.setattr(f"{place}.read_list", lambda _: written)
    loaded = load_objects("nuclei_planes")
    assert loaded == drawn
    areas = [(ground_truth(folder, item, PLANES) == 1).sum() for item in loaded.objects]
    assert {*areas} <= {100, 144}
    result = evaluate("peer:watershed", tmp_path, loaded, side=64, progress=False)
    assert min(run.ious[0] for run in result.runs) > 0.5


def test_the_planes_of_the_package_are_whole():
    data = read_list("dsb2018_planes")
    assert [len(tiles) for tiles in data["planes"].values()] == [16] * 4
    names = [tile[0] for tiles in data["planes"].values() for tile in tiles]
    assert len(set(names)) == 64
    assert {item.image.split("/")[1] for item in load_objects("dsb2018_planes").objects}
