"""Colours of objects: seen on the image, and one of them lighter for a while."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.colormaps import CyclicLabelColormap, label_colormap

from napari_gpcis.plugin.viewer.layers import new_labels
from napari_gpcis.plugin.viewer.palette import (
    FEWEST,
    OBJECT_COLOURS,
    Fill,
    ObjectColormap,
    colormap_of,
    colours_for,
    far_from,
)

VIOLET = (0.42, 0.20, 0.62)
PINK = (0.85, 0.65, 0.80)


def hues(colours: tuple[str, ...]) -> np.ndarray:
    return np.array([[int(one[k : k + 2], 16) for k in (1, 3, 5)] for one in colours])


def test_dark_images_take_all_colours() -> None:
    assert far_from(np.zeros((0, 3))) == OBJECT_COLOURS
    assert far_from(np.zeros((50, 3))) == OBJECT_COLOURS
    grey = np.repeat(np.linspace(0, 0.5, 60)[:, None], 3, axis=1)
    assert len(far_from(grey)) > 6


def test_purple_stain_gets_no_violet() -> None:
    pixels = np.array([VIOLET] * 40 + [PINK] * 60)
    chosen = far_from(pixels)
    assert len(chosen) >= FEWEST
    assert not {"#a970ff", "#d3b8ff", "#ff9ed8", "#ff3df2"} & set(chosen)
    assert "#7dff3d" in chosen


@pytest.mark.parametrize("colour", [(0, 1, 0), (1, 0, 0), (1, 1, 1), (1, 0.93, 0.2)])
def test_colours_near_the_image_are_left_out(colour) -> None:
    chosen = hues(far_from(np.array([colour] * 20)))
    away = np.linalg.norm(chosen / 255 - np.array(colour), axis=1)
    assert away.min() > 0.45


def test_colours_that_are_rare_in_the_image_do_not_matter() -> None:
    pixels = np.zeros((1000, 3))
    pixels[:10] = VIOLET
    assert far_from(pixels) == OBJECT_COLOURS


def test_at_least_a_few_colours_are_left() -> None:
    random = np.random.default_rng(0)
    assert len(far_from(random.uniform(0, 1, (2000, 3)))) == FEWEST


def test_an_image_is_judged_as_it_is_shown() -> None:
    viewer = ViewerModel()
    random = np.random.default_rng(1)
    grey = viewer.add_image(random.uniform(0, 90, (64, 64)), contrast_limits=(0, 255))
    plain = colours_for(viewer, grey)
    assert "#7dff3d" in plain
    green = viewer.add_image(np.full((64, 64), 255), colormap="green", opacity=1)
    assert "#7dff3d" not in colours_for(viewer, green)
    green.visible = False
    assert colours_for(viewer, grey) == plain


# -- one colour lighter ------------------------------------------------------------


def alphas(labels, ids) -> list[float]:
    return [round(float(labels.get_color(one)[3]), 3) for one in ids]


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int16, np.int64])
@pytest.mark.parametrize("own", [True, False])
def test_one_label_becomes_lighter_and_whole_again(dtype, own) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((20, 20)))
    data = np.arange(400, dtype=np.int64).reshape(20, 20) % 120
    if own:
        labels = new_labels(viewer, image, data.astype(dtype))
    else:
        labels = viewer.add_labels(data.astype(dtype), colormap=label_colormap(49))
    before = [labels.get_color(one).copy() for one in range(1, 100)]
    fill = Fill(labels)
    fill.lighten(7, 0.3)
    assert alphas(labels, (6, 7, 8, 56, 19)) == [1, 0.3, 1, 1, 1]
    fill.lighten(8, 0)
    assert alphas(labels, (6, 7, 8, 57, 20)) == [1, 1, 0, 1, 1]
    fill.close()
    after = [labels.get_color(one) for one in range(1, 100)]
    np.testing.assert_allclose(after, before)


def test_a_label_beyond_the_table_is_alone_as_well() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((20, 20)))
    labels = new_labels(viewer, image)
    labels.data[:] = 1
    near = labels.get_color(1000)[:3].copy()
    fill = Fill(labels)
    fill.lighten(1000, 0.2)
    others = range(1000 % 240, 1000, 12)
    assert alphas(labels, (1000, *others)) == [0.2] + [1] * len(others)
    np.testing.assert_allclose(labels.get_color(1000)[:3], near)
    fill.close()
    assert alphas(labels, (1000,)) == [1]


def test_colours_that_the_user_chooses_meanwhile_stay() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((20, 20)))
    labels = new_labels(viewer, image)
    fill = Fill(labels)
    fill.lighten(3, 0.3)
    labels.new_colormap()
    colours = [labels.get_color(one)[:3].copy() for one in range(1, 60)]
    wanted = [0.3 if one == 3 else 1 for one in range(1, 60)]
    assert alphas(labels, range(1, 60)) == wanted
    fill.close()
    assert alphas(labels, range(1, 60)) == [1] * 59
    after = [labels.get_color(one)[:3] for one in range(1, 60)]
    np.testing.assert_allclose(after, colours)


def test_colours_chosen_label_by_label_are_left_alone() -> None:
    viewer = ViewerModel()
    labels = viewer.add_labels(np.ones((20, 20), np.int32))
    labels.colormap = {None: "red", 1: "blue", 2: "green"}
    fill = Fill(labels)
    fill.lighten(1, 0.2)
    assert alphas(labels, (1, 2, 3)) == [1, 1, 1]
    fill.close()
    np.testing.assert_allclose(labels.get_color(1), (0, 0, 1, 1))


def scattered(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Labels of few pixels, with ids beyond the table, and below 0 if there are any."""
    random = np.random.default_rng(3)
    labels = np.zeros(shape, dtype=dtype)
    where = random.uniform(size=shape) < 0.001
    labels[where] = random.integers(1, 70_000, where.sum())
    if np.issubdtype(labels.dtype, np.signedinteger):
        labels.flat[5] = -3
    labels[: shape[0] // 2] = 0
    return labels


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint16", "int8"])
@pytest.mark.parametrize("many", [0, 300])
@pytest.mark.parametrize("selection", [None, 0, 7])
@pytest.mark.parametrize("background", [0, 5])
def test_labels_are_mapped_as_by_napari(dtype, many, selection, background) -> None:
    colours = np.random.default_rng(0).uniform(size=(many, 4))
    table = np.concatenate([colormap_of(OBJECT_COLOURS).colors, colours])
    options = {"background_value": background, "use_selection": selection is not None}
    ours, theirs = (
        kind(table, selection=selection or 0, **options)
        for kind in (ObjectColormap, CyclicLabelColormap)
    )
    flat = scattered((900, 700), "int32" if dtype == "int8" else dtype).astype(dtype)
    solid = scattered((40, 90, 70), "int32" if dtype == "int8" else dtype).astype(dtype)
    pieces = flat, flat.T, flat[::2, 3:], solid, solid.transpose(1, 2, 0), flat[0]
    for labels in (*pieces, labels_of_one(flat)):
        found, wanted = ours._data_to_texture(labels), theirs._data_to_texture(labels)
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


def labels_of_one(labels: np.ndarray) -> np.integer:
    """One label, as napari maps the selected one."""
    return labels.max()


def test_an_empty_plane_is_hardly_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    mapped: list[int] = []
    theirs = CyclicLabelColormap._data_to_texture

    def counted(self: CyclicLabelColormap, values: np.ndarray) -> np.ndarray:
        mapped.append(np.size(values))
        return theirs(self, values)

    monkeypatch.setattr(CyclicLabelColormap, "_data_to_texture", counted)
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((3000, 2000), dtype=np.uint8))
    labels = new_labels(viewer, image)
    assert mapped
    assert sum(mapped) < 1000
    mapped.clear()
    labels.data[1500:1510, 700:710] = 260
    Fill(labels).lighten(260, 0.3)  # needs a longer table: all is mapped anew
    labels.refresh()
    assert 100 <= max(mapped) <= sum(mapped) < labels.data.size / 8
    assert labels._slice.image.view[1505, 705] == 260
    assert np.count_nonzero(labels._slice.image.view) == 100
