"""What napari finds in the manifest: the widget, and samples without a network."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManifest
from qtpy.QtWidgets import QLabel, QMenu

from napari_gpcis.plugin.sample_data import read_sample
from napari_gpcis.plugin.widget import GPCISWidget

ROOT = Path(__file__).parents[2]


@pytest.fixture
def manifest() -> PluginManifest:
    return PluginManifest.from_file(ROOT / "napari.yaml")


@pytest.fixture
def no_network(monkeypatch) -> None:
    def refuse(*args: object) -> None:
        msg = "a sample must not use the network"
        raise AssertionError(msg)

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_napari_opens_the_widget_by_the_plugins_name(
    make_napari_viewer_proxy,
) -> None:
    viewer = make_napari_viewer_proxy().__wrapped__
    _, widget = viewer.window.add_plugin_dock_widget("napari-gpcis")
    assert isinstance(widget, GPCISWidget)
    assert widget.findChildren(QLabel)
    _, again = viewer.window.add_plugin_dock_widget("napari-gpcis", "GPCIS")
    assert again is widget
    widget.shut_down()


def test_the_menus_have_the_names_that_the_documents_say(make_napari_viewer) -> None:
    window, plugin = make_napari_viewer().window, "GPCIS interactive segmentation"
    path = f"Plugins > {plugin}"

    def menu(parent: QMenu, name: str) -> QMenu:
        actions = [one for one in parent.actions() if one.menu() is not None]
        return next(one.menu() for one in actions if one.text() == name)

    names = [one.text() for one in menu(window.plugins_menu, plugin).actions()]
    assert names == [f"GPCIS ({plugin})", f"Fine-tune ({plugin})"]
    segment = [one.text() for one in menu(window.layers_menu, "Segment").actions()]
    annotate = [one.text() for one in menu(window.layers_menu, "Annotate").actions()]
    for names in (segment, annotate):
        assert f"Segment by clicks ({plugin})" in names
    assert "*Layers > Segment > Segment by clicks*" in (
        ROOT / "docs/first-mask.md"
    ).read_text("utf-8")
    for page in ("README.md", "docs/first-mask.md", "docs/correcting.md"):
        assert f"*{path} > GPCIS*" in (ROOT / page).read_text("utf-8")
    assert f"*{path} > Fine-tune*" in (ROOT / "docs/fine-tuning.md").read_text("utf-8")


def test_samples_open_without_a_network(make_napari_viewer, no_network) -> None:
    viewer = make_napari_viewer()
    for key in ("nuclei-fluorescence", "nuclei-stained", "cat"):
        viewer.open_sample("napari-gpcis", key)
    assert [layer.ndim for layer in viewer.layers] == [2, 2, 2]
    assert [layer.rgb for layer in viewer.layers] == [False, True, True]


def test_samples_in_the_manifest_are_image_layers(manifest, no_network) -> None:
    samples = manifest.contributions.sample_data
    assert len(samples) == 3
    for sample in samples:
        (layer,) = sample.open()
        assert layer[2] == "image"
        assert layer[0].size > 10_000


@pytest.mark.parametrize("name", ["nuclei_fluorescence", "nuclei_stained"])
def test_known_masks_fit_their_samples(name) -> None:
    image, labels = read_sample(name), read_sample(f"{name}_labels")
    assert labels.shape == image.shape[:2]
    assert len(np.unique(labels)) > 10


def test_commands_exist(manifest) -> None:
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert hasattr(__import__(module, fromlist=[name]), name)
