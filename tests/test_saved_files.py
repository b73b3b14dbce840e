"""Files that version 0.1.0 wrote are opened, and give what they gave then.

`tests/data/saved_0.1.0/README.md` says how the files came about. They are never
written anew: where a test here fails, a user's work cannot be opened any more.
"""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from tifffile import imread

import gpcis_training
from _disk_predictor import DiskPredictor
from _fake_segmenter import FakeSegmenter
from _toy_backbone import ToyBackbone
from gpcis_training.config import load_config
from gpcis_training.data.pairing import find_pairs_of_files
from gpcis_training.engine.state import read_state
from gpcis_training.engine.trainer import Trainer
from gpcis_training.evaluation import (
    DrawingRule,
    EvaluationObject,
    ObjectSet,
    evaluate,
    load_results,
)
from gpcis_training.evaluation.datasets import save_objects
from gpcis_training.finetuning.output import output_files
from gpcis_training.finetuning.plan import read_plan
from napari_gpcis import Click, Segmenter, Session, list_models
from napari_gpcis.backbones import register
from napari_gpcis.batch import read_clicks
from napari_gpcis.checkpoints import InferenceSettings, load_checkpoint, read_info
from napari_gpcis.export import Calibration, write_coco, write_table
from napari_gpcis.plugin.dock.model_list import ModelList
from napari_gpcis.plugin.saving.recovery_file import read_recovery, unsaved_work
from napari_gpcis.plugin.saving.restore import without_unfinished
from napari_gpcis.prompts import SavedAnnotation, read_prompts, replay, write_prompts
from training._folders import write_disks
from training._label_files import write_set

if TYPE_CHECKING:
    import torch

SAVED = Path(__file__).parent / "data" / "saved_0.1.0"
EXPECTED = dict(np.load(SAVED / "expected.npz"))
SHAPE = (60, 72)
TOY = {"basis": 8, "gp_stride": 4}


@pytest.fixture(autouse=True)
def toy_network() -> None:
    register("toy", ToyBackbone)


def segmenter() -> FakeSegmenter:
    fake = FakeSegmenter()
    fake.info = replace(fake.info, extra={"fingerprint": "0123456789abcdef"})
    return fake


def pixels_of(labels: np.ndarray) -> dict[int, int]:
    ids, counts = np.unique(labels, return_counts=True)
    return {int(one): int(count) for one, count in zip(ids, counts, strict=True)}


