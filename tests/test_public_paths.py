"""What scripts, manifests and command lines of others name: it stays where it is.

Names may be added. Where one has to go, it goes through a release that warns.
"""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from dataclasses import asdict
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from npe2 import PluginManifest

from napari_gpcis import Click, Prediction, Segmenter, Session, propagation
from napari_gpcis.model import GPCIS, ClickNetwork, build_model
from napari_gpcis.plugin.settings.preferences import SECTIONS, SHORTCUTS, Preferences
from napari_gpcis.plugin.tools.scripting import ViewerSession
from napari_gpcis.plugin.widget import GPCISWidget

ROOT = Path(__file__).parents[1]
DATA = Path(__file__).parent / "data"

# What each module offers --------------------------------------------------------------

PUBLIC: dict[str, tuple[str, ...]] = {
    "napari_gpcis": (
        "Click",
        "Prediction",
        "Segmenter",
        "Session",
        "__version__",
        "list_models",
    ),
    "napari_gpcis.clicks": ("Click", "DISK_RADIUS", "disk_maps", "points_tensor"),
    "napari_gpcis.errors": (
        "CheckpointError",
        "DownloadError",
        "GPCISError",
        "InputError",
        "UnknownModelError",
    ),
    "napari_gpcis.checkpoints": (
        "InferenceSettings",
        "ModelEntry",
        "ModelInfo",
        "broken_user_models",
        "convert_checkpoint",
        "download_model",
        "find_checkpoint",
        "list_models",
        "load_checkpoint",
        "read_info",
        "save_checkpoint",
        "user_model_file",
        "user_model_folder",
    ),
    "napari_gpcis.gp": (
        "Columns",
        "Conditioned",
        "Field",
        "amortised_mean",
        "click_kernel",
        "condition",
        "cross_kernel",
        "fourier_basis",
        "observed",
        "prior_mean",
        "sample_weight",
        "update_mean",
        "variance",
        "variational_loss",
    ),
    "napari_gpcis.backbones": ("Backbone", "available", "create_backbone", "register"),
    "napari_gpcis.model": (
        "ClickNetwork",
        "Draws",
        "Encoded",
        "GPCIS",
        "GPScores",
        "LinearNetwork",
        "TRAINING_EPSILON2",
        "build_model",
        "model_options",
    ),
    "napari_gpcis.session": ("FinishedObject", "Session"),
    "napari_gpcis.prompts": (
        "STACK_FORMAT",
        "SavedAnnotation",
        "SavedPlane",
        "VERSION",
        "parse_annotation",
        "read_prompts",
        "replay",
        "replay_plane",
        "write_prompts",
    ),
    "napari_gpcis.propagation": (
        "Carried",
        "PlaneResult",
        "StopRule",
        "begin",
        "carry",
        "contrast_to_noise",
        "distinctness",
        "follow",
        "inner_clicks",
        "propagate_step",
        "reason_to_stop",
    ),
    "napari_gpcis.next_click": (
        "FINEST",
        "FOCAL_GAMMA",
        "NextClick",
        "SURE",
        "calibrated",
        "doubt",
        "expected_iou",
        "next_click",
    ),
    "napari_gpcis.export": (
        "COLUMNS",
        "Calibration",
        "PlaneIndex",
        "coco",
        "object_table",
        "planes",
        "run_lengths",
        "write_coco",
        "write_table",
        "write_tiff",
    ),
    "napari_gpcis.batch": (
        "COLUMNS",
        "Settings",
        "Summary",
        "Task",
        "read_clicks",
        "segment_image",
        "segment_images",
    ),
    "napari_gpcis.segmenter": (
        "Box",
        "PreparedImage",
        "Request",
        "Segmenter",
    ),
    "napari_gpcis.prediction": ("Prediction",),
    "gpcis_training": ("finetune",),
    "gpcis_training.config": (
        "FitConfig",
        "FolderConfig",
        "OptimiserConfig",
        "load_config",
        "save_config",
    ),
    "gpcis_training.evaluation": (
        "ClickRun",
        "Comparison",
        "DrawingRule",
        "EvaluationObject",
        "EvaluationResult",
        "ObjectSet",
        "Overrides",
        "Predictor",
        "Robustness",
        "SessionPredictor",
        "compare",
        "create_peer",
        "draw_objects",
        "evaluate",
        "file_objects",
        "load_objects",
        "load_results",
        "next_click",
        "object_sets",
        "published_objects",
        "robustness",
        "run_robot",
        "save_results",
        "table",
    ),
    "gpcis_training.evaluation.robot": (
        "ClickRun",
        "IGNORE",
        "Predictor",
        "depth_map",
        "next_click",
        "run_robot",
    ),
    "gpcis_training.evaluation.datasets": (
        "DrawingRule",
        "EvaluationObject",
        "ObjectSet",
        "RULES",
        "check_limit",
        "draw_ids",
        "draw_objects",
        "first_view",
        "folder_objects",
        "ground_truth",
        "load_objects",
        "object_sets",
        "read_image",
        "save_objects",
    ),
    "gpcis_training.evaluation.suggestions": (
        "Run",
        "TARGETS",
        "UNCERTAIN",
        "at_random",
        "calibration",
        "compare",
        "main",
        "run",
        "suggested",
        "table",
    ),
    "gpcis_training.data": (
        "DataFolder",
        "FORMS",
        "IMAGE_SUFFIXES",
        "MIN_OBJECT",
        "Pair",
        "Target",
        "draw_ids",
        "draw_target",
        "find_pairs",
        "make_target",
        "read_image",
        "read_labels",
    ),
    "gpcis_training.finetuning": (
        "Figures",
        "FinetuneOptions",
        "FinetuneResult",
        "StoppedError",
        "finetune",
    ),
    "gpcis_training.cli": ("main",),
    "napari_gpcis.cli": ("USAGE_ERROR", "main"),
}
_KNOWN = json.loads((DATA / "public_parameters.json").read_text("utf-8"))
PARAMETERS: dict[str, str] = _KNOWN["functions"]
"""Parameters, in order; others may come between them and after them."""
MEMBERS: dict[str, dict[str, str | None]] = _KNOWN["members"]
"""Methods with their parameters; ``None`` for what is no method."""
CLASSES = (Session, Segmenter, Prediction, Click, ViewerSession)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_there(name: str) -> None:
    module = import_module(name)
    missing = [one for one in PUBLIC[name] if not hasattr(module, one)]
    assert not missing
    values = [getattr(module, one) for one in PUBLIC[name]]
    assert not any(isinstance(value, ModuleType) for value in values)


