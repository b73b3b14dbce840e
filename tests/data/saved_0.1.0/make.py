"""Writes the files of this folder; it was run once, with version 0.1.0.

Never run it again: the files are there to show that later versions read what 0.1.0
wrote. It is kept to tell how they came about.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from _disk_predictor import DiskPredictor
from _fake_segmenter import FakeSegmenter
from _toy_backbone import ToyBackbone
from napari_gpcis import Session
from napari_gpcis.backbones import register
from napari_gpcis.checkpoints import InferenceSettings, ModelInfo, save_checkpoint
from napari_gpcis.model import build_model

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE = (60, 72)
TOY = {"basis": 8, "gp_stride": 4}


def segmenter() -> FakeSegmenter:
    fake = FakeSegmenter()
    fake.info = replace(fake.info, extra={"fingerprint": "0123456789abcdef"})
    return fake


def picture() -> np.ndarray:
    """Two channels; the fake looks at neither."""
    return np.arange(np.prod(SHAPE) * 2, dtype=np.uint16).reshape(*SHAPE, 2)


def initial_labels() -> np.ndarray:
    labels = np.zeros(SHAPE, np.int32)
    labels[2:8, 3:9] = 7
    labels[50:58, 60:70] = 9
    return labels


def write_sessions(expected: dict[str, np.ndarray]) -> None:
    expected["initial"] = initial_labels()
    session = Session(
        segmenter(),
        picture(),
        contrast=(10, 4000),
        channels=(1, 0),
        labels=initial_labels(),
    )
    session.view = (0, 0, 40, 50)
    session.add_click(20, 20)
    session.add_click(24.25, 30.5)
    session.add_click(14, 12, False)
    session.accept()  # 10
    session.threshold = 0.25
    session.add_click(40, 20)
    session.accept(label=10, how="add")
    session.add_click(20, 20)
    session.accept(label=10, how="cut")
    session.add_click(30, 50)
    session.accept(label=12, overwrite=True)
    session.refine(12)
    session.add_click(34, 50, False)
    session.accept()
    session.add_click(30, 62)
    session.accept(label=12, how="replace")
    session.delete(7)
    mask = np.zeros(SHAPE, bool)
    mask[44:50, 40:52] = True
    session.start_from(mask)
    session.add_click(47, 50)
    session.accept()  # 13
    expected["session"] = session.labels.copy()
    session.refine(9)
    session.add_click(54, 61, False)
    session.add_click(40, 64)
    expected["session_current"] = session.prediction.mask
    session.save(HERE / "session.json")

    session = Session(segmenter(), picture()[..., 0], labels=initial_labels())
    session.add_click(20, 20)
    session.add_click(20, 26, False)
    session.accept()
    session.add_click(26, 36)
    session.accept(overwrite=True)
    session.add_click(40, 20)
    expected["version_1"] = session.labels.copy()
    expected["version_1_current"] = session.prediction.mask
    file = HERE / "session_version_1.json"
    session.save(file)
    saved = json.loads(file.read_text())
    saved["version"] = 1
    for item in (*saved["objects"], saved["current"]):
        del item["how"], item["start"]
    file.write_text(json.dumps(saved, indent=1) + "\n")


class Widget:
    """The parts of a widget that keep and save, without a window."""

    def __init__(self, state: Path) -> None:
        from napari.components import ViewerModel
        from napari_gpcis.plugin.binding import Binding
        from napari_gpcis.plugin.panels.files import FilesPanel
        from napari_gpcis.plugin.picking import Picking
        from napari_gpcis.plugin.safekeeping import Safekeeping
        from qtpy.QtWidgets import QApplication

        os.environ["NAPARI_GPCIS_STATE"] = str(state)
        self.app = QApplication.instance() or QApplication([])
        self.viewer, fake = ViewerModel(), segmenter()
        self.binding = Binding(self.viewer, lambda name: fake, "fake")
        self.keeping = Safekeeping(self.viewer, self.binding)
        self.panel = FilesPanel(self.binding)
        self.picking = Picking(self.binding)
        self.image = self.viewer.add_image(
            np.zeros((4, *SHAPE), np.uint8),
            name="cells",
            scale=(2, 0.5, 0.25),
            units=("um", "um", "um"),
        )
        self.keeping.serve([self.panel], lambda: self.image)

    def until(self, condition: Callable[[], Any]) -> None:
        from napari_gpcis.plugin.robot import wait_for

        assert wait_for(lambda: bool(condition()), 60)

    @property
    def annotation(self) -> Any:
        return self.binding.annotation

    def click(self, *places: tuple[int, int, int], positive: bool = True) -> None:
        layers = self.annotation.layers
        layer = layers.positive if positive else layers.negative
        count = len(self.annotation.current.clicks)
        for place in places:
            layer.add(place)
            count += 1
            self.until(lambda count=count: self.settled(count))

    def settled(self, clicks: int) -> bool:
        current = self.annotation.current
        session = current and current.session
        return bool(
            session
            and not current.busy
            and len(session.clicks) == len(current.clicks) == clicks
            and (not clicks or session.prediction is not None)
        )

    def accept(self) -> None:
        self.binding.command("accept")
        self.until(lambda: self.settled(0))

    def write_as(self, way: str, label: int) -> None:
        self.annotation.layers.labels.selected_label = label
        self.binding.writing.way = way

    def go_to(self, plane: int) -> None:
        self.viewer.dims.set_current_step(0, plane)
        self.until(lambda: self.annotation.current.plane.steps[0] == plane)
        self.until(lambda: self.annotation.current.session)


def write_work(expected: dict[str, np.ndarray]) -> None:
    from napari_gpcis.plugin.planes import Plane
    from napari_gpcis.plugin.preferences import PREFERENCES

    with TemporaryDirectory() as state:
        widget = Widget(Path(state))
        assert widget.binding.start(widget.image)
        widget.until(lambda: widget.binding.session)
        widget.go_to(0)
        widget.click((0, 20, 20), (0, 24, 30))
        widget.accept()
        widget.write_as("add", 1)
        widget.click((0, 40, 20))
        widget.accept()
        widget.write_as("cut", 1)
        widget.click((0, 20, 12))
        widget.accept()
        widget.write_as("new", 1)
        widget.click((0, 30, 52))
        widget.accept()
        widget.write_as("replace", 2)
        widget.click((0, 34, 56))
        widget.click((0, 34, 50), positive=False)
        widget.accept()
        widget.write_as("new", 2)
        widget.click((0, 52, 64))
        widget.accept()
        widget.annotation.delete([(Plane((1, 2), (0, 0, 0)), 3)])
        widget.annotation.current.set_threshold(0.25)
        widget.binding.writing.threshold = 0.25
        widget.click((0, 56, 10))  # goes on running there
        widget.go_to(2)
        widget.click((2, 15, 15))
        widget.accept()
        PREFERENCES.protect = False
        widget.click((2, 20, 25))
        widget.accept()
        labels = widget.annotation.layers.labels
        labels.selected_label = int(labels.data[2].max())
        widget.picking.refine_selected()
        widget.until(lambda: widget.settled(1))
        widget.click((2, 24, 32), positive=False)
        expected["work"] = np.array(labels.data, np.int32)
        for name, file in {
            "save": "work",
            "labels": "work.ome.tif",
            "table": "work.csv",
            "coco": "work.coco.json",
        }.items():
            widget.panel.write(name, HERE / file)
            widget.until(lambda: not widget.panel.saver.busy)
        recovery = widget.keeping.keeper._kept[0][1]
        recovery.write()
        widget.until(lambda: not recovery._thread.busy(recovery.file))
        shutil.copy(recovery.file.path, HERE / "recovery.npz")
        widget.panel.close_links()
        widget.keeping.end()
        widget.binding.close()


def write_models() -> None:
    register("toy", ToyBackbone)
    torch.manual_seed(0)
    network = build_model("toy", **TOY)
    info = ModelInfo(
        "toy",
        "toy",
        options=TOY,
        inference=InferenceSettings(infer_size=64, gp_stride=4, mask_threshold=0.4),
        licence="CC0-1.0",
        training_data="none",
        description="Knows nothing.",
        extra={"fingerprint": "fedcba9876543210"},
    )
    save_checkpoint(HERE / "toy.safetensors", network, info)
    files = ["/models/cells.safetensors", "/models/of mine/nuclei.safetensors"]
    (HERE / "model-files.json").write_text(json.dumps(files))


def write_training() -> None:
    from gpcis_training.config import FitConfig, FolderConfig, save_config
    from training._folders import write_disks
    from training._runs import toy_config, train

    save_config(HERE / "defaults.yaml", FitConfig("toy", (FolderConfig("cells"),)))
    config = toy_config(options=TOY, batch_size=2, steps=12)
    config = replace(config, augment=replace(config.augment, size=32))
    with TemporaryDirectory() as folder:
        root = Path(folder)
        write_disks(root / "disks")
        trainer = train(config, root, root / "run", until=4)
        assert trainer.step == 4
        shutil.copytree(root / "run", HERE / "run")


def write_finetuning() -> None:
    from gpcis_training.finetuning._watch import Watch

    import gpcis_training
    from training._label_files import disks, write

    options: dict[str, Any] = {
        "steps": 6,
        "batch_size": 2,
        "size": 64,
        "workers": 0,
        "objects": 2,
        "precision": "32-true",
    }
    called = Watch.__call__

    def interrupted(self: Watch, trainer: Any, figures: Any) -> bool:
        go_on = called(self, trainer, figures)
        if trainer.step == 2:
            trainer.save()
            self.validate(trainer)
        if trainer.step == 3:
            raise KeyboardInterrupt
        return go_on

    with TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ["NAPARI_GPCIS_HOME"] = folder
        (root / "models").mkdir()
        shutil.copy(HERE / "toy.safetensors", root / "models")
        for index in range(3):
            image, labels = disks(index, 80)
            write(root / "images" / f"cell {index}.png", image)
            write(root / "labels" / f"cell {index}.png", labels)
        os.chdir(root)
        patch = mock.patch.object(Watch, "__call__", interrupted)
        with patch, suppress(KeyboardInterrupt):
            gpcis_training.finetune("toy", "images", "labels", "tuned", **options)
        unfinished = root / "models" / "tuned.unfinished"
        shutil.copytree(unfinished, HERE / "tuned.unfinished")
        gpcis_training.finetune(
            "toy", "images", "labels", "tuned", overwrite=True, **options
        )
        shutil.copy(root / "models" / "tuned.json", HERE)


def write_evaluation() -> None:
    from gpcis_training.evaluation import (
        DrawingRule,
        ObjectSet,
        draw_objects,
        evaluate,
        save_results,
    )
    from gpcis_training.evaluation.datasets import save_objects
    from training._label_files import write_set

    with TemporaryDirectory() as folder:
        root = Path(folder)
        write_set(root / "cells", 2)
        rule = DrawingRule(window=64)
        drawn = ObjectSet("cells", "cells", rule, draw_objects(root / "cells", rule))
        save_objects(HERE / "objects.json", drawn)
        result = evaluate(
            DiskPredictor(),
            root,
            drawn,
            max_clicks=6,
            partial=HERE / "results.partial",
            progress=False,
        )
    fixed = [
        replace(run, seconds=tuple(0.125 for _ in run.seconds)) for run in result.runs
    ]
    save_results(HERE / "results.json", [replace(result, runs=tuple(fixed))])


def write_tables() -> None:
    (HERE / "clicks.csv").write_text(
        "image,row,col,positive,object\n"
        "a.tif,20,30,1,1\n"
        "a.tif,25.5,30,0,1\n"
        "b.tif,1,2,yes,nucleus\n"
        "a.tif,4,5,+,2\n"
    )
    (HERE / "pairs.csv").write_text("image,labels\ncell 0.png,cell 0.png\n")
    (HERE / "pairs.json").write_text('{"cell 0.png": ["cell 0.png", "cell 1.png"]}\n')


def main() -> None:
    if (HERE / "expected.npz").exists():
        raise SystemExit("the files are there, and must never be written anew")
    expected: dict[str, np.ndarray] = {}
    write_tables()
    write_sessions(expected)
    write_work(expected)
    write_models()
    write_training()
    write_evaluation()
    write_finetuning()
    np.savez_compressed(HERE / "expected.npz", **expected)


if __name__ == "__main__":
    main()
