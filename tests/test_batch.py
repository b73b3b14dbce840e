"""Many images: each is segmented as if alone, and a bad one stops no other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from distributed import LocalCluster
from PIL import Image
from tifffile import imread, imwrite

from napari_gpcis import Click, Segmenter, Session
from napari_gpcis.batch import (
    Settings,
    Task,
    read_clicks,
    run,
    segment_images,
    workers,
)
from napari_gpcis.checkpoints import ModelInfo, save_checkpoint
from napari_gpcis.cli import main
from napari_gpcis.errors import InputError
from napari_gpcis.model.gpcis import build_model
from napari_gpcis.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable

TABLE = """\
image,row,col,positive,object
a.tif,20,20,1,1
a.tif,30,30,0,1
a.tif,50,50,1,2
missing.tif,1,1,1,1
b.tif, 10, 40, yes, cell
outside.tif,500,500,1,1
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that has learnt nothing."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_model("mobilenet_v2")
    file = tmp_path_factory.mktemp("model") / "small.safetensors"
    save_checkpoint(file, network, ModelInfo("small", "mobilenet_v2"))
    return file


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("a.tif", "b.tif", "outside.tif"):
        imwrite(tmp_path / name, rng.integers(0, 255, (64, 72), dtype=np.uint8))
    file = tmp_path / "clicks.csv"
    file.write_text(TABLE)
    return file


def alone(image: Path, model: Path, *objects: tuple[Click, ...]) -> np.ndarray:
    """Segment one image as a script would."""
    session = Session(Segmenter.from_pretrained(model, device="cpu"), imread(image))
    for clicks in objects:
        for click in clicks:
            session.add_click(click.row, click.col, click.positive)
        session.accept()
    return session.labels


def test_the_table_is_read(table: Path, tmp_path: Path) -> None:
    tasks = read_clicks(table)
    assert [task.image.name for task in tasks] == [
        "a.tif",
        "missing.tif",
        "b.tif",
        "outside.tif",
    ]
    first = (Click(20, 20), Click(30, 30, False))
    assert tasks[0] == Task(tmp_path / "a.tif", (first, (Click(50, 50),)))
    (only,) = read_clicks(table, [Path("elsewhere/b.tif")])
    assert only == Task(Path("elsewhere/b.tif"), ((Click(10, 40),),))
    table.write_text("Image, Row, Col\na.tif,1,2\n\na.tif,3,4\n")
    assert read_clicks(table)[0].objects == ((Click(1, 2),), (Click(3, 4),))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "", "must have a column 'image'"),
        (lambda text: text.replace("col,", "column,"), "must have a column 'col'"),
        (lambda text: text.splitlines()[0], "has no clicks"),
        (lambda text: text.replace("30,30,0", "30,30,maybe"), "line 3: positive must"),
        (lambda text: text.replace("20,20", "20,x"), "line 2: row and col must be"),
        (lambda text: text.replace("50,50", "nan,50"), "line 4: row and col must be"),
    ],
)
def test_a_damaged_table(table: Path, change: Callable[[str], str], words: str) -> None:
    table.write_text(change(TABLE))
    with pytest.raises(InputError, match=words):
        read_clicks(table)


def test_images_that_the_table_lacks(table: Path) -> None:
    with pytest.raises(InputError, match=r"has no clicks for c\.tif"):
        read_clicks(table, [Path("a.tif"), Path("c.tif")])


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_command_line_goes_on_after_bad_files(
    table: Path,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    jobs: str,
) -> None:
    output = tmp_path / "new" / "labels"
    words = ["segment", "--clicks", str(table), "-o", str(output), "--jobs", jobs]
    words += ["--model", str(model), "--device", "cpu"]
    assert main(words) == 1
    shown = capsys.readouterr()
    assert "2 images segmented into" in shown.out
    assert "2 failed" in shown.out
    for name, why in {
        "missing.tif": "does not exist",
        "outside.tif": "object 1: a click must lie inside",
    }.items():
        (line,) = [one for one in shown.err.splitlines() if f"{name}: " in one]
        assert why in line
    assert sorted(file.name for file in output.iterdir()) == ["a.tif", "b.tif"]
    first = (Click(20, 20), Click(30, 30, False))
    expected = alone(tmp_path / "a.tif", model, first, (Click(50, 50),))
    if jobs == "1":  # several processes compute on one thread each
        np.testing.assert_array_equal(imread(output / "a.tif"), expected)
    else:
        assert (imread(output / "a.tif") == expected).mean() > 0.99
    before = (output / "a.tif").stat().st_mtime_ns
    assert main([*words, str(tmp_path / "a.tif")]) == 0
    assert "1 were there (--overwrite replaces them)" in capsys.readouterr().out
    assert (output / "a.tif").stat().st_mtime_ns == before
    assert main([*words, str(tmp_path / "a.tif"), "--overwrite"]) == 0
    assert (output / "a.tif").stat().st_mtime_ns > before