@pytest.mark.parametrize("path", PARAMETERS)
def test_parameters_keep_their_names_and_order(path: str) -> None:
    module, name = path.split(":")
    check_parameters(getattr(import_module(module), name), PARAMETERS[path])


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_methods_are_there(kind: type) -> None:
    assert kind.__name__ in MEMBERS
    for name, parameters in MEMBERS[kind.__name__].items():
        if parameters is not None:
            check_parameters(getattr(kind, name), parameters)
        else:
            fields = getattr(kind, "__dataclass_fields__", {})
            assert hasattr(kind, name) or name in fields, name


def check_parameters(what: Any, wanted: str) -> None:
    names = wanted.split()
    known = [name for name in inspect.signature(what).parameters if name in names]
    assert known == names


def test_former_names_are_aliases() -> None:
    assert propagation.carry is propagation.propagate_step
    assert propagation.Carried is propagation.PlaneResult
    assert propagation.distinctness is propagation.contrast_to_noise
    assert ClickNetwork.pixels is ClickNetwork.features
    assert GPCIS.surface is GPCIS.click_posterior


# What napari finds --------------------------------------------------------------------

COMMANDS = (
    "napari-gpcis.open_widget",
    "napari-gpcis.accept",
    "napari-gpcis.undo",
    "napari-gpcis.redo",
    "napari-gpcis.clear",
    "napari-gpcis.toggle_sign",
    "napari-gpcis.hover_preview",
    "napari-gpcis.box_tool",
    "napari-gpcis.next_object",
    "napari-gpcis.refine",
    "napari-gpcis.accept_next",
    "napari-gpcis.next_click",
    "napari-gpcis.uncertainty",
    "napari-gpcis.ready",
    "napari-gpcis.widget",
    "napari-gpcis.finetune_widget",
    "napari-gpcis.sample_fluorescence",
    "napari-gpcis.sample_stained",
    "napari-gpcis.sample_cat",
)
WIDGETS = {"napari-gpcis.widget": "GPCIS", "napari-gpcis.finetune_widget": "Fine-tune"}
SAMPLES = {
    "nuclei-fluorescence": "napari-gpcis.sample_fluorescence",
    "nuclei-stained": "napari-gpcis.sample_stained",
    "cat": "napari-gpcis.sample_cat",
}
MENUS = {
    "napari/layers/segment": ("napari-gpcis.open_widget",),
    "napari/layers/annotate": ("napari-gpcis.open_widget", "napari-gpcis.accept"),
}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "models": {"model": "gpcis-efficientnet-lite0", "device": "auto"},
    "clicking": {
        "threshold": 0.5,
        "hover_preview": False,
        "protect": True,
        "positive_colour": "#56b4e9",
        "negative_colour": "#e69f00",
    },
    "saving": {
        "autosave": True,
        "autosave_seconds": 30,
        "autosave_beside": False,
    },
    "keybindings": {
        "accept": "N Enter",
        "undo": "U Control-Z",
        "redo": "Shift-U Control-Shift-Z",
        "clear": "K C",
        "toggle_sign": "Q",
        "hover_preview": "W",
        "box_tool": "Shift-B",
        "next_object": "J",
        "refine": "Shift-R",
        "accept_next": "Shift-N",
        "next_click": "H",
        "uncertainty": "Shift-H",
        "ready": "G",
    },
}
"""Preferences as napari saves them, by section, with their defaults."""


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(ROOT / "napari.yaml")


