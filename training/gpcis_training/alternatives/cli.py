"""Command ``gpcis-train alternatives``: train other masks for the clicks of a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_gpcis.checkpoints.registry import DEFAULT_MODEL
from napari_gpcis.errors import GPCISError, InputError

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``gpcis-train alternatives``."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    fit = commands.add_parser("fit", help="train, or go on with a run")
    add = fit.add_argument
    add("config", type=Path, help="YAML configuration")
    add("--model", default=DEFAULT_MODEL, help="whose features are used, not changed")
    add("--data", type=Path, required=True, help="folder that holds the data sets")
    add("-o", "--output", type=Path, required=True, help="folder of the run")
    add("--threads", type=int, default=1, help="threads of the networks")
    add("--start", type=Path, help="alternatives whose weights a new run begins with")
    add("--restart", action="store_true", help="ignore an earlier state in the folder")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any entry of the configuration, e.g. loss.mean=0",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run ``gpcis-train alternatives`` and return the exit status."""
    try:
        _fit(arguments)
    except (GPCISError, OSError) as error:
        print(f"gpcis-train alternatives: {error}", file=sys.stderr)
        return 1
    return 0


def _fit(arguments: argparse.Namespace) -> None:
    """Train, resuming an unfinished run of the same folder."""
    import torch

    from gpcis_training.alternatives.config import load_alternatives_config
    from gpcis_training.alternatives.trainer import AlternativesTrainer

    if arguments.threads < 1:
        msg = f"--threads must be at least 1, got {arguments.threads}"
        raise InputError(msg)
    torch.set_num_threads(arguments.threads)
    config = load_alternatives_config(arguments.config, arguments.set)
    trainer = AlternativesTrainer(
        config, arguments.model, arguments.data, arguments.output
    )
    if not arguments.restart and trainer.resume():
        print(f"resuming at step {trainer.step} of {config.steps}")
    elif arguments.start is not None:
        trainer.start_from(arguments.start)
    written = trainer.fit()
    print(f"trained {trainer.step} steps in {trainer.minutes:.0f} min: {written}")
