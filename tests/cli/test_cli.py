"""The command line: the same session underneath, and one line for every mistake."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from imageio.v3 import imread, imwrite
from PIL import Image
from tifffile import imread as read_tiff
from tifffile import imwrite as write_tiff

from napari_gpcis import Segmenter, Session, Tidy
from napari_gpcis.checkpoints import ModelInfo, save_checkpoint
from napari_gpcis.cli import main
from napari_gpcis.export import Calibration
from napari_gpcis.export import write_tiff as export_tiff
from napari_gpcis.imagefiles import (
    ZarrAxes,
    read_label_file,
    tiff_sizes,
    write_zarr,
    zarr_axes,
)
from napari_gpcis.model.gpcis import build_model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that has learnt nothing; only the clicks decide."""
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_model("mobilenet_v2")
    save_checkpoint(path, network, ModelInfo("small", "mobilenet_v2"))
    return str(path)


def disk(row: int, col: int, shape: tuple[int, int] = (90, 120)) -> np.ndarray:
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    return (rows - row) ** 2 + (cols - col) ** 2 <= 15**2


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "cells.tif"
    noise = np.random.default_rng(0).integers(0, 40, (90, 120))
    picture = noise + 150 * disk(30, 30) + 120 * disk(60, 80)
    write_tiff(path, picture.astype(np.uint8))
    return path


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "labels.tif"