def test_the_files_are_small() -> None:
    files = [file for file in SAVED.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 300_000


# Prompts of one plane -----------------------------------------------------------------


def two_channels() -> np.ndarray:
    return np.arange(np.prod(SHAPE) * 2, dtype=np.uint16).reshape(*SHAPE, 2)


def test_a_session_is_opened() -> None:
    session = Session.load(
        SAVED / "session.json",
        segmenter(),
        two_channels(),
        labels=EXPECTED["initial"],
    )
    np.testing.assert_array_equal(session.labels, EXPECTED["session"])
    assert pixels_of(session.labels) == {0: 2612, 9: 80, 10: 615, 12: 418, 13: 595}
    steps = [(one.id, one.how, one.overwrite, one.threshold) for one in session.steps]
    assert steps == [
        (10, "add", False, 0.5),
        (10, "add", False, 0.25),
        (10, "cut", False, 0.25),
        (12, "add", True, 0.25),
        (12, "replace", False, 0.25),
        (12, "replace", False, 0.25),
        (7, "delete", False, 0.5),
        (13, "add", False, 0.25),
    ]
    first = session.steps[0]
    assert first.view == (0, 0, 40, 50)
    assert first.clicks == (
        Click(20, 20),
        Click(24.25, 30.5),
        Click(14, 12, positive=False),
    )
    assert session.steps[4].start.label == 12
    assert session.steps[7].start.label is None
    # the object that was being corrected
    assert session.clicks == (
        Click(53, 63),
        Click(54, 61, positive=False),
        Click(40, 64),
    )
    assert session.threshold == 0.25
    assert session.current.prompts.view == (46, 54, 60, 72)
    assert session.current.prompts.start.label == 9
    np.testing.assert_array_equal(
        session.prediction.mask, EXPECTED["session_current"] > 0
    )


def test_a_session_is_saved_again_as_it_was(tmp_path: Path) -> None:
    session = Session.load(
        SAVED / "session.json",
        segmenter(),
        two_channels(),
        labels=EXPECTED["initial"],
    )
    session.save(tmp_path / "again.json")
    again = json.loads((tmp_path / "again.json").read_text())
    assert again == json.loads((SAVED / "session.json").read_text())


def test_a_session_goes_on_where_it_was() -> None:
    session = Session.load(
        SAVED / "session.json",
        segmenter(),
        two_channels(),
        labels=EXPECTED["initial"],
    )
    for left in (2, 1, 0):
        session.undo()
        assert len(session.clicks) == left
    for _ in range(8):
        session.reopen()
        session.clear()
    np.testing.assert_array_equal(session.labels, EXPECTED["initial"])


def test_a_session_of_version_1_is_opened() -> None:
    session = Session.load(
        SAVED / "session_version_1.json",
        segmenter(),
        np.zeros(SHAPE, np.uint8),
        labels=EXPECTED["initial"],
    )
    np.testing.assert_array_equal(session.labels, EXPECTED["version_1"])
    steps = [(one.id, one.how, one.overwrite, one.view) for one in session.steps]
    assert steps == [(10, "add", False, None), (11, "add", True, (0, 0, 60, 72))]
    assert session.clicks == (Click(40, 20),)
    np.testing.assert_array_equal(
        session.prediction.mask, EXPECTED["version_1_current"] > 0
    )


# Prompts of all planes, and the recovery file -----------------------------------------


def finished_work() -> np.ndarray:
    """The labels without the object that was being clicked, and as before a correction.

    Object 6 was being corrected: a background click had made a hole in it.
    """
    labels = EXPECTED["work"].copy()
    labels[labels == 4] = 0
    rows, cols = np.indices(SHAPE)
    labels[2][np.hypot(rows - 20, cols - 25) <= 12] = 6
    return labels


def check_annotation(saved: SavedAnnotation) -> None:
    assert (saved.image, saved.shape) == ("cells", (4, *SHAPE))
    assert saved.models == ("fake",)
    assert saved.ids == (1, 2, 5, 6)
    planes = [(plane.axes, plane.steps, plane.running) for plane in saved.planes]
    assert planes == [((1, 2), (0, 0, 0), 4), ((1, 2), (2, 0, 0), 0)]
    first, second = saved.planes
    done = [(one.id, one.how, one.overwrite, one.threshold) for one in first.objects]
    assert done == [
        (1, "add", False, 0.5),
        (1, "add", False, 0.5),
        (1, "cut", False, 0.5),
        (2, "add", False, 0.5),
        (2, "replace", False, 0.5),
        (3, "add", False, 0.5),
        (3, "delete", False, 0.5),
    ]
    assert first.objects[4].clicks == (Click(34, 56), Click(34, 50, positive=False))
    assert first.objects[0].view == (0, 0, 60, 72)
    assert first.sessions[0].fingerprint == "0123456789abcdef"
    running = first.sessions[-1].current
    assert (running.clicks, running.threshold) == ((Click(56, 10),), 0.25)
    done = [(one.id, one.overwrite, one.threshold) for one in second.objects]
    assert done == [(5, False, 0.25), (6, True, 0.25)]
    corrected = second.sessions[-1].current
    assert corrected.clicks == (Click(20, 25), Click(24, 32, positive=False))
    assert corrected.start.label == 6
    assert corrected.start.box == (8, 13, 33, 38)
    assert corrected.view == (0, 0, 46, 51)


def test_an_annotation_is_opened() -> None:
    saved = read_prompts(SAVED / "work.clicks.json")
    check_annotation(saved)
    assert saved.labels_file == "work.labels.tif"
    labels = imread(SAVED / "work.labels.tif")
    np.testing.assert_array_equal(labels, EXPECTED["work"])
    finished = finished_work()
    assert pixels_of(finished) == {0: 15418, 1: 806, 2: 360, 5: 255, 6: 441}
    stack = np.zeros(saved.shape, np.uint8)
    np.testing.assert_array_equal(replay(saved, segmenter(), stack), finished)
    np.testing.assert_array_equal(without_unfinished(saved, labels), finished)


def test_an_annotation_is_saved_again_as_it_was(tmp_path: Path) -> None:
    write_prompts(tmp_path / "again.json", read_prompts(SAVED / "work.clicks.json"))
    again = (tmp_path / "again.json").read_text()
    assert again == (SAVED / "work.clicks.json").read_text()


def test_work_that_a_crash_left_is_read() -> None:
    left = read_recovery(SAVED / "recovery.npz")
    check_annotation(left.saved)
    assert left.planes == (((1, 2), (0, 0, 0)), ((1, 2), (2, 0, 0)))
    assert (left.dtype, left.source, round(left.when)) == ("<i4", "", 1795749502)
    np.testing.assert_array_equal(left.labels(), EXPECTED["work"])
    np.testing.assert_array_equal(
        without_unfinished(left.saved, left.labels()), finished_work()
    )


def test_work_that_a_crash_left_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAPARI_GPCIS_STATE", str(tmp_path))
    (tmp_path / "recovery").mkdir()
    shutil.copy(SAVED / "recovery.npz", tmp_path / "recovery" / "0a1b.npz")
    (left,) = unsaved_work()
    check_annotation(left.saved)


def test_exports_are_as_they_were(tmp_path: Path) -> None:
    known = Calibration.of(3, (2, 0.5, 0.25), ["micrometer"] * 3, axes=(1, 2))
    counts = {((0,), 1): 4, ((0,), 2): 2, ((2,), 5): 1, ((2,), 6): 1}
    labels = EXPECTED["work"]
    write_table(tmp_path / "work.csv", labels, counts, known)
    with (
        (tmp_path / "work.csv").open(newline="") as ours,
        (SAVED / "work.csv").open(newline="") as theirs,
    ):
        rows, before = [*csv.DictReader(ours)], [*csv.DictReader(theirs)]
    known_then = [*before[0]]
    assert [*rows[0]][: len(known_then)] == known_then  # later columns come after
    for row, old in zip(rows, before, strict=True):
        for name in known_then:
            try:
                assert float(row[name]) == pytest.approx(float(old[name]))
            except ValueError:
                assert row[name] == old[name]
    write_coco(tmp_path / "work.coco.json", labels, "cells", known)
    coco = json.loads((tmp_path / "work.coco.json").read_text())
    assert coco == json.loads((SAVED / "work.coco.json").read_text())
    np.testing.assert_array_equal(imread(SAVED / "work.ome.tif"), labels)


# Models -------------------------------------------------------------------------------


def digest(state: dict[str, torch.Tensor]) -> str:
    """The digest of names and values, as float32."""
    found = sha256()
    for name in sorted(state):
        found.update(name.encode())
        found.update(state[name].detach().numpy().astype("<f4").tobytes())
    return found.hexdigest()[:16]


def test_a_checkpoint_is_loaded() -> None:
    model, info = load_checkpoint(SAVED / "toy.safetensors")
    assert info == read_info(SAVED / "toy.safetensors")
    assert (info.name, info.architecture, info.options) == ("toy", "toy", TOY)
    assert info.licence == "CC0-1.0"
    assert info.training_data == "none"
    assert info.description == "Knows nothing."
    assert info.extra == {"fingerprint": "fedcba9876543210"}
    # settings that came later have their defaults
    assert asdict(info.inference) == {**asdict(InferenceSettings()), **SETTINGS}
    assert digest(model.state_dict()) == CHECKPOINT_DIGEST
    loaded = Segmenter.from_pretrained(SAVED / "toy.safetensors", device="cpu")
    session = Session(loaded, np.arange(4320, dtype=np.uint16).reshape(SHAPE))
    session.add_click(20, 30)
    probability = session.prediction.probability
    assert probability[20, 30] == pytest.approx(0.6257, abs=0.01)
    assert session.prediction.mask[20, 30]
    assert session.threshold == 0.4


SETTINGS: dict[str, Any] = {
    "infer_size": 64,
    "epsilon2": 1e-07,
    "gp_stride": 4,
    "expansion": 1.4,
    "crop_threshold": 0.49,
    "mask_threshold": 0.4,
    "antialias": True,
    "mirror": False,
}
CHECKPOINT_DIGEST = "1342e8d6f1729dcc"


def test_model_files_that_were_opened_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAPARI_GPCIS_STATE", str(tmp_path))
    shutil.copy(SAVED / "model-files.json", tmp_path)
    choices = [one for one in ModelList().choices() if one.entry is None]
    assert [Path(one.key) for one in choices] == [
        Path("/models/cells.safetensors"),
        Path("/models/of mine/nuclei.safetensors"),
    ]
    assert choices[0].title == "cells.safetensors (file not found)"


# Training -----------------------------------------------------------------------------


def test_the_configuration_has_its_defaults(tmp_path: Path) -> None:
    short = tmp_path / "short.yaml"
    short.write_text("network: toy\ndata: [{path: cells}]\n")
    whole = load_config(SAVED / "defaults.yaml")
    assert load_config(short) == whole
    values = json.loads(json.dumps(asdict(whole)))
    saved = yaml.safe_load((SAVED / "defaults.yaml").read_text())
    assert known_part(values, saved) == saved


def known_part(values: dict[str, Any], saved: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of a mapping, and of those in it, that were saved."""
    found = {name: values[name] for name in saved}
    for name, value in saved.items():
        if isinstance(value, dict):
            found[name] = known_part(values[name], value)
        elif name == "data":
            sets = zip(values[name], value, strict=True)
            found[name] = [known_part(one, known) for one, known in sets]
    return found


def test_a_training_state_is_read_and_training_goes_on(tmp_path: Path) -> None:
    write_disks(tmp_path / "disks")
    shutil.copytree(SAVED / "run", tmp_path / "run")
    state = read_state(tmp_path / "run" / "state.pt")
    assert (state["step"], state["drawn"]) == (4, 5)
    assert state["places"]["index"].tolist() == [2, 4]
    assert state["places"]["turn"].tolist() == [1, 0]
    assert state["places"]["points"].shape == (2, 48, 3)
    assert state["places"]["previous"].shape == (2, 1, 32, 32)
    assert digest(state["model"]) == STATE_DIGEST
    config = load_config(tmp_path / "run" / "config.yaml")
    assert (config.network, config.options, config.steps) == ("toy", TOY, 12)
    assert (config.batch_size, config.augment.size) == (2, 32)
    trainer = Trainer(config, tmp_path, tmp_path / "run")
    assert trainer.resume()
    assert (trainer.step, trainer.drawn) == (4, 5)
    assert digest(trainer.network.state_dict()) == STATE_DIGEST
    moments = trainer.optimiser.state_dict()["state"]
    assert {float(one["step"]) for one in moments.values()} == {4.0}
    trainer.fit()
    assert trainer.step == 12
    assert digest(trainer.network.state_dict()) != STATE_DIGEST


STATE_DIGEST = "b989e322b4ceccea"


@pytest.fixture
def unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the start model and the fine-tuning that was interrupted."""
    monkeypatch.setenv("NAPARI_GPCIS_HOME", str(tmp_path))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(SAVED / "toy.safetensors", models)
    shutil.copytree(SAVED / "tuned.unfinished", models / "tuned.unfinished")
    return tmp_path


def test_the_plan_of_a_fine_tuning_is_read(unfinished: Path) -> None:
    plan = read_plan(output_files("tuned"))
    assert (plan.start, plan.precision, plan.patience) == ("toy", "32-true", 6)
    assert plan.validation.objects == (
        EvaluationObject("00002.png", "00002.png", (1,)),
        EvaluationObject("00002.png", "00002.png", (2,)),
    )
    rule = plan.validation.rule
    assert (rule.per_image, rule.min_area, rule.window) == (2, 64, 256)
    assert (plan.before.clicks85, plan.before.failures) == (20.0, 2)
    assert plan.before.iou1 == plan.before_few.iou1 == 0.103828125
    config = plan.config
    assert (config.name, config.steps, config.batch_size) == ("tuned", 6, 2)
    assert (config.augment.size, config.augment.zoom) == (64, 0.6)
    assert config.augment.zoom_range == (1.1, 3.2)
    assert config.clicks.strategies == (0.1, 0.4, 0.5)
    assert (config.optimiser.lr, config.optimiser.encoder_lr) == (0.001, 0.15)
    assert config.frozen_statistics
    assert plan.about["split"]["val"] == ["cell 2.png"]


def test_a_fine_tuning_goes_on(unfinished: Path) -> None:
    told: list[dict[str, Any]] = []
    result = gpcis_training.finetune(
        "toy", "images", "labels", "tuned", resume=True, listener=told.append
    )
    assert [entry["event"] for entry in told[:3]] == ["before", "validation", "note"]
    assert told[1]["step"] == 2
    for event, name in ((0, "figures"), (0, "few"), (1, "figures")):
        assert told[event][name]["score"] == 20.0  # the file has none
    assert told[2]["message"] == "going on at step 2"
    assert result.record["training"]["steps"] == 6
    assert result.before.iou5 == 0.3131693867142675
    old = json.loads((SAVED / "tuned.json").read_text())
    assert result.record.keys() == old.keys()
    assert result.record["split"] == old["split"]
    assert result.record["options"] == old["options"]
    assert not result.improved  # in six steps
    assert result.path is None
    assert "tuned" not in [model.name for model in list_models()]


def test_the_record_of_a_fine_tuning_gives_its_split(unfinished: Path) -> None:
    write_set(unfinished, 4)
    result = gpcis_training.finetune(
        "toy",
        unfinished / "images",
        unfinished / "labels",
        "other",
        split=SAVED / "tuned.json",
        steps=1,
        batch_size=2,
        size=64,
        workers=0,
        objects=1,
        precision="32-true",
    )
    assert [*result.record["split"]["train"]] == ["cell 0.png", "cell 1.png"]
    assert [*result.record["split"]["val"]] == ["cell 2.png"]


def test_pairs_of_files_are_read(tmp_path: Path) -> None:
    write_set(tmp_path, 2)
    images, labels = tmp_path / "images", tmp_path / "labels"
    for name, count in (("pairs.csv", 1), ("pairs.json", 2)):
        pairs, _ = find_pairs_of_files(images, labels, SAVED / name)
        (pair,) = pairs
        assert pair.image == images / "cell 0.png"
        files = tuple(labels / f"cell {number}.png" for number in range(count))
        assert pair.labels == files


# Evaluation, clicks on many images ----------------------------------------------------


def test_results_are_loaded() -> None:
    (result,) = load_results(SAVED / "results.json")
    assert (result.method, result.objects) == ("DiskPredictor", "cells")
    assert (result.max_clicks, result.target, result.label) == (6, 0.9, "DiskPredictor")
    assert (result.view, result.clicks) == ("64 px window", "centre")
    assert result.items == ITEMS
    first = result.runs[0]
    assert first.clicks[:3] == (Click(28, 30), Click(15, 28), Click(9, 25, False))
    assert first.ious[0] == 0.5087719298245614
    assert first.seconds == (0.125,) * 6
    assert first.violations == (0,) * 6
    assert first.missed == (False,) * 6
    again = json.loads(json.dumps({"results": [result.to_dict()]}))
    assert_close(again, json.loads((SAVED / "results.json").read_text()))


def assert_close(ours: Any, theirs: Any) -> None:
    """Compare JSON; means and errors may differ in the last digit."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for name in theirs:
            assert_close(ours[name], theirs[name])
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_close(one, other)
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, nan_ok=True)
    else:
        assert ours == theirs


ITEMS = tuple(
    EvaluationObject(f"cell {image}.png", f"cell {image}.png", (number,))
    for image in (0, 1)
    for number in (1, 2)
)


def test_an_evaluation_goes_on(tmp_path: Path) -> None:
    write_set(tmp_path / "cells", 2)
    (old,) = load_results(SAVED / "results.json")
    lines = (SAVED / "results.partial").read_text().splitlines()
    half = tmp_path / "half.partial"
    half.write_text("\n".join([*lines[:3], lines[-1][:80]]))  # two runs, one cut off
    drawn = json.loads((SAVED / "objects.json").read_text())
    rule = evaluation_rule(drawn["rule"])
    predictor = DiskPredictor()
    result = evaluate(
        predictor,
        tmp_path,
        ObjectSet(drawn["name"], drawn["folder"], rule, ITEMS),
        max_clicks=6,
        partial=half,
        progress=False,
    )
    assert predictor.calls == sum(len(run.ious) for run in old.runs[2:])
    assert [run.ious for run in result.runs] == [run.ious for run in old.runs]
    assert [run.clicks for run in result.runs] == [run.clicks for run in old.runs]


def evaluation_rule(values: dict[str, Any]) -> DrawingRule:
    return DrawingRule(**{**values, "exclude": tuple(values["exclude"])})


def test_lists_of_objects_are_written_as_they_were(tmp_path: Path) -> None:
    drawn = json.loads((SAVED / "objects.json").read_text())
    items = tuple(
        EvaluationObject(image, label, tuple(ids))
        for image, label, ids in drawn["objects"]
    )
    assert items == ITEMS
    rule = evaluation_rule(drawn["rule"])
    save_objects(tmp_path / "o.json", ObjectSet("cells", "cells", rule, items))
    assert (tmp_path / "o.json").read_text() == (SAVED / "objects.json").read_text()


def test_a_table_of_clicks_is_read() -> None:
    first, second = read_clicks(SAVED / "clicks.csv")
    assert (first.image, second.image) == (SAVED / "a.tif", SAVED / "b.tif")
    assert first.objects == (
        (Click(20, 30), Click(25.5, 30, positive=False)),
        (Click(4, 5),),
    )
    assert second.objects == ((Click(1, 2),),)
