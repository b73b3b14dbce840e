"""Files of any kind become planes; what cannot be used is named."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from tifffile import imwrite

from _toy import toy_segmenter
from gpcis_training.data.folders import DataFolder, find_pairs
from gpcis_training.data.pairing import PairOfFiles, find_pairs_of_files
from gpcis_training.evaluation import DrawingRule
from gpcis_training.finetuning.options import (
    FinetuneOptions,
    make_config,
    make_options,
    view_window,
)
from gpcis_training.finetuning.prepare import (
    PlaneSource,
    PreparedData,
    StoredPlane,
    make_split,
    prepare_planes,
    read_split,
)
from gpcis_training.finetuning.reading import ReadingRule, read_planes
from gpcis_training.finetuning.validation import Validation
from napari_gpcis.checkpoints import InferenceSettings, ModelInfo
from napari_gpcis.errors import InputError
from training._label_files import disks, write, write_set

GREY, LABELS = disks()
RGB = np.stack([GREY, GREY // 2, 255 - GREY], axis=-1)
FOUR = np.stack([GREY, GREY * 0, GREY // 2, GREY // 3], axis=0).astype(np.uint16) * 99


def planes(tmp_path, image, labels, rule=None, names=("i.npy", "l.npy"), **options):
    pair = PairOfFiles(
        write(tmp_path / "images" / names[0], image, **options),
        (write(tmp_path / "labels" / names[1], labels),),
    )
    return list(read_planes(pair, rule or ReadingRule()))


@pytest.mark.parametrize(
    ("image", "name"),
    [
        (GREY, "i.png"),
        (GREY, "i.tif"),
        (GREY, "i.npy"),
        (GREY.astype(np.uint16) * 200 + 1000, "i.tif"),
        (GREY.astype(np.float32) / 7 - 3, "i.tif"),
        (GREY.astype(np.float64) * 1e-9, "i.npy"),
        (RGB, "i.png"),
        (RGB, "i.npy"),
        (RGB.transpose(2, 0, 1).copy(), "i.npy"),
        (RGB / np.float32(255), "i.npy"),
    ],
)
def test_planes_look_as_predicting_sees_them(tmp_path, image, name):
    (plane,) = planes(tmp_path, image, LABELS, names=(name, "l.png"))
    shown = image.transpose(1, 2, 0) if image.shape[0] == 3 else image
    prepared = toy_segmenter().prepare(shown).read(slice(None), slice(None))
    seen = np.broadcast_to(prepared, (3, *LABELS.shape)).transpose(1, 2, 0)
    assert np.abs(plane.image / 255 - seen).max() <= 0.51 / 255
    np.testing.assert_array_equal(plane.labels[0], LABELS)


def test_jpeg_is_read(tmp_path):
    (plane,) = planes(tmp_path, RGB, LABELS, names=("i.jpg", "l.png"))
    assert plane.image.shape == (96, 96, 3)


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("shape", [(60, 90), (64, 64)])
def test_a_photograph_is_as_napari_shows_it_whatever_its_orientation(
    tmp_path, orientation, shape
):
    """Labels that were drawn in napari lie on the pixels as they are stored."""
    stored = np.zeros((*shape, 3), np.uint8)
    stored[5:15, 8:30] = 200
    labels = (stored[..., 0] > 0).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "images").mkdir()
    Image.fromarray(stored).save(tmp_path / "images" / "i.png", exif=exif)
    file = write(tmp_path / "labels" / "l.png", labels)
    pair = PairOfFiles(tmp_path / "images" / "i.png", (file,))
    (plane,) = read_planes(pair, ReadingRule())
    np.testing.assert_array_equal(plane.image, stored)
    np.testing.assert_array_equal(plane.labels[0], labels)


def test_labels_of_the_turned_photograph_are_told_by_their_shape(tmp_path):
    """``napari-gpcis segment`` turns a photograph, and its labels with it."""
    stored = np.zeros((60, 90, 3), np.uint8)
    stored[5:15, 8:30] = 200
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "images").mkdir()
    Image.fromarray(stored).save(tmp_path / "images" / "i.png", exif=exif)
    turned = np.rot90(stored, -1)
    labels = (turned[..., 0] > 0).astype(np.uint8)
    file = write(tmp_path / "labels" / "l.png", labels)
    pair = PairOfFiles(tmp_path / "images" / "i.png", (file,))
    (plane,) = read_planes(pair, ReadingRule())
    np.testing.assert_array_equal(plane.image, turned)


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        (LABELS.astype(np.int64) * 70_000, "l.npy"),
        (LABELS.astype(np.uint32) + 0, "l.tif"),
        (LABELS.astype(np.float32), "l.tif"),
        (LABELS[None], "l.npy"),
        (np.repeat(LABELS[..., None], 3, axis=-1), "l.png"),
    ],
)
def test_labels_of_any_kind_are_numbered_from_one(tmp_path, labels, name):
    (plane,) = planes(tmp_path, GREY, labels, names=("i.png", name))
    np.testing.assert_array_equal(plane.labels[0], LABELS)


def test_palette_pictures_give_their_indices(tmp_path):
    picture = Image.fromarray(LABELS, mode="P")
    picture.putpalette([0, 0, 0, 200, 0, 0, 0, 90, 10])
    (tmp_path / "labels").mkdir()
    picture.save(tmp_path / "labels" / "l.png")
    image = write(tmp_path / "images" / "l.png", GREY)
    pair = PairOfFiles(image, (tmp_path / "labels" / "l.png",))
    (plane,) = read_planes(pair, ReadingRule())
    np.testing.assert_array_equal(plane.labels[0], LABELS)


def test_stacks_are_many_planes_and_those_without_labels_are_passed_over(tmp_path):
    labels = np.stack([LABELS, LABELS * 0, LABELS])
    found = planes(tmp_path, np.stack([GREY, GREY, GREY // 2]), labels)
    assert [plane.name for plane in found] == ["i.npy[0]", "i.npy[2]"]


def test_a_stack_with_channels_anywhere(tmp_path):
    stack = np.stack([FOUR, FOUR])  # planes, channels, rows, columns
    rule = ReadingRule(channels=(0, 2))
    first, _ = planes(tmp_path, stack, np.stack([LABELS, LABELS]), rule)
    last = np.moveaxis(stack, 1, -1)
    again, _ = planes(tmp_path, last, np.stack([LABELS, LABELS]), rule)
    np.testing.assert_array_equal(first.image, again.image)
    prepared = (
        toy_segmenter().prepare(last[0], channels=(0, 2)).read(slice(None), slice(None))
    )
    assert np.abs(first.image[..., 0] / 255 - prepared[0]).max() < 0.51 / 255


def test_a_declared_channel_axis_of_a_tiff_is_found(tmp_path):
    options = {"metadata": {"axes": "CYX"}, "photometric": "minisblack"}
    rule = ReadingRule(channels=(1,))
    (plane,) = planes(
        tmp_path, FOUR, LABELS, rule, names=("i.ome.tif", "l.png"), **options
    )
    assert plane.image.max() == 0  # channel 1 is black throughout


def test_several_annotators_and_pieces_of_one_id(tmp_path):
    image = write(tmp_path / "i.png", GREY)
    first = write(tmp_path / "i__0.png", (LABELS > 0).astype(np.uint8) * 255)
    second = write(tmp_path / "i__1.png", LABELS)
    pair = PairOfFiles(image, (first, second))
    (plane,) = read_planes(pair, ReadingRule())
    np.testing.assert_array_equal(plane.labels[0], LABELS)
    (plane,) = read_planes(pair, ReadingRule(components="never"))
    assert plane.labels[0].max() == 1
    assert plane.labels[1].max() == 2


@pytest.mark.parametrize(
    ("image", "labels", "message"),
    [
        (GREY[:-1], LABELS, r"shape \(95, 96\) does not fit that of its labels"),
        (GREY, LABELS * 0, "labels are empty"),
        (np.full(LABELS.shape, np.nan), LABELS, "NaN"),
        (GREY, LABELS + 0.5, "not whole numbers"),
        (GREY, LABELS.astype(int) - 1, "must be 0 or above"),
        (np.stack([GREY] * 30), LABELS, "does not fit"),
        (FOUR, LABELS, "channels must name up to three of the 4 channels"),
        (GREY, np.stack([LABELS, LABELS * 0, LABELS], -1), "colour picture"),
    ],
)
def test_what_cannot_be_used_is_explained(tmp_path, image, labels, message):
    with pytest.raises(InputError, match=message):
        planes(tmp_path, image, labels)


def test_pairs_by_name_with_endings_and_annotators(tmp_path):
    for name in ("a.tif", "b.png", "c.png"):
        write(tmp_path / "images" / name, GREY)
    names = ("a.npy", "b_labels__0.png", "b_labels__1.png", "unrelated.png")
    for name in names:
        write(tmp_path / "labels" / name, LABELS)
    pairs, alone = find_pairs_of_files(tmp_path / "images", tmp_path / "labels")
    assert [(p.image.name, [f.name for f in p.labels]) for p in pairs] == [
        ("a.tif", ["a.npy"]),
        ("b.png", ["b_labels__0.png", "b_labels__1.png"]),
    ]
    assert alone == ["c.png"]


def test_images_and_labels_in_one_folder(tmp_path):
    for name in ("x.png", "x_masks.png", "y.png", "y_masks.png"):
        write(tmp_path / name, GREY)
    pairs, alone = find_pairs_of_files(tmp_path, tmp_path)
    assert [(p.image.name, p.labels[0].name) for p in pairs] == [
        ("x.png", "x_masks.png"),
        ("y.png", "y_masks.png"),
    ]
    assert alone == []


@pytest.mark.parametrize("stems", [("exp", "exp__2"), ("day__01", "day__02")])
@pytest.mark.parametrize(
    ("ending", "folders"),
    [("_masks", ("both", "both")), ("_masks", ("i", "l")), ("", ("i", "l"))],
)
def test_a_label_whose_own_image_exists_belongs_to_that(
    tmp_path, stems, ending, folders
):
    images, labels = (tmp_path / folder for folder in folders)
    for stem in stems:
        write(images / f"{stem}.tif", GREY)
        write(labels / f"{stem}{ending}.png", LABELS)
    pairs, alone = find_pairs_of_files(images, labels)
    found = {p.image.stem: [path.stem for path in p.labels] for p in pairs}
    assert found == {stem: [f"{stem}{ending}"] for stem in stems}
    assert alone == []


def test_annotators_of_an_image_with_a_double_underscore(tmp_path):
    for stem in ("exp", "exp__2"):
        write(tmp_path / "i" / f"{stem}.tif", GREY)
        for annotator in ("0", "1"):
            write(tmp_path / "l" / f"{stem}__{annotator}.png", LABELS)
            write(tmp_path / "m" / f"{stem}_masks__{annotator}.png", LABELS)
    for folder, ending in (("l", ""), ("m", "_masks")):
        pairs, _ = find_pairs_of_files(tmp_path / "i", tmp_path / folder)
        assert [[path.stem for path in pair.labels] for pair in pairs] == [
            [f"exp{ending}__0", f"exp{ending}__1"],
            [f"exp__2{ending}__0", f"exp__2{ending}__1"],
        ]


def test_names_within_names_are_not_confused(tmp_path):
    for stem in ("bee", "honeybee", "bee_seg"):
        write(tmp_path / "i" / f"{stem}.tif", GREY)
        write(tmp_path / "l" / f"{stem}_labels.png", LABELS)
    pairs, alone = find_pairs_of_files(tmp_path / "i", tmp_path / "l")
    assert [[path.stem for path in pair.labels] for pair in pairs] == [
        ["bee_labels"],
        ["bee_seg_labels"],
        ["honeybee_labels"],
    ]
    assert alone == []


def test_ome_in_the_name_of_the_image(tmp_path):
    imwrite(tmp_path / "a.ome.tif", GREY)
    write(tmp_path / "b.tif", GREY)
    write(tmp_path / "a_cp_masks.png", LABELS)
    write(tmp_path / "b.labels.tif", LABELS)
    pairs, _ = find_pairs_of_files(tmp_path, tmp_path)
    assert [(p.image.name, p.labels[0].name) for p in pairs] == [
        ("a.ome.tif", "a_cp_masks.png"),
        ("b.tif", "b.labels.tif"),
    ]


@pytest.mark.parametrize("masks", ["_cp_masks.png", "_masks.tif", None])
def test_the_folder_of_cellpose(tmp_path, masks):
    for stem in ("a", "b"):
        write(tmp_path / f"{stem}.tif", GREY)
        content = {"masks": LABELS * (1 if masks is None else 0), "filename": stem}
        np.save(tmp_path / f"{stem}_seg.npy", np.array(content))
        if masks is not None:
            write(tmp_path / f"{stem}{masks}", LABELS)
    pairs, alone = find_pairs_of_files(tmp_path, tmp_path)
    ending = masks or "_seg.npy"
    assert [[path.name for path in pair.labels] for pair in pairs] == [
        [f"a{ending}"],
        [f"b{ending}"],
    ]
    assert alone == []
    (plane,) = read_planes(pairs[0], ReadingRule())
    np.testing.assert_array_equal(plane.labels[0], LABELS)


def test_double_underscores_in_a_training_set(tmp_path):
    for stem in ("a__b", "a", "c__d__e"):
        write(tmp_path / "images" / f"{stem}.png", GREY)
    for stem in ("a__b", "a__0", "a__1", "c__d__e__0"):
        write(tmp_path / "labels" / f"{stem}.png", LABELS)
    found = {pair.image.stem: len(pair.labels) for pair in find_pairs(tmp_path)}
    assert found == {"a__b": 1, "a": 2, "c__d__e": 1}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.csv", "image; labels\na.png;one.png\na.png;two.png\n"),
        ("p.csv", "image, labels\na.png, one.png\na.png, two.png\n"),
        ("p.json", '{"a.png": ["one.png", "two.png"]}'),
        ("p.json", '[{"image": "a.png", "labels": ["one.png", "two.png"]}]'),
    ],
)
def test_pairs_from_a_file(tmp_path, name, text):
    write(tmp_path / "a.png", GREY)
    for label in ("one.png", "two.png"):
        write(tmp_path / "labels" / label, LABELS)
    (tmp_path / name).write_text(text)
    ((image, labels),), _ = find_pairs_of_files(
        tmp_path, tmp_path / "labels", tmp_path / name
    )
    assert image.name == "a.png"
    assert [path.name for path in labels] == ["one.png", "two.png"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.csv", "a,b\n1,2\n", "must have a column 'image'"),
        ("p.csv", "image,labels\n", "names no image"),
        ("p.csv", "image,labels\nno.png,no.png\n", "2 missing files"),
        ("p.json", "{", "cannot be read"),
        ("p.json", "3", "expected a mapping"),
        ("p.json", '{"a.png": 3}', "expected file names"),
    ],
)
def test_bad_pairings_are_explained(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        find_pairs_of_files(tmp_path, tmp_path, tmp_path / name)


def test_folders_without_a_pair_are_explained(tmp_path):
    write(tmp_path / "images" / "a.png", GREY)
    (tmp_path / "labels").mkdir()
    with pytest.raises(InputError, match=r"images: a\.png.*CSV"):
        find_pairs_of_files(tmp_path / "images", tmp_path / "labels")
    with pytest.raises(InputError, match="labels must be a folder"):
        find_pairs_of_files(tmp_path / "images", tmp_path / "nowhere")


def prepared(names, side=20, shape=(96, 96)):
    return PreparedData(
        tuple(
            StoredPlane(name, f"{k:05d}", shape, (side**2,) * 2, (side,) * 2, 1)
            for k, name in enumerate(names)
        ),
        (),
        len(names),
    )


def test_split_keeps_files_together_and_repeats(tmp_path):
    names = [f"s{k}.tif[{plane}]" for k in range(10) for plane in range(3)]
    split = make_split(prepared(names), seed=4)
    assert split == make_split(prepared(names), seed=4)
    assert split != make_split(prepared(names), seed=5)
    assert len(split.val) == 6
    files = [{name.split("[")[0] for name in part} for part in (split.train, split.val)]
    assert not files[0] & files[1]
    assert sorted((*split.train, *split.val)) == sorted(names)


def test_split_of_one_stack_takes_its_last_planes():
    split = make_split(prepared([f"z.tif[{k}]" for k in range(10)]), seed=0)
    assert split.val == ("z.tif[8]", "z.tif[9]")


def test_given_splits_name_planes_or_files(tmp_path):
    found = prepared(["a.tif[0]", "a.tif[1]", "b.png", "c.png"])
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"train": ["a.tif"], "val": ["b.png"]}))
    split = read_split(path, found)
    assert split.train == ("a.tif[0]", "a.tif[1]")
    assert split.val == ("b.png",)
    path.write_text(json.dumps({"split": split.to_dict()}))  # a record of a model
    assert read_split(path, found).train == split.train


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"train": ["a.png"], "val": ["x.png"]}, r"unknown images: \['x.png'\]"),
        ({"train": ["a.png"], "val": ["a.png"]}, "disjoint"),
        ({"train": ["a.png"], "val": []}, "not empty"),
        ({"train": ["a.png"]}, "lists train and val"),
        ([1], "lists train and val"),
    ],
)
def test_bad_splits_are_explained(tmp_path, content, message):
    path = tmp_path / "split.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        read_split(path, prepared(["a.png", "b.png"]))


def test_gathered_planes_are_a_data_folder_and_problems_are_kept(tmp_path):
    root = write_set(tmp_path / "set", 3)
    (root / "images" / "cell 1.png").write_bytes(b"\x89PNG\r\n broken")
    pairs, _ = find_pairs_of_files(root / "images", root / "labels")
    sources = [
        PlaneSource(p.image.name, lambda p=p: read_planes(p, ReadingRule()))
        for p in pairs
    ]
    found = prepare_planes(sources, tmp_path / "data")
    assert [plane.name for plane in found.planes] == ["cell 0.png", "cell 2.png"]
    (problem,) = found.problems
    assert problem.file == "cell 1.png"
    assert "cannot be read" in problem.reason
    assert len(DataFolder(tmp_path / "data" / "all").pairs) == 2
    assert found.objects == 4
    assert all(24 < side < 34 for plane in found.planes for side in plane.sides)


def test_a_stack_that_fails_half_way_leaves_nothing(tmp_path):
    bad = np.stack([GREY, GREY]).astype(float)
    bad[1] = np.nan  # some pixels without a value would be worked around
    labels = np.stack([LABELS, LABELS])
    write(tmp_path / "images" / "a.npy", bad)
    write(tmp_path / "images" / "b.npy", np.stack([GREY, GREY, GREY]))
    write(tmp_path / "labels" / "a.npy", labels)
    write(tmp_path / "labels" / "b.npy", np.stack([LABELS] * 3))
    pairs, _ = find_pairs_of_files(tmp_path / "images", tmp_path / "labels")
    sources = [
        PlaneSource(p.image.name, lambda p=p: read_planes(p, ReadingRule()))
        for p in pairs
    ]
    found = prepare_planes(sources, tmp_path / "data")
    assert [plane.name for plane in found.planes] == [f"b.npy[{k}]" for k in range(3)]
    assert len(list((tmp_path / "data/all/images").iterdir())) == 3
    assert len(list((tmp_path / "data/all/labels").iterdir())) == 3


def test_a_single_image_is_cut_in_two(tmp_path):
    image, labels = np.tile(GREY, (1, 4)), np.tile(LABELS, (1, 4))
    write(tmp_path / "images" / "a.png", image)
    write(tmp_path / "labels" / "a.png", labels)
    pairs, _ = find_pairs_of_files(tmp_path / "images", tmp_path / "labels")
    sources = [PlaneSource("a.png", lambda: read_planes(pairs[0], ReadingRule()))]
    found = prepare_planes(sources, tmp_path / "data")
    assert [plane.shape for plane in found.planes] == [(96, 288), (96, 96)]
    split = make_split(found, 0)
    assert (len(split.train), len(split.val)) == (1, 1)
    assert "cut in two" in split.how


def test_defaults_follow_the_images():
    small = prepared([f"{k}.png" for k in range(10)], side=20, shape=(512, 512))
    large = prepared([f"{k}.png" for k in range(40)], side=300, shape=(1000, 1000))
    assert (view_window(small), view_window(large)) == (256, 608)
    info = ModelInfo("start", "mobilenet_v2", {"basis": 64}, licence="CC0")
    few, many = (
        make_config(FinetuneOptions(), found, make_split(found, 0), info)
        for found in (small, large)
    )
    assert few.augment.ratio[0] == 0.5
    assert many.augment.ratio[0] == pytest.approx(0.608)
    assert many.steps > few.steps
    assert few.frozen_statistics
    assert (few.network, few.options, few.licence) == (
        "mobilenet_v2",
        {"basis": 64},
        "CC0",
    )
    chosen = make_options({"lr": 1e-4, "steps": 7, "size": 128, "union": 0.5})
    config = make_config(chosen, small, make_split(small, 0), info)
    assert (config.optimiser.lr, config.steps, config.augment.size) == (1e-4, 7, 128)
    assert config.data[0].union == 0.5
    assert config.iteration == "carry"


def test_clicks_of_a_model_whose_frames_stay_share_an_encoding():
    found = prepared([f"{k}.png" for k in range(10)], side=20, shape=(512, 512))
    stay = InferenceSettings(frames="stay")
    info = ModelInfo("start", "efficientnet_lite0", inference=stay)
    config = make_config(FinetuneOptions(), found, make_split(found, 0), info)
    assert (config.iteration, config.unrolled_clicks) == ("unroll", 4)
    assert len(config.click_weights) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stpes": 3}, r"unknown options \['stpes'\]"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"on_error": "ignore"}, "on_error must be one of"),
        ({"max_minutes": float("nan")}, "max_minutes must be a number above 0"),
        ({"union": 1.5}, "union must be between 0 and 1"),
        ({"channels": "red"}, "channels must be integers"),
    ],
)
def test_bad_options_are_explained(options, message):
    with pytest.raises(InputError, match=message):
        make_options(options)


def test_validation_draws_parts_and_wholes(tmp_path):
    root = write_set(tmp_path / "val", 3).parent
    rule = DrawingRule(per_image=2, min_area=64, window=256)
    assert len(Validation.draw(root, rule, union=False).objects) == 6
    both = Validation.draw(root, rule, union=True)
    assert len(both.objects) == 9
    assert [item.image for item in both.subset(3)] == [
        "cell 0.png",
        "cell 1.png",
        "cell 0.png",
    ]
    with pytest.raises(InputError, match="no object of at least 100000 pixels"):
        Validation.draw(root, DrawingRule(min_area=100_000), union=False)


def test_an_ome_stack_without_channels(tmp_path):
    path = tmp_path / "images" / "s.ome.tif"
    path.parent.mkdir()
    imwrite(path, np.stack([GREY, GREY]), metadata={"axes": "TYX"})
    label = write(tmp_path / "labels" / "s.npy", np.stack([LABELS, LABELS]))
    found = list(read_planes(PairOfFiles(path, (label,)), ReadingRule()))
    assert [plane.index for plane in found] == [0, 1]
