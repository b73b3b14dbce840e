"""The paper's data sets in their folder forms, and its figures beside ours."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from skimage.io import imsave

from _published_sets import (
    instances,
    write_berkeley,
    write_davis,
    write_grabcut,
    write_sbd,
)
from _toy import ToyModel, toy_info, toy_segmenter
from gpcis_training.cli import main
from gpcis_training.evaluation import (
    EvaluationObject,
    Overrides,
    evaluate,
    published_objects,
)
from gpcis_training.evaluation.datasets import ground_truth, read_any, read_trimap
from gpcis_training.evaluation.published import (
    PUBLISHED_SETS,
    published_noic,
    published_rows,
)
from gpcis_training.evaluation.tables import cells, differences
from napari_gpcis.errors import InputError
from napari_gpcis.inference.segmenter import Segmenter

WRITERS = {
    "grabcut": (write_grabcut, "GrabCut"),
    "berkeley": (write_berkeley, "Berkeley"),
    "davis": (write_davis, "DAVIS"),
    "sbd": (write_sbd, "SBD/dataset"),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """All four sets below one folder."""
    folder = tmp_path_factory.mktemp("sets")
    for write, place in WRITERS.values():
        write(folder / place)
    return folder


# -- readers -------------------------------------------------------------------


def test_objects_of_each_set(root):
    found = {name: published_objects(name, root) for name in WRITERS}
    assert {name: len(one.objects) for name, one in found.items()} == {
        "grabcut": 3,
        "berkeley": 2,
        "davis": 2,
        "sbd": 4,
    }
    assert found["grabcut"].objects[1] == EvaluationObject(
        "person2.jpg", "person2.bmp", ()
    )
    assert found["sbd"].objects[1] == EvaluationObject(
        "2008_000003.jpg", "2008_000003.mat", (2,)
    )
    for name, (_, place) in WRITERS.items():
        assert published_objects(name, root / place).objects == found[name].objects


def test_only_the_first_objects(root):
    assert len(published_objects("sbd", root, 3).objects) == 3


@pytest.mark.parametrize("name", ["grabcut", "berkeley"])
def test_the_rim_is_ignored(root, name):
    wanted = published_objects(name, root)
    gt = ground_truth(root / wanted.folder, wanted.objects[0], name)
    assert gt.dtype == np.int8
    np.testing.assert_array_equal(gt == 1, instances() == 1)
    rim = gt == -1
    assert rim.any()
    assert not (rim & (instances() == 1)).any()


def test_a_frame_is_one_object(root):
    wanted = published_objects("davis", root)
    gt = ground_truth(root / wanted.folder, wanted.objects[0], "davis")
    np.testing.assert_array_equal(gt, (instances() > 0).astype(np.int8))


def test_an_instance_has_no_ignored_pixels(root):
    wanted = published_objects("sbd", root)
    some = wanted.objects[:2]
    assert len(some) == 2
    for item in some:
        gt = ground_truth(root / wanted.folder, item, "sbd")
        expected = (instances(3) == item.ids[0]).astype(np.int8)
        np.testing.assert_array_equal(gt, expected)


def test_masks_of_other_kinds(tmp_path):
    path = tmp_path / "m.png"
    plane = np.array([[0, 127, 128], [129, 255, 0]], np.uint8)
    imsave(path, plane, check_contrast=False)
    assert read_trimap(path).tolist() == [[0, 0, -1], [1, 1, 0]]
    opaque = np.full((2, 3, 4), 255, np.uint8)
    opaque[..., :3] = 0
    opaque[0, 0, 2] = 1
    imsave(path, opaque, check_contrast=False)
    assert read_any(path).tolist() == [[1, 0, 0], [0, 0, 0]]
    imsave(tmp_path / "m.tif", np.zeros((2, 3), np.float32), check_contrast=False)
    with pytest.raises(InputError, match=r"m\.tif: float32 .* is no mask"):
        read_any(tmp_path / "m.tif")


def test_wrong_folders(root, tmp_path):
    with pytest.raises(InputError, match="folders data_GT and boundary_GT of grabcut"):
        published_objects("grabcut", tmp_path)
    folder = write_grabcut(tmp_path / "GrabCut")
    (folder / "boundary_GT" / "sheep.bmp").unlink()
    with pytest.raises(InputError, match=r"grabcut in .*: no mask for \['sheep.jpg'\]"):
        published_objects("grabcut", tmp_path)
    for part in ("img", "gt"):
        (tmp_path / "empty" / part).mkdir(parents=True)
    with pytest.raises(InputError, match=r"davis in .* must hold images"):
        published_objects("davis", tmp_path / "empty")


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((48, 64), np.uint8), "an object of bear.png must be in"),
        (np.ones((48, 60), np.uint8), r"bear\.png must have the size of bear\.jpg"),
    ],
)
def test_wrong_masks(tmp_path, mask, message):
    for part in ("img", "gt"):
        (tmp_path / part).mkdir()
    image = np.zeros((48, 64, 3), np.uint8)
    imsave(tmp_path / "img" / "bear.jpg", image, check_contrast=False)
    imsave(tmp_path / "gt" / "bear.png", mask, check_contrast=False)
    with pytest.raises(InputError, match=message):
        evaluate("peer:watershed", tmp_path, "davis", progress=False)


# -- the paper's figures ---------------------------------------------------------


def test_figures_of_the_paper():
    gpcis = published_rows("berkeley", "resnet50")[0]
    assert gpcis[3:] == (1.60, 2.60, 3.36, 1, 79.43, 95.11, 0, 39.39, None)
    assert published_rows("davis", "resnet50")[0].seconds == 0.03882
    everything = {
        (row.set, row.method, row.architecture): row
        for name in PUBLISHED_SETS
        for architecture in ("resnet50", "hrnet18s", "segformer_b0")
        for row in published_rows(name, architecture)
    }
    assert len(everything) == 4 * 3 * 3
    averages = {"resnet50": (2.85, 4.00), "hrnet18s": (3.12, 4.25)}
    averages["segformer_b0"] = (3.01, 4.20)
    for architecture, (noc85, noc90) in averages.items():
        rows = [everything[name, "GPCIS", architecture] for name in PUBLISHED_SETS]
        assert np.mean([row.noc85 for row in rows]) == pytest.approx(noc85, abs=0.006)
        assert np.mean([row.noc90 for row in rows]) == pytest.approx(noc90, abs=0.006)


def test_networks_that_are_not_in_the_paper_stand_beside_all_of_its_own():
    rows = published_rows("sbd", "mobilenet_v2")
    assert {row.architecture for row in rows} == {
        "resnet50",
        "hrnet18s",
        "segformer_b0",
    }
    assert {row.method for row in rows} == {"GPCIS"}


def test_noic_by_epsilon():
    assert published_noic("davis", "resnet50")[1e-1] == 36
    assert published_noic("sbd", "resnet50") == {}


# -- the command -----------------------------------------------------------------


def column(lines, name):
    """Return the cells of a column of a Markdown table."""
    rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    return [row[rows[0].index(name)] for row in [rows[0], *rows[2:]]][1:]


def test_the_row_of_the_paper_stands_below_ours(root, tmp_path, capsys):
    output = tmp_path / "grabcut.json"
    arguments = ["evaluate", "peer:watershed", "--dataset", "grabcut"]
    arguments += ["--root", str(root), "-o", str(output)]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    lines = [line for line in text.splitlines() if line.startswith("|")]
    methods = column(lines, "Method")
    assert methods[0] == "peer:watershed"
    assert methods[1:] == [
        "*GPCIS, segformer_b0 (paper)*",
        "*GPCIS, hrnet18s (paper)*",
        "*GPCIS, resnet50 (paper)*",
    ]
    assert column(lines, "NoC@90")[3] == "1.82"
    assert column(lines, "IoU&5")[3] == "0.97"
    assert column(lines, "NoF100@90")[1:] == ["0", "0", "0"]
    assert column(lines, "NoF100@90")[0] == "0 (0)"
    assert "3 of the paper's 50 objects" in text
    assert "CVPR 2023" in text
    data = json.loads(output.read_text())["results"][0]
    assert (data["objects"], data["max_clicks"]) == ("grabcut", 100)
    (row,) = csv.DictReader((tmp_path / "grabcut.csv").read_text().splitlines())
    assert (row["method"], row["set"], row["objects"]) == (
        "peer:watershed",
        "grabcut",
        "3",
    )
    assert float(row["noc90"]) == data["summary"]["noc"]["0.9"]["mean"]
    assert (tmp_path / "grabcut.png").read_bytes()[:4] == b"\x89PNG"


def test_what_differs_from_the_paper_is_said(root):
    result = evaluate(toy_segmenter(), root, "sbd", max_clicks=3, progress=False)
    assert differences(result) == [
        "sbd has 4 of the paper's 6671 objects",
        "toy on sbd: input 64 instead of 256",
        "toy: the mask is made to obey every click, so NoIC is 0",
        "toy: the training data differ (not stated)",
    ]
    assert "NoC100@90" not in cells(result)


def test_a_full_reproduction_differs_in_nothing(root):
    info = replace(toy_info(infer_size=384), training_data="SBD (8,498 photographs)")
    segmenter = Segmenter(ToyModel(), info)
    result = evaluate(
        segmenter,
        root,
        "davis",
        max_clicks=1,
        overrides=Overrides(raw_mask=True),
        progress=False,
    )
    whole = replace(result, items=result.items[:1] * 345, runs=result.runs[:1] * 345)
    assert differences(whole) == []
