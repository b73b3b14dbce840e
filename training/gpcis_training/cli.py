"""``gpcis-train``: fit, adapt, average, export, evaluate, calibrate, superpixels."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gpcis_training import ambiguity, calibration, memory, similar
from gpcis_training.alternatives import cli as alternatives_cli
from gpcis_training.diversity import cli as diversity_cli
from gpcis_training.engine import average as averaging
from gpcis_training.evaluation import cli as evaluation_cli
from gpcis_training.finetuning import cli as finetuning_cli
from gpcis_training.superpixels import cli as superpixels_cli
from napari_gpcis.cli import run_to_end
from napari_gpcis.errors import GPCISError, in_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpcis_training.config import FitConfig

_SHORT_FORMS = {
    "max_minutes": "max_minutes",
    "steps": "steps",
    "batch_size": "batch_size",
    "workers": "workers",
    "size": "augment.size",
    "lr": "optimiser.lr",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sub-command and return the exit status.

    Parameters
    ----------
    arguments
        Without the program's name; by default those of the process.
    """
    parsed = _parser().parse_args(arguments)
    try:
        return run_to_end(parsed.run, parsed)
    except (GPCISError, OSError) as error:
        print(f"gpcis-train: {in_words(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("gpcis-train: stopped", file=sys.stderr)
        return 130


def run_fit(arguments: argparse.Namespace) -> int:
    """Train, resuming an unfinished run of the same folder."""
    from gpcis_training.engine.export import export_checkpoint
    from gpcis_training.engine.trainer import Trainer

    trainer = Trainer(
        configured(arguments),
        arguments.data,
        arguments.output,
        initial_weights=arguments.initial_weights,
        start=arguments.start,
        precision=arguments.precision,
        devices=arguments.devices,
        num_nodes=arguments.num_nodes,
        strategy=arguments.strategy,
    )
    config, first = trainer.config, trainer.fabric.is_global_zero
    if not arguments.restart and trainer.resume() and first:
        print(f"resuming at step {trainer.step} of {config.steps}")
    trainer.fit()
    if not first:
        return 0
    destination = arguments.output / f"{config.name}.safetensors"
    export_checkpoint(trainer.state_file, config, destination)
    print(f"trained {trainer.step} steps in {trainer.minutes:.0f} min: {destination}")
    return 0


def run_export(arguments: argparse.Namespace) -> int:
    """Write the network of a run's state as a checkpoint."""
    from gpcis_training.engine.export import export_checkpoint

    state = arguments.run_folder / "state.pt"
    info = export_checkpoint(state, configured(arguments), arguments.output)
    print(f"{arguments.output}: {info.name}, {info.extra['samples']} samples seen")
    return 0


def run_throughput(arguments: argparse.Namespace) -> int:
    """Print the speed of a run, with and without loading."""
    import torch

    from gpcis_training.engine.throughput import measure_throughput

    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    found = measure_throughput(
        configured(arguments),
        arguments.data,
        arguments.timed,
        precision=arguments.precision,
    )
    print(found)
    return 0


def configured(arguments: argparse.Namespace) -> FitConfig:
    """Return the configuration with the options of the command line."""
    from gpcis_training.config import load_config

    assignments = [
        f"{key}={getattr(arguments, name)}"
        for name, key in _SHORT_FORMS.items()
        if getattr(arguments, name) is not None
    ]
    if arguments.steps is not None:
        assignments.append("epochs=")
    return load_config(arguments.config, assignments=[*assignments, *arguments.set])


def add_fit_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``fit``."""
    add = parser.add_argument
    add_config_arguments(parser)
    add("--data", type=Path, required=True, help="folder that holds the data sets")
    add("-o", "--output", type=Path, required=True, help="folder of the run")
    add("--initial-weights", type=Path, help="published encoder weights")
    add("--start", help="a model name or checkpoint to start from")
    add("--restart", action="store_true", help="ignore an earlier state in the folder")
    add("--precision", default="32-true", help="32-true, bf16-mixed or 16-mixed")
    add("--devices", type=int, default=1, help="processes on each machine")
    add("--num-nodes", type=int, default=1, help="machines")
    add("--strategy", default="auto", help="auto or ddp, see the docs of Fabric")


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``export``."""
    add_config_arguments(parser)
    parser.add_argument("run_folder", type=Path, help="folder of the run")
    parser.add_argument("-o", "--output", type=Path, required=True)


def add_throughput_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``throughput``."""
    add = parser.add_argument
    add_config_arguments(parser)
    add("--data", type=Path, required=True, help="folder that holds the data sets")
    add("--timed", type=int, default=30, help="steps that are timed of each kind")
    add("--threads", type=int, help="threads of the network")
    add("--precision", default="32-true", help="32-true, bf16-mixed or 16-mixed")


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the configuration and the options that override it."""
    add = parser.add_argument
    add("config", type=Path, help="YAML configuration")
    add("--max-minutes", type=float, help="wall-clock limit of the schedule")
    add("--steps", type=int, help="optimiser steps of the schedule")
    add("--batch-size", type=int, help="samples of a step on each device")
    add("--size", type=int, help="side of the training crops, pixels")
    add("--lr", type=float, help="peak learning rate")
    add("--workers", type=int, help="data loading processes of each device")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any entry of the configuration, e.g. options.head=linear",
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gpcis-train", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    fit = commands.add_parser("fit", help="train a network, or go on with a run")
    add_fit_arguments(fit)
    fit.set_defaults(run=run_fit)
    export = commands.add_parser("export", help="make a checkpoint of a run's state")
    add_export_arguments(export)
    export.set_defaults(run=run_export)
    throughput = commands.add_parser(
        "throughput", help="speed of a run, and of loading"
    )
    add_throughput_arguments(throughput)
    throughput.set_defaults(run=run_throughput)
    finetune = commands.add_parser("finetune", help="adapt a model to your own labels")
    finetuning_cli.add_arguments(finetune)
    finetune.set_defaults(run=finetuning_cli.run)
    average = commands.add_parser("average", help="the mean of several checkpoints")
    averaging.add_arguments(average)
    average.set_defaults(run=averaging.run)
    evaluate = commands.add_parser("evaluate", help="clicks needed by a robot user")
    evaluation_cli.add_arguments(evaluate)
    evaluate.set_defaults(run=evaluation_cli.run)
    calibrate = commands.add_parser(
        "calibration", help="how true a model's probabilities are"
    )
    calibration.add_arguments(calibrate)
    calibrate.set_defaults(run=calibration.run)
    alike = commands.add_parser(
        "similar", help="how well similar objects are found, and what it saves"
    )
    similar.add_arguments(alike)
    alike.set_defaults(run=similar.run)
    remembering = commands.add_parser(
        "memory", help="what accepted objects teach about those after them"
    )
    memory.add_arguments(remembering)
    remembering.set_defaults(run=memory.run)
    ambiguous = commands.add_parser(
        "ambiguity", help="what alternatives are worth where a click is ambiguous"
    )
    ambiguity.add_arguments(ambiguous)
    ambiguous.set_defaults(run=ambiguity.run)
    learned = commands.add_parser(
        "alternatives", help="learn other masks for the clicks of a model"
    )
    alternatives_cli.add_arguments(learned)
    learned.set_defaults(run=alternatives_cli.run)
    diverse = commands.add_parser(
        "diversity", help="latent diversity: several masks and a selector"
    )
    diversity_cli.add_arguments(diverse)
    diverse.set_defaults(run=diversity_cli.run)
    superpixels = commands.add_parser(
        "superpixels", help="train and evaluate superpixels"
    )
    superpixels_cli.add_arguments(superpixels)
    return parser


if __name__ == "__main__":
    sys.exit(main())
