"""Pictures of work: correcting, folders, stacks, fine-tuning, recovery, console."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from material import artificial_stack, automatic_labels, known_labels, whole
from qtpy.QtCore import Qt
from skimage import data
from stage import Stage, settle

from napari_gpcis.plugin.sample_data import read_sample

if TYPE_CHECKING:
    from napari_gpcis.plugin.dock.panels.base import Panel

NUCLEI = "nuclei-fluorescence"
ALT = Qt.KeyboardModifier.AltModifier
TINY = ["--objects=6", "--steps=4000", "--size=128", "--batch-size=4", "--workers=0"]
"""A training for a picture: it need not be good, but it is real."""
BEGINNER = "gpcis-mobilenet-v2"
"""A model that has seen no microscopy: two images teach it something."""
MINUTES, MOST_OF_IT = 2, 600
"""Time of the training, and its thousandths after which the picture is taken."""


def cellpose() -> None:
    """Objects of another program, one of them being corrected."""
    known, found = known_labels(), automatic_labels()
    with Stage() as stage:
        stage.sample(NUCLEI)
        labels = stage.viewer.add_labels(found.labels, name="nuclei_cp_masks")
        stage.open_widget()
        stage.viewer.reset_view()
        stage.picture("cellpose-before")
        stage.widget.labels_combo.layer = labels
        stage.start()
        wanted = known == found.partial
        stage.look_at(wanted)
        place = np.argwhere(found.labels == found.partial).mean(axis=0)
        stage.robot.click(stage.image, place, modifier=ALT)
        stage.until(lambda: stage.clicks)
        stage.drawn(1)
        live = stage.plane_labels() == found.partial
        missing = np.argwhere(wanted & ~live).mean(axis=0)
        stage.click(*missing)
        stage.unfold("Objects")
        stage.picture("cellpose-correcting")


def folder() -> None:
    """Three images of a folder; the clicks of one are saved."""
    known = known_labels()
    place = Path(tempfile.mkdtemp())
    with Stage("light") as stage:
        one = read_sample("nuclei_fluorescence")
        files = np.stack([one, np.rot90(one), one[::-1]])
        stage.viewer.add_image(files, name="wells", contrast_limits=(0, files.max()))
        stage.viewer.dims.axis_labels = ("file", "y", "x")
        stage.viewer.dims.set_current_step(0, 0)
        stage.open_widget()
        stage.start()
        for number in whole(known)[:3]:
            stage.finish(known == number, 4)
        panel = _panel(stage, "Files")
        stage.viewer.reset_view()
        panel.write("save", place / "wells.clicks.json")
        stage.until(lambda: panel.message.text().startswith("Saved"))
        stage.unfold("Files")
        stage.picture("folder")
    shutil.rmtree(place)


def stack() -> None:
    """Follow an object through a stack."""
    planes, known = artificial_stack()
    middle = len(planes) // 2
    with Stage() as stage:
        stage.viewer.add_image(planes, name="stack", contrast_limits=(0, planes.max()))
        stage.viewer.dims.set_current_step(0, middle)
        stage.open_widget()
        stage.start()
        sizes = {n: int((known[middle] == n).sum()) for n in whole(known[middle], 400)}
        chosen = max(sizes, key=sizes.__getitem__)
        wanted = known[middle] == chosen
        stage.look_at(wanted)
        stage.segment(wanted, 3)
        panel = _panel(stage, "Stack")
        stage.unfold(panel.title)
        stage.push(panel.propagate_both)
        stage.until(lambda: panel.propagation.found and not panel.propagation.running)
        stage.viewer.dims.set_current_step(0, middle + 1)
        settle()
        stage.show(panel.planes)
        stage.picture("stack")


def finetune() -> None:
    """Show a training that is under way."""
    with Stage("light") as stage:
        for name in ("nuclei_fluorescence", "nuclei_stained"):
            picture = read_sample(name)
            stage.viewer.add_image(picture, name=name, rgb=picture.ndim == 3)
            labels = read_sample(f"{name}_labels").astype(np.int32)
            stage.viewer.add_labels(labels, name=f"{name} labels")
        widget = stage.open_widget("Fine-tune")
        grid = stage.viewer.canvas.grid
        grid.stride, grid.enabled = 2, True
        stage.viewer.reset_view()
        first, layers = widget.layers.rows[0], stage.viewer.layers
        first[1].layer = layers["nuclei_fluorescence labels"]
        first[0].layer = layers["nuclei_fluorescence"]
        stage.push(widget.layers.more)
        widget.name.setText("my-nuclei")
        widget.model.choose(BEGINNER)
        widget.minutes.setValue(MINUTES)
        widget.more_arguments = TINY
        stage.push(widget.start_button)
        progress = widget.progress
        stage.until(lambda: progress.message.text().startswith("Training"))
        stage.until(lambda: progress.bar.value() > MOST_OF_IT)
        stage.picture("finetune")
        stage.push(widget.stop_button)
        stage.until(lambda: not widget.busy)


def recovery() -> None:
    """Show the line that offers what a crash has left behind."""
    known = known_labels()
    state = Path(os.environ["NAPARI_GPCIS_STATE"]) / "recovery"
    with Stage() as stage:
        stage.sample(NUCLEI)
        stage.open_widget()
        stage.start()
        for number in whole(known)[:3]:
            stage.look_at(known == number)
            stage.segment(known == number, 2)
            stage.accept()
        stage.until(lambda: list(state.glob("*.npz")))
        settle(2)
        (file,) = state.glob("*.npz")
        shutil.copy(file, state.parent / "kept.npz")
    shutil.move(state.parent / "kept.npz", state / "left.npz")
    with Stage() as stage:
        stage.sample(NUCLEI)
        widget = stage.open_widget()
        stage.viewer.reset_view()
        stage.picture("recovery")
        stage.push(widget.recovery.banner.discard)


def console() -> None:
    """Drive the widget from napari's console."""
    with Stage() as stage:
        stage.viewer.add_image(np.asarray(data.coins()), name="coins")
        stage.open_widget()
        stage.start()
        shown = stage.viewer.window._qt_viewer
        shown.toggle_console_visibility()
        settle()
        shown.console.push({"widget": stage.widget})
        stage.viewer.window.resize(1280, 720)
        settle()
        stage.viewer.reset_view()
        for line in (
            "widget.session.view = (90, 10, 160, 80)",
            "widget.session.add_click(124, 45)",
            "widget.session.accept()",
            "(widget.session.labels == 1).sum()",
        ):
            shown.console.execute(line, interactive=True)
            settle()
        stage.picture("console")


def _panel(stage: Stage, title: str) -> Panel:
    """Return a section of the widget."""
    return next(one for one in stage.widget.panels if one.title == title)