def segment(
    image: Path, output: Path, model: str, *more: str, click: str = "30,30"
) -> int:
    words = ["segment", str(image), "-o", str(output), "--model", model]
    return main([*words, *(["--click", click] if click else []), *more])


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line on standard error."""
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("napari-gpcis")
    return lines[0]


def test_alternatives_are_listed_written_and_chosen(
    image: Path, output: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(image, output, model, "--alternatives") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "IoU" in line]
    session = Session(Segmenter.from_pretrained(model, device="cpu"), read_tiff(image))
    session.add_click(30, 30)
    expected = session.alternatives()
    assert len(lines) == len(expected) > 1
    for place, (line, one) in enumerate(zip(lines, expected, strict=True)):
        assert line.startswith(f"  alternative {place}: {one.area} pixels")
        if place:
            file = output.with_name(f"labels-object1-alternative{place}.tif")
            assert (read_tiff(file) == one.mask).all()
    second = output.with_name("second.tif")
    assert segment(image, second, model, "--choose", "1") == 0
    assert ((read_tiff(second) == 1) == expected[1].mask).all()
    capsys.readouterr()
    assert segment(image, second, model, "--overwrite", "--choose", "40") == 2
    assert "index must be one of 0 to" in complaint(capsys)
    kept = read_tiff(output)
    output.unlink()
    assert segment(image, output, model, "--alternatives") == 2
    assert "exists; --overwrite replaces it" in complaint(capsys)
    assert not output.exists()
    assert segment(image, output, model, "--alternatives", "--overwrite") == 0
    assert (read_tiff(output) == kept).all()


def test_labels_are_those_of_the_session(
    image: Path, output: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    clicks = [
        "--click",
        "60,80,-",
        "--next",
        "--click",
        "60.4,80",
        "--click",
        "30,30,-",
    ]
    assert segment(image, output, model, *clicks) == 0
    session = Session(Segmenter.from_pretrained(model, device="cpu"), read_tiff(image))
    session.add_click(30, 30)
    session.add_click(60, 80, positive=False)
    session.accept()
    session.add_click(60.4, 80)
    session.add_click(30, 30, positive=False)
    session.accept()
    labels = read_tiff(output)
    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(labels, session.labels)
    assert labels[30, 30] == 1
    assert labels[60, 80] == 2
    counts = np.bincount(labels.ravel())
    assert capsys.readouterr().out.splitlines() == [
        f"object 1: 2 clicks, {counts[1]} pixels",
        f"object 2: 2 clicks, {counts[2]} pixels",
        f"wrote {output}",
    ]


@pytest.mark.parametrize("suffix", [".png", ".npy", ".tiff"])
def test_output_formats(image: Path, output: Path, model: str, suffix: str) -> None:
    assert segment(image, output, model) == 0
    other = output.with_suffix(suffix)
    assert segment(image, other, model) == 0
    read = {".png": imread, ".npy": np.load, ".tiff": read_tiff}[suffix]
    np.testing.assert_array_equal(read(other), read_tiff(output))


def test_input_formats_give_the_same_labels(
    image: Path, tmp_path: Path, model: str
) -> None:
    picture = read_tiff(image)
    grey_alpha = np.dstack([picture, np.full_like(picture, 255)])
    imwrite(tmp_path / "grey.png", picture)
    imwrite(tmp_path / "alpha.png", grey_alpha)
    np.save(tmp_path / "array.npy", picture)
    np.save(tmp_path / "stack.npy", np.stack([picture.T, picture.T])[:, :, :90])
    write_tiff(tmp_path / "stack.tif", np.stack([picture * 0, picture]))
    write_tiff(
        tmp_path / "channels.tif",
        np.stack([picture, picture * 0]),
        imagej=True,
        metadata={"axes": "CYX"},
    )
    cases: dict[str, tuple[str, ...]] = {
        "cells.tif": (),
        "grey.png": (),
        "alpha.png": (),
        "array.npy": (),
        "stack.tif": ("--plane", "1"),
        "channels.tif": ("--channels", "0"),
    }
    results = {}
    for name, more in cases.items():
        output = tmp_path / f"{name}.labels.npy"
        assert segment(tmp_path / name, output, model, *more) == 0, name
        results[name] = np.load(output)
    for name, labels in results.items():
        np.testing.assert_array_equal(labels, results["cells.tif"], err_msg=name)


def test_view_contrast_and_threshold_reach_the_session(
    image: Path, output: Path, model: str
) -> None:
    options = ["--view", "10,10,60,60", "--contrast=-5,90", "--threshold", "0.4"]
    assert segment(image, output, model, *options) == 0
    segmenter = Segmenter.from_pretrained(model, device="cpu")
    session = Session(segmenter, read_tiff(image), contrast=(-5, 90))
    session.view = (10, 10, 60, 60)
    session.threshold = 0.4
    session.add_click(30, 30)
    session.accept()
    np.testing.assert_array_equal(read_tiff(output), session.labels)


def test_tidying_reaches_the_session(image: Path, output: Path, model: str) -> None:
    made = {}
    for name, options, tidy in (
        ("default", [], Tidy()),
        ("none", ["--no-tidy"], None),
        (
            "other",
            ["--keep-pieces", "--smallest", "9", "--fill-holes=5", "--smooth=1.5"],
            Tidy(clicked=False, smallest=9, holes=5, smoothing=1.5),
        ),
    ):
        assert segment(image, output, model, *options, "--overwrite") == 0
        made[name] = read_tiff(output)
        segmenter = Segmenter.from_pretrained(model, device="cpu")
        session = Session(segmenter, read_tiff(image), tidy=tidy)
        session.add_click(30, 30)
        session.accept()
        np.testing.assert_array_equal(made[name], session.labels)
    assert (made["default"] != made["none"]).any()
    assert (made["other"] != made["none"]).any()


def test_earlier_labels_are_kept(
    image: Path, output: Path, model: str, tmp_path: Path
) -> None:
    earlier = np.where(disk(60, 80), 7, 0).astype(np.uint16)
    write_tiff(tmp_path / "earlier.tif", earlier)
    more = ["--labels", str(tmp_path / "earlier.tif")]
    assert segment(image, output, model, *more) == 0
    labels = read_tiff(output)
    assert (labels[earlier == 7] == 7).all()
    assert labels[30, 30] == 8


def test_labels_of_a_stack_follow_the_plane(
    image: Path, output: Path, model: str, tmp_path: Path
) -> None:
    picture = read_tiff(image)
    earlier = np.where(disk(60, 80), 7, 0).astype(np.float32)
    np.save(tmp_path / "stack.npy", np.stack([picture * 0, picture]))
    np.save(tmp_path / "earlier.npy", np.stack([earlier * 0, earlier]))
    more = ["--labels", str(tmp_path / "earlier.npy"), "--plane", "1"]
    assert segment(tmp_path / "stack.npy", output, model, *more) == 0
    labels = read_tiff(output)
    assert (labels[earlier == 7] == 7).all()
    assert labels[30, 30] == 8


def test_one_object_that_cannot_be_made_costs_itself(
    image: Path, output: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--next", "--click", "500,1", "--next", "--click", "60,80"]
    assert segment(image, output, model, *more, "--threshold", "0.9") == 1
    shown = capsys.readouterr()
    assert "left out: object 2: a click must lie inside" in shown.err
    labels = read_tiff(output)
    assert (labels[30, 30], labels[60, 80]) == (1, 2)


def test_a_turned_picture_is_told(
    image: Path, output: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exif = Image.Exif()
    exif[274] = 6
    turned = image.with_suffix(".jpg")
    Image.fromarray(read_tiff(image)).save(turned, exif=exif)
    assert segment(turned, output, model, click="80,30") == 0
    assert read_tiff(output).shape == (120, 90)
    assert "has an EXIF orientation" in capsys.readouterr().err


def test_prompts_replay(image: Path, output: Path, model: str, tmp_path: Path) -> None:
    prompts = tmp_path / "clicks.json"
    assert segment(image, output, model, "--prompts", str(prompts)) == 0
    segmenter = Segmenter.from_pretrained(model, device="cpu")
    session = Session.load(prompts, segmenter, read_tiff(image))
    np.testing.assert_array_equal(read_tiff(output), session.labels)


def test_an_existing_output_is_kept(
    image: Path, output: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output.write_bytes(b"precious")
    assert segment(image, output, model) == 2
    assert "exists; --overwrite replaces it" in complaint(capsys)
    assert output.read_bytes() == b"precious"
    assert segment(image, output, model, "--overwrite") == 0
    assert read_tiff(output)[30, 30] == 1


def test_the_image_is_never_the_output(
    image: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = image.read_bytes()
    assert segment(image, image, model, "--overwrite") == 2
    assert "is the image itself" in complaint(capsys)
    assert image.read_bytes() == before


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--prompts", "cells.tif"], "prompts cells.tif is the image itself"),
        (["--prompts", "labels.tif"], "prompts labels.tif is the output itself"),
        (
            ["--labels", "old.tif", "--prompts", "old.tif"],
            "prompts old.tif is the label image of --labels itself",
        ),
        (
            ["--alternatives", "--prompts", "labels-object1-alternative1.tif"],
            "alternative1.tif is the file of --prompts itself",
        ),
        (
            ["--alternatives", "--labels", "labels-object1-alternative1.tif"],
            "alternative1.tif is the label image of --labels itself",
        ),
        (["-o", "planes.tif", "--labels", "planes.tif", "--plane", "1"], "one plane"),
        (["-o", "folder.tif"], "output folder.tif is a folder"),
        (["--prompts", "folder"], "prompts folder is a folder"),
        (["--prompts", "nowhere/p.json"], "p.json: the folder nowhere does not exist"),
    ],
)
def test_no_file_of_the_command_replaces_another(
    image: Path,
    output: Path,
    model: str,
    more: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = image.parent
    monkeypatch.chdir(folder)
    for name in ("old.tif", "labels-object1-alternative1.tif"):
        write_tiff(folder / name, disk(60, 80).astype(np.uint8))
    write_tiff(folder / "planes.tif", np.zeros((2, 90, 120), np.uint8))
    (folder / "folder.tif").mkdir()
    (folder / "folder").mkdir()
    before = {
        path: path.read_bytes() for path in folder.glob("*.tif") if path.is_file()
    }
    assert segment(image, output, model, "--overwrite", *more) == 2
    assert told in complaint(capsys)
    assert before == {path: path.read_bytes() for path in before}
    assert not output.exists()


def test_the_model_is_not_replaced_by_clicks(
    image: Path, output: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(image, output, model, "--overwrite", "--prompts", model) == 2
    assert "is the model itself" in complaint(capsys)
    assert not output.exists()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("labels", "is the group of all labels: name one"),
        ("labels/cells/0", "cells; labels go to"),
        ("0", "is a part of"),
        ("", "is the image itself"),
    ],
)
@pytest.mark.parametrize("labels_first", [False, True])
def test_no_part_of_an_ome_zarr_image_is_replaced(
    tmp_path: Path,
    model: str,
    name: str,
    told: str,
    labels_first: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image = tmp_path / "image.zarr"
    write_zarr(image, 150 * disk(30, 30).astype(np.uint8))
    cells = image / "labels" / "cells"
    if labels_first or "cells" in name:
        assert segment(image, cells, model) == 0
        assert segment(image, cells, model, "--overwrite") == 0
    capsys.readouterr()
    before = {p: p.read_bytes() for p in image.rglob("*") if p.is_file()}
    assert segment(image, image / name, model, "--overwrite") == 2
    assert told in complaint(capsys)
    assert before == {p: p.read_bytes() for p in image.rglob("*") if p.is_file()}


def test_labels_may_be_continued_in_their_file(
    image: Path, output: Path, model: str
) -> None:
    write_tiff(output, 3 * disk(60, 80).astype(np.uint8))
    assert segment(image, output, model, "--labels", str(output), "--overwrite") == 0
    assert read_tiff(output)[60, 80] == 3
    assert read_tiff(output)[30, 30] == 4


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--click", "500,1"], "500"),
        (["--click", "10"], "must be ROW,COL"),
        (["--click", "a,b"], "must be ROW,COL"),
        (["--click", "nan,1"], "must be ROW,COL"),
        (["--click", "1,2,3"], "must be ROW,COL"),
        (["--next"], "object 2 has no clicks"),
        (["--model", "gpcis-enormous"], "unknown model 'gpcis-enormous'"),
        (["--model", "none.safetensors"], "none.safetensors does not exist"),
        (["--device", "abacus"], "abacus"),
        (["--view", "1,2,3"], "view"),
        (["--view", "1,2,3,x"], "must be numbers"),
        (["--contrast", "1"], "contrast"),
        (["--channels", "9"], "channels"),
        (["--channels", "1.5"], "must be whole numbers"),
        (["--plane", "0"], "plane must have 0 indices"),
        (["--threshold", "2"], "threshold"),
        (["--threshold", "x"], "--threshold"),
        (["--fill-holes=-1"], "holes must be"),
        (["--smooth", "nan"], "smoothing must"),
        (["--labels", "none.tif"], "none.tif does not exist"),
        (["-o", "labels.jpg"], "labels.jpg must end in .tif, .tiff, .png, .npy"),
        (["-o", "nowhere/labels.tif"], "the folder nowhere does not exist"),
        (["--colour", "red"], "--colour"),
    ],
)
def test_mistakes_are_one_line(
    image: Path,
    output: Path,
    model: str,
    more: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    try:
        status: object = segment(image, output, model, *more)
    except SystemExit as stop:  # argparse leaves this way
        status = stop.code
    assert status == 2
    assert message in complaint(capsys)
    assert not output.exists()


def test_no_click(
    image: Path, output: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(image, output, model, click="") == 2
    assert "object 1 has no clicks" in complaint(capsys)


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.jpg", "a.npy"])
@pytest.mark.parametrize("content", [b"", b"II*\x00garbage", b"no image at all"])
def test_damaged_images(
    name: str,
    content: bytes,
    tmp_path: Path,
    output: Path,
    model: str,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert segment(path, output, model) == 2
    assert f"{name} cannot be read" in complaint(capsys)
    assert not caplog.records


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 5)), "image"),
        (np.zeros(5), "image must have rows and columns, got shape (5,)"),
        (np.zeros((3, 9, 9)), "choose one plane of a stack with --plane"),
        (np.full((9, 9), np.nan), "NaN"),
        (np.zeros((2, 3, 9, 9)), "plane must have 2 indices"),
        (np.array([{"a": 1}]), "cannot be read"),
    ],
)
def test_unusable_arrays(
    array: np.ndarray,
    message: str,
    tmp_path: Path,
    output: Path,
    model: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "array.npy"
    np.save(path, array, allow_pickle=True)
    assert segment(path, output, model, click="2,2") == 2
    assert message in complaint(capsys)


def test_labels_of_a_stack_are_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        write_tiff(f"well_{number}.tif", np.zeros((30, 31), np.uint8))
    labels = np.stack([np.full((30, 31), number, np.uint16) for number in (5, 6)])
    write_tiff("my.labels.tif", labels, photometric="minisblack")
    words = ["split-labels", "my.labels.tif", "well_1.tif", "well_2.tif"]
    assert main(words) == 0
    assert "wrote well_2_labels.tif" in capsys.readouterr().out
    assert read_tiff("well_2_labels.tif").max() == 6
    assert main([*words, "well_1_labels.tif", "well_2_labels.tif"]) == 0
    capsys.readouterr()
    assert main(words[:-1]) == 2
    assert "1 images need as many planes" in complaint(capsys)


def test_objects_are_exported_by_the_ending(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    labels = np.zeros((2, 30, 40), np.uint16)
    labels[1, 3:9, 4:14] = 7
    metadata = {"axes": "TYX"}
    write_tiff("l.ome.tif", labels, metadata=metadata, photometric="minisblack")
    size = ["--pixel-size", "0.5", "--unit", "micrometer"]
    for ending in ("geojson", "json", "csv", "tif", "zarr"):
        assert main(["export", "l.ome.tif", "-o", f"o.{ending}", *size]) == 0, ending
    (feature,) = json.loads((tmp_path / "o.geojson").read_text())["features"]
    assert feature["geometry"]["plane"] == {"c": -1, "z": 0, "t": 1}
    assert "15.0,micrometer" in (tmp_path / "o.csv").read_text()
    capsys.readouterr()
    for words, message in (
        (["l.ome.tif", "-o", "o.csv"], "--overwrite replaces it"),
        (["l.ome.tif", "-o", "o.xls"], "must end in .geojson"),
        (["l.ome.tif", "-o", "no/o.csv"], "the folder no does not exist"),
        (["l.ome.tif", "-o", "l.ome.tif", "--overwrite"], "the label image itself"),
        (["none.tif", "-o", "n.csv"], "none.tif does not exist"),
    ):
        assert main(["export", *words]) == 2
        assert message in complaint(capsys)


SIZES = (2.0, 0.5, 0.25)


@pytest.fixture
def calibrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The same labels as OME-TIFF and OME-Zarr of two versions, with a pixel size."""
    monkeypatch.chdir(tmp_path)
    labels = np.zeros((3, 30, 40), np.uint16)
    labels[1, 3:9, 4:14] = 7
    known = Calibration.of(3, SIZES, "micrometer")
    export_tiff(tmp_path / "l.ome.tif", labels, known)
    for version in ("0.4", "0.5"):
        axes = ZarrAxes("ZYX", SIZES, known.units)
        write_zarr(tmp_path / f"l{version}.zarr", labels, axes, version)
    return "l.ome.tif", "l0.4.zarr", "l0.5.zarr"