def test_a_dask_cluster_does_the_same(
    table: Path,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["segment", "--clicks", table.name, "-o", "far", "--device", "cpu"]
    words += ["--model", str(model)]
    with LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=True,
        dashboard_address=None,
        local_directory=str(tmp_path / "dask"),
    ) as cluster:
        monkeypatch.chdir(tmp_path.parent)
        words[2], words[4] = str(table), str(Path(tmp_path.name, "far"))
        assert main([*words, "--dask", cluster.scheduler_address]) == 1
    shown = capsys.readouterr()
    assert "2 images segmented into" in shown.out
    assert "2 failed" in shown.out
    assert "missing.tif: " in shown.err
    first = (Click(20, 20), Click(30, 30, False))
    expected = alone(tmp_path / "a.tif", model, first, (Click(50, 50),))
    assert (imread(tmp_path / "far" / "a.tif") == expected).mean() > 0.99


def test_a_cluster_that_is_not_there_is_told(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks, settings = read_clicks(table), Settings(tmp_path / "out")
    monkeypatch.setattr(workers, "_CONNECT_TIMEOUT", 1)
    with pytest.raises(InputError, match="no dask scheduler can be reached"):
        segment_images(tasks, settings, cluster="tcp://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'napari-gpcis\[cluster\]'"):
        segment_images(tasks, settings, cluster="tcp://127.0.0.1:9")


def test_progress_and_files_of_scripts(
    table: Path, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    settings = Settings(
        tmp_path / "out", str(model), "cpu", suffix=".npy", prompts=True, threshold=0.4
    )
    seen: list[int] = []
    tasks = read_clicks(table, [tmp_path / "a.tif", tmp_path / "outside.tif"])
    summary = segment_images(
        tasks, settings, report=lambda now: seen.append(len(now.done) + len(now.failed))
    )
    assert seen == [0, 1, 2]
    assert summary.done == [tmp_path / "a.tif"]
    assert list(summary.failed) == [tmp_path / "outside.tif"]
    labels = np.load(tmp_path / "out" / "a.npy")
    again = Session.load(
        tmp_path / "out" / "a.json",
        Segmenter.from_pretrained(model, device="cpu"),
        imread(tmp_path / "a.tif"),
    )
    np.testing.assert_array_equal(again.labels, labels)


def test_no_image_is_overwritten(table: Path, tmp_path: Path) -> None:
    tasks = read_clicks(table)
    with pytest.raises(InputError, match="is one of the images"):
        segment_images(tasks, Settings(tmp_path))
    with pytest.raises(InputError, match="jobs must be 1 or more, got 0"):
        segment_images(tasks, Settings(tmp_path / "out"), jobs=0)


def test_images_that_differ_in_their_endings_get_results_of_their_own(
    model: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    made = {}
    for name in ("a.tif", "a.png", "a.png.tif", "b.tif"):
        made[name] = rng.integers(0, 255, (64, 72), dtype=np.uint8)
        if name.endswith("png"):
            Image.fromarray(made[name]).save(tmp_path / name)
        else:
            imwrite(tmp_path / name, made[name])
    clicks = (Click(20, 20),)
    tasks = [Task(tmp_path / name, (clicks,)) for name in made]
    settings = Settings(
        tmp_path / "out", str(model), "cpu", suffix=".npy", prompts=True
    )
    summary = segment_images(tasks, settings)
    assert not summary.failed
    names = {"a.tif.npy", "a.png.npy", "a.png.tif.npy", "b.npy"}
    assert {file.name for file in (tmp_path / "out").glob("*.npy")} == names
    assert len([*(tmp_path / "out").glob("*.json")]) == 4
    for name, image in made.items():
        session = Session(Segmenter.from_pretrained(model, device="cpu"), image)
        session.add_click(20, 20)
        session.accept()
        file = tmp_path / "out" / ("b.npy" if name == "b.tif" else f"{name}.npy")
        np.testing.assert_array_equal(np.load(file), session.labels)
    again = segment_images(tasks, settings)
    assert len(again.skipped) == 4


@pytest.fixture
def plates(tmp_path: Path) -> Path:
    """Two images of the same name in two folders, and a table of both."""
    for number, plate in enumerate(("plate1", "plate2")):
        (tmp_path / plate).mkdir()
        image = np.full((64, 72), 20 + 50 * number, np.uint8)
        image[10:30, 10:30] = 200
        imwrite(tmp_path / plate / "A01.tif", image)
    file = tmp_path / "clicks.csv"
    file.write_text("image,row,col\nplate1/A01.tif,20,20\nplate2/A01.tif,50,50\n")
    return file


def test_a_row_belongs_to_the_image_at_its_path(
    plates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plates.parent
    second = folder / "plate2" / "A01.tif"
    (task,) = read_clicks(plates, [second])
    assert task == Task(second, ((Click(50, 50),),))
    assert task.namesakes == (folder / "plate1" / "A01.tif",)
    monkeypatch.chdir(folder)
    (task,) = read_clicks(Path("clicks.csv"), [Path("plate1/A01.tif")])
    assert task.objects == ((Click(20, 20),),)
    moved = Path("/elsewhere/plate2/A01.tif")
    assert read_clicks(plates, [moved])[0].objects == ((Click(50, 50),),)
    with pytest.raises(
        InputError, match=r"no clicks for .*; it has some for plate1/A0"
    ):
        read_clicks(plates, [Path("/elsewhere/plate3/A01.tif")])
    same = plates.with_name("same.csv")
    same.write_text(
        "image,row,col\nplate2/A01.tif,1,2\n./plate1/../plate2/A01.tif,3,4\n"
    )
    (task,) = read_clicks(same)
    assert len(task.objects) == 2


def test_a_bare_name_belongs_to_one_image_only(plates: Path) -> None:
    folder = plates.parent
    images = [folder / plate / "A01.tif" for plate in ("plate1", "plate2")]
    plates.write_text("image,row,col\nA01.tif,20,20\n")
    assert [task.image for task in read_clicks(plates, images[1:])] == images[1:]
    with pytest.raises(
        InputError, match=r"line 2: A01\.tif may be .* or .*; write its"
    ):
        read_clicks(plates, images)
    plates.write_text("image,row,col\nA01.tif,20,20\nplate2/A01.tif,5,5\n")
    (task,) = read_clicks(plates, images[1:])
    assert task.objects == ((Click(5, 5),),)
    plates.write_text("image,row,col\nplate2\\A01.tif,20,20\n")
    (task,) = read_clicks(plates)
    assert task.image == images[1]
    plates.write_text("image,row,col\n,20,20\n")
    with pytest.raises(InputError, match="line 2: no image"):
        read_clicks(plates)


def test_equal_names_get_results_in_subfolders(
    plates: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    words = ["segment", "--clicks", str(plates), "-o", str(output)]
    words += ["--model", str(model), "--device", "cpu"]
    assert main(words) == 0
    for plate, place in (("plate1", (20, 20)), ("plate2", (50, 50))):
        assert imread(output / plate / "A01.tif")[place] == 1
    capsys.readouterr()
    assert main(words) == 0
    assert "2 were there" in capsys.readouterr().out
    # one of them alone has a flat result, which may not be taken for the other's
    words[4] = str(tmp_path / "flat")
    assert main([*words, str(tmp_path / "plate2" / "A01.tif")]) == 0
    assert main([*words, str(tmp_path / "plate1" / "A01.tif")]) == 1
    assert "may be that of" in capsys.readouterr().err
    assert imread(tmp_path / "flat" / "A01.tif")[50, 50] == 1


def test_an_object_that_cannot_be_made_costs_itself(
    table: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table.write_text(
        "image,row,col,object\na.tif,20,20,cell\na.tif,20,20,again\n"
        "a.tif,500,20,outside\na.tif,50,50,last\n"
    )
    output = tmp_path / "out"
    words = ["segment", "--clicks", str(table), "-o", str(output), "--view", "0,0,9,9"]
    words += ["--model", str(model), "--device", "cpu", "--threshold", "0.99"]
    assert main(words) == 1
    shown = capsys.readouterr()
    assert "object 3 (outside): a click must lie inside" in shown.err
    assert "1 image segmented" in shown.out
    assert "2 objects of 1 image left out" in shown.out
    labels = imread(output / "a.tif")
    assert (labels[20, 20], labels[50, 50]) == (1, 4)


def test_an_interrupted_batch_tells_what_is_done(
    table: Path,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = run.segment_image

    def interrupted(segmenter: Segmenter, task: Task, *more: Any) -> Path:
        if task.image.name == "b.tif":
            raise KeyboardInterrupt
        return done(segmenter, task, *more)

    monkeypatch.setattr(run, "segment_image", interrupted)
    words = ["segment", "--clicks", str(table), "-o", str(tmp_path / "out")]
    words += ["--model", str(model), "--device", "cpu"]
    assert main(words) == 130
    shown = capsys.readouterr()
    assert shown.out.startswith("1 image segmented into")
    assert "missing.tif: " in shown.err
    assert shown.err.endswith("interrupted; the same command goes on from here\n")
    assert main([*words, "--overwrite"]) == 130
    assert "command without --overwrite goes on" in capsys.readouterr().err


INTERRUPTIBLE = """
import signal, sys
from napari_gpcis.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main(sys.argv[1:]))
"""
"""The program, also where the tests run in the background, which ignores Control-C."""


@pytest.mark.skipif(sys.platform == "win32", reason="has no process groups")
def test_control_c_ends_all_processes_of_a_batch(model: Path, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (200, 200), dtype=np.uint8)
    lines = ["image,row,col"]
    for number in range(200):
        imwrite(tmp_path / f"{number}.tif", image)
        lines += [f"{number}.tif,{place},{place}" for place in range(20, 180, 40)]
    (tmp_path / "clicks.csv").write_text("\n".join(lines))
    words = ["segment", "--clicks", str(tmp_path / "clicks.csv"), "--jobs", "2"]
    words += ["-o", str(tmp_path / "out"), "--model", str(model), "--device", "cpu"]
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        until = time.monotonic() + 120
        while not list(tmp_path.glob("out/?*.tif")) and time.monotonic() < until:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert err.endswith("interrupted; the same command goes on from here\n")
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert 0 < len(written) < 100
    assert all(name[0] != "." for name in written)
    assert out.startswith(f"{counted(len(written), 'image')} segmented into")


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--model", "nope"], "unknown model 'nope'"),
        (["--model", "none.safetensors"], "none.safetensors does not exist"),
        (["--device", "abacus"], "device must be"),
        (["--threshold", "3"], "threshold must lie between 0 and 1"),
        (["--contrast", "5"], "contrast must be two numbers"),
        (["--view", "1,2,3"], "view must be a box"),
        (["-o", "clicks.csv"], "output clicks.csv is no folder"),
    ],
)
def test_what_suits_no_image_is_told_once(
    table: Path,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    jobs: str,
    more: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["segment", "--clicks", str(table), "-o", "out", "--jobs", jobs]
    words += ["--model", str(model), "--device", "cpu"]
    assert main([*words, *more]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert told in line
    assert not (tmp_path / "out").exists()


def test_options_that_need_one_image(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["-o", str(tmp_path / "out")]
    assert main(["segment", "--clicks", str(table), "--click", "1,1", *out]) == 2
    assert "--click is for one image" in capsys.readouterr().err
    assert main(["segment", "a.tif", "b.tif", "--click", "1,1", *out]) == 2
    assert "one image is needed, got 2" in capsys.readouterr().err
    assert main(["segment", "--clicks", str(tmp_path / "none.csv"), *out]) == 2
    assert "No such file" in capsys.readouterr().err