def test_the_plugin_keeps_its_name(manifest: PluginManifest) -> None:
    assert manifest.name == "napari-gpcis"
    (found,) = entry_points(group="napari.manifest", name="napari-gpcis")
    assert found.value == "napari_gpcis:napari.yaml"


def test_commands_are_there_and_lead_to_functions(manifest: PluginManifest) -> None:
    commands = {one.id: one.python_name for one in manifest.contributions.commands}
    assert not {*COMMANDS} - {*commands}
    for path in commands.values():
        module, name = str(path).split(":")
        assert callable(getattr(import_module(module), name)), path


def test_widgets_samples_and_menus_are_there(manifest: PluginManifest) -> None:
    found = manifest.contributions
    widgets = {one.command: one.display_name for one in found.widgets}
    assert widgets.items() >= WIDGETS.items()
    samples = {one.key: one.command for one in found.sample_data}
    assert samples.items() >= SAMPLES.items()
    for menu, commands in MENUS.items():
        assert not {*commands} - {one.command for one in found.menus[menu]}


def test_there_are_no_readers_and_writers_to_keep(manifest: PluginManifest) -> None:
    assert not manifest.contributions.readers
    assert not manifest.contributions.writers


def test_saved_preferences_keep_their_names() -> None:
    written = yaml.safe_load((ROOT / "napari.yaml").read_text("utf-8"))
    sections = {
        section: {name: one["default"] for name, one in content["properties"].items()}
        for section, content in written["contributions"]["configurations"].items()
    }
    for section, values in CONFIGURATIONS.items():
        assert sections[section].items() >= values.items()
    kept = asdict(Preferences())
    for section in ("models", "clicking", "saving"):
        assert {*SECTIONS[section]} >= {*CONFIGURATIONS[section]}
        for name, value in CONFIGURATIONS[section].items():
            same = str(kept[name]).lower() == str(value).lower()
            assert same or "colour" in name, name
    assert SHORTCUTS == "keybindings"
    assert kept["shortcuts"] == {}


def test_scripts_reach_the_session_of_the_widget() -> None:
    assert isinstance(GPCISWidget.session, property)
    assert callable(GPCISWidget.start)


# What a terminal finds ----------------------------------------------------------------

SCRIPTS = {
    "napari-gpcis": ("segment", "models", "convert", "demo"),
    "gpcis-train": (
        "fit",
        "export",
        "throughput",
        "finetune",
        "average",
        "evaluate",
        "calibration",
    ),
}
MODULES = {
    "napari_gpcis": SCRIPTS["napari-gpcis"],
    "gpcis_training.cli": SCRIPTS["gpcis-train"],
    "gpcis_training.evaluation.suggestions": ("--root", "--objects", "--limit"),
}
"""What is started by ``python -m``, and words of its help."""


@pytest.mark.parametrize("name", SCRIPTS)
def test_console_scripts_keep_their_commands(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (script,) = entry_points(group="console_scripts", name=name)
    main = script.load()
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    words = capsys.readouterr().out.split()
    for command in SCRIPTS[name]:
        assert command in words
        with pytest.raises(SystemExit) as end:
            main([command, "--help"])
        assert end.value.code == 0
        capsys.readouterr()


@pytest.mark.parametrize("name", MODULES)
def test_modules_run(name: str) -> None:
    command = [sys.executable, "-m", name, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert {*MODULES[name]} <= {*done.stdout.replace("[", " ").split()}


# What checkpoints name ----------------------------------------------------------------


@pytest.mark.parametrize(
    "network", ["mobilenet_v2", "hrnet18s", "segformer_b0", "resnet50"]
)
def test_names_and_shapes_of_weights(network: str) -> None:
    state = build_model(network).state_dict()
    shapes = {name: list(value.shape) for name, value in state.items()}
    known = json.loads((DATA / f"gpcis_{network}_keys.json").read_text("utf-8"))
    assert shapes == known


def test_names_of_weights_of_a_linear_head() -> None:
    gp, linear = (
        build_model("mobilenet_v2", **options).state_dict()
        for options in ({}, {"head": "linear"})
    )
    own = {name: list(value.shape) for name, value in linear.items() if name not in gp}
    assert own == LINEAR
    shared = {name for name in gp if name.startswith("model.")}
    assert shared
    assert shared <= {*linear}


LINEAR: dict[str, list[int]] = {}
