"""``gpcis-train``: fit, export and evaluate."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gpcis_training.evaluation import _cli as evaluation_cli
from gpcis_training.finetuning import _cli as finetuning_cli
from napari_gpcis.errors import GPCISError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpcis_training.config import FitConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command and return the exit status.

    Parameters
    ----------
    arguments
        Without the program's name; by default those of the process.
    """
    parsed = _parser().parse_args(arguments)
    try:
        status: int = parsed.run(parsed)
    except (GPCISError, OSError) as error:
        print(f"gpcis-train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("gpcis-train: stopped", file=sys.stderr)
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gpcis-train", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    fit = commands.add_parser("fit", help="train a network, or go on with a run")
    _add_fit_arguments(fit)
    fit.set_defaults(run=_fit)
    export = commands.add_parser("export", help="make a checkpoint of a run's state")
    export.add_argument("config", type=Path, help="YAML configuration of the run")
    export.add_argument("run_folder", type=Path, help="folder of the run")
    export.add_argument("-o", "--output", type=Path, required=True)
    export.set_defaults(run=_export)
    finetune = commands.add_parser("finetune", help="adapt a model to your own labels")
    finetuning_cli.add_arguments(finetune)
    finetune.set_defaults(run=finetuning_cli.run)
    evaluate = commands.add_parser("evaluate", help="clicks needed by a robot user")
    evaluation_cli.add_arguments(evaluate)
    evaluate.set_defaults(run=evaluation_cli.run)
    return parser


def _add_fit_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("config", type=Path, help="YAML configuration")
    add("--data", type=Path, required=True, help="folder that holds the data sets")
    add("-o", "--output", type=Path, required=True, help="folder of the run")
    add("--initial-weights", type=Path, help="published encoder weights")
    add("--start", help="a model name or checkpoint to start from")
    add("--max-minutes", type=float, help="wall-clock limit of the schedule")
    add("--size", type=int, help="side of the training crops, pixels")
    add("--steps", type=int, help="optimiser steps of the schedule")
    add("--lr", type=float, help="peak learning rate")
    add("--precision", default="32-true", help="32-true or bf16-mixed")
    add("--devices", type=int, default=1)
    add("--restart", action="store_true", help="ignore an earlier state in the folder")


def _fit(arguments: argparse.Namespace) -> int:
    """Train, resuming an unfinished run of the same folder."""
    from gpcis_training.engine import Trainer
    from gpcis_training.export import export_checkpoint

    config = _configured(arguments)
    trainer = Trainer(
        config,
        arguments.data,
        arguments.output,
        initial_weights=arguments.initial_weights,
        start=arguments.start,
        precision=arguments.precision,
        devices=arguments.devices,
    )
    if not arguments.restart and trainer.resume():
        print(f"resuming at step {trainer.step} of {config.steps}")
    trainer.fit()
    if not trainer.fabric.is_global_zero:
        return 0
    destination = arguments.output / f"{config.name}.safetensors"
    export_checkpoint(trainer.state_file, config, destination)
    print(f"trained {trainer.step} steps in {trainer.minutes:.0f} min: {destination}")
    return 0


def _configured(arguments: argparse.Namespace) -> FitConfig:
    """Return the configuration with what the command line overrides."""
    from dataclasses import replace

    from gpcis_training.config import load_config

    config = load_config(arguments.config)
    if arguments.max_minutes is not None:
        config = replace(config, max_minutes=arguments.max_minutes)
    if arguments.steps is not None:
        config = replace(config, steps=arguments.steps)
    if arguments.size is not None:
        config = replace(config, augment=replace(config.augment, size=arguments.size))
    if arguments.lr is not None:
        optimiser = replace(config.optimiser, lr=arguments.lr)
        config = replace(config, optimiser=optimiser)
    return config


def _export(arguments: argparse.Namespace) -> int:
    from gpcis_training.config import load_config
    from gpcis_training.export import export_checkpoint

    state = arguments.run_folder / "state.pt"
    info = export_checkpoint(state, load_config(arguments.config), arguments.output)
    print(f"{arguments.output}: {info.name}, {info.extra['samples']} samples seen")
    return 0


if __name__ == "__main__":
    sys.exit(main())