def test_exports_keep_the_pixel_size_of_the_labels(
    calibrated: tuple[str, ...], tmp_path: Path
) -> None:
    for number, name in enumerate(calibrated):
        out = f"o{number}"
        for ending in (".csv", ".ome.tif", ".zarr"):
            assert main(["export", name, "-o", out + ending]) == 0
        assert "60,7.5,micrometer" in (tmp_path / f"{out}.csv").read_text()
        found = zarr_axes(tmp_path / f"{out}.zarr")
        assert found == ZarrAxes("ZYX", SIZES, ("micrometer",) * 3)
        again = tiff_sizes(tmp_path / f"{out}.ome.tif")
        assert again == {"Z": (2, "µm"), "Y": (0.5, "µm"), "X": (0.25, "µm")}


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ({"unit": "um"}, ("micrometer",) * 3),
        ({"unit": "micron"}, ("micrometer",) * 3),
        ({"unit": r"\u00B5m"}, ("micrometer",) * 3),
        ({"unit": "nm", "zunit": "um"}, ("micrometer", "nanometer", "nanometer")),
        ({"unit": "inch"}, ("inch",) * 3),
    ],
)
def test_exports_keep_the_pixel_size_that_imagej_wrote(
    tmp_path: Path, unit: dict[str, str], expected: tuple[str, ...]
) -> None:
    labels = np.zeros((3, 30, 40), np.uint16)
    labels[1, 3:9, 4:14] = 7
    path, out = tmp_path / "l.tif", tmp_path / "o.zarr"
    write_tiff(
        path,
        labels,
        imagej=True,
        resolution=(4, 2),
        metadata={"axes": "ZYX", "spacing": -2.0, **unit},
    )
    assert main(["export", str(path), "-o", str(out)]) == 0
    assert zarr_axes(out) == ZarrAxes("ZYX", SIZES, expected)
    assert main(["export", str(path), "-o", str(tmp_path / "o.csv")]) == 0
    if len(set(expected)) == 1:
        assert f"60,7.5,{expected[0]}" in (tmp_path / "o.csv").read_text()


