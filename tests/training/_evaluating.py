"""Calling ``gpcis-train evaluate`` and reading what it prints."""

from __future__ import annotations

import torch

from _published_sets import write_davis, write_sbd
from gpcis_training.cli import main
from gpcis_training.evaluation import load_results
from napari_gpcis.checkpoints import InferenceSettings, ModelInfo, save_checkpoint
from napari_gpcis.model.gpcis import build_model
from training._folders import write_disks


def command(*arguments):
    """Run the command and return its exit status."""
    return main(["evaluate", *map(str, arguments)])


def rows_of(text):
    """Return the rows of the first Markdown table as dictionaries."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def curves(path):
    """Return the IoU of each click of each object of each result of a file."""
    return [[run.ious for run in result.runs] for result in load_results(path)]


def write_sets(folder):
    """Write a folder of disks and miniature sets of the paper; return ``folder``."""
    write_disks(folder / "disks", images=3)
    write_davis(folder / "DAVIS")
    write_sbd(folder / "SBD")
    return folder


def write_tiny(folder):
    """Write a network with random weights that runs at 64 pixels; return its path."""
    path = folder / "tiny.safetensors"
    settings = InferenceSettings(infer_size=64)
    info = ModelInfo("tiny", "mobilenet_v2", inference=settings)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        save_checkpoint(path, build_model("mobilenet_v2"), info)
    return path