def test_imagej_counts_time_in_seconds_or_as_it_says(tmp_path: Path) -> None:
    path = tmp_path / "l.tif"
    for more, wanted in (({}, "s"), ({"tunit": "min"}, "min")):
        metadata = {"axes": "TYX", "unit": "um", "finterval": 30, **more}
        frames = np.zeros((3, 30, 40), np.uint16)
        options = {"imagej": True, "resolution": (4, 2), "metadata": metadata}
        write_tiff(path, frames, **options)
        sizes = {"Y": (0.5, "µm"), "X": (0.25, "µm"), "T": (30, wanted)}
        assert tiff_sizes(path) == sizes


@pytest.mark.parametrize(
    "options",
    [
        {"imagej": True},
        {"imagej": True, "resolution": (4, 2), "metadata": {"unit": "pixel"}},
        {"imagej": True, "resolution": (4, 2), "metadata": {"unit": "furlong"}},
        {"imagej": True, "resolution": (0, 0), "metadata": {"unit": "um"}},
        {"resolution": (72, 72), "resolutionunit": "INCH"},
    ],
)
def test_a_resolution_for_printers_is_no_pixel_size(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    path = tmp_path / "l.tif"
    write_tiff(path, np.ones((30, 40), np.uint16), **options)
    assert tiff_sizes(path) == {}


def test_a_given_pixel_size_goes_before_that_of_the_labels(
    calibrated: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o.zarr"
    for given, expected in (
        (["--pixel-size", "3"], [(2, "micrometer"), (3, "pixel"), (3, "pixel")]),
        (
            ["--pixel-size", "3,4", "--unit", "nanometer"],
            [(2, "micrometer"), (3, "nanometer"), (4, "nanometer")],
        ),
        (
            ["--pixel-size", "5,3,4", "--unit", "meter"],
            [(5, "meter"), (3, "meter"), (4, "meter")],
        ),
        (["--unit", "micrometer"], [(size, "micrometer") for size in SIZES]),
    ):
        words = ["export", calibrated[0], "-o", str(out), "--overwrite", *given]
        assert main(words) == 0
        axes = zarr_axes(out)
        assert axes is not None
        assert list(zip(axes.scale, axes.units, strict=True)) == expected
    for given, told in (
        (["--unit", "nanometer"], "--unit nanometer needs --pixel-size"),
        (["--pixel-size", "1,2,3,4"], "4 numbers for labels of 3 axes"),
        (["--pixel-size", "0"], "scale must be positive"),
    ):
        capsys.readouterr()
        assert main(["export", calibrated[0], "-o", "n.csv", *given]) == 2
        assert told in complaint(capsys)
    assert not (tmp_path / "n.csv").exists()


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("image.zarr", "is the folder of the label image"),
        ("image.zarr/labels/cells", "must end in"),
        ("cells.csv", "is a folder"),
    ],
)
def test_an_export_replaces_no_image_around_its_labels(
    tmp_path: Path, output: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "image.zarr" / "labels" / "cells"
    (tmp_path / "cells.csv").mkdir()
    write_zarr(labels.parent.parent, np.zeros((90, 120), np.uint8))
    write_zarr(labels, disk(30, 30).astype(np.uint8))
    words = ["export", str(labels), "-o", str(tmp_path / output), "--overwrite"]
    assert main(words) == 2
    assert told in complaint(capsys)
    assert read_label_file(labels)[0].any()


def test_plane_outside_the_stack(
    tmp_path: Path, output: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = np.zeros((4, 30, 31), np.uint8)
    write_tiff(tmp_path / "stack.tif", stack, photometric="minisblack")
    assert segment(tmp_path / "stack.tif", output, model, "--plane", "4") == 2
    assert "plane index must be from 0 to 3, got 4" in complaint(capsys)
    assert segment(tmp_path / "stack.tif", output, model) == 2
    assert "plane must have 1 indices" in complaint(capsys)


def test_models_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    from napari_gpcis import list_models

    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if not line.startswith(" ")]
    assert rows[0] == ["name", "size", "here", "licence"]
    assert [row[0] for row in rows[1:]] == [model.name for model in list_models()]
    assert rows[-1][:4] == ["gpcis-resnet50-sbd", "158", "MB", "no"]
    assert "get it: napari-gpcis models download gpcis-resnet50-sbd" in lines[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="has no closed pipes")
def test_a_closed_pipe_is_no_error_and_all_files_are_written(
    image: Path, output: Path, model: str
) -> None:
    prompts = output.with_name("p.json")
    words = ["segment", str(image), "-o", str(output), "--prompts", str(prompts)]
    words += ["--model", model, "--click", "30,30"]
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "napari_gpcis", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        told = process.stderr.read()
    assert (told, process.returncode) == (b"", 141)
    assert output.exists()
    assert len(json.loads(prompts.read_text())["objects"]) == 1


def test_program_and_module_are_the_same(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "napari_gpcis", "segment", "none.tif"]
    command += ["--click", "1,1", "-o", str(tmp_path / "labels.tif")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "napari-gpcis: image none.tif does not exist\n"


def test_importing_is_light() -> None:
    code = (
        "import sys, napari_gpcis, napari_gpcis.cli; napari_gpcis.Click(1, 2); "
        "heavy = {'torch', 'napari', 'qtpy', 'magicgui', 'skimage', 'numpy'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names() -> None:
    import napari_gpcis

    for name in napari_gpcis.__all__:
        assert getattr(napari_gpcis, name) is getattr(napari_gpcis, name)
    assert set(napari_gpcis.__all__) <= set(dir(napari_gpcis))
    with pytest.raises(AttributeError, match="has no attribute 'Segmentor'"):
        _ = napari_gpcis.Segmentor


def test_what_the_system_refuses_is_told_in_words(
    image: Path, output: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table = image.with_name("nope.csv")
    assert segment(image, output, model, "--clicks", str(table), click="") == 2
    assert complaint(capsys) == f"napari-gpcis: {table}: No such file or directory"


@pytest.mark.parametrize(
    "option", [("--jobs", "2"), ("--format", "tif"), ("--dask", "tcp://one:1")]
)
def test_options_for_many_images_are_refused_for_one(
    image: Path,
    output: Path,
    model: str,
    option: tuple[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert segment(image, output, model, *option) == 2
    told = complaint(capsys)
    assert told == (
        f"napari-gpcis: {option[0]} is for many images: it needs a table of clicks "
        "(--clicks)"
    )
    assert not output.exists()


@pytest.mark.parametrize(
    "option",
    [("--smooth", "2"), ("--fill-holes", "9"), ("--smallest", "4"), ("--keep-pieces",)],
)
def test_tidying_and_not_tidying_exclude_each_other(
    image: Path,
    output: Path,
    model: str,
    option: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert segment(image, output, model, "--no-tidy", *option) == 2
    told = complaint(capsys)
    assert told == (
        f"napari-gpcis: {option[0]} tidies masks; it cannot be used with --no-tidy"
    )


def test_an_alternative_that_is_not_there_is_told_by_its_option(
    image: Path, output: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(image, output, model, "--choose", "22") == 2
    assert "--choose: index must be one of 0 to" in complaint(capsys)


def test_the_demo_tells_of_wrong_arguments_in_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["demo", "nope"])
    assert caught.value.code == 2
    told = complaint(capsys)
    assert told.startswith("napari-gpcis demo: unrecognized arguments: nope")
