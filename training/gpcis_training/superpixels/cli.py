"""``gpcis-train superpixels``: fit a network of superpixels, export it, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpcis_training.superpixels.config import VARIANTS
from napari_gpcis.errors import InputError
from napari_gpcis.files import fitting_stem

if TYPE_CHECKING:
    import argparse

PARTIAL = ".partial"
"""Ending of the file of finished images until the output is complete."""
_NUMBERS = "384 486 600 726 864 1014 1176"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``gpcis-train superpixels``."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_fit(commands)
    _add_export(commands)
    _add_evaluate(commands)
    _add_ablate(commands)


def run_fit(arguments: argparse.Namespace) -> int:
    """Train, resuming an unfinished run of the same folder, and export."""
    from gpcis_training.superpixels.config import load_superpixel_config
    from gpcis_training.superpixels.export import export_superpixels
    from gpcis_training.superpixels.trainer import SuperpixelTrainer

    config = load_superpixel_config(arguments.config, arguments.set)
    trainer = SuperpixelTrainer(
        config, arguments.data, arguments.output, precision=arguments.precision
    )
    if not arguments.restart and trainer.resume():
        print(f"resuming at step {trainer.step} of {config.steps}")
    trainer.fit()
    destination = arguments.output / f"{config.name}.safetensors"
    export_superpixels(trainer.state_file, config, destination)
    print(f"trained {trainer.step} steps in {trainer.minutes:.0f} min: {destination}")
    return 0


def run_export(arguments: argparse.Namespace) -> int:
    """Write the network of a run's state as a checkpoint."""
    from gpcis_training.superpixels.config import load_superpixel_config
    from gpcis_training.superpixels.export import export_superpixels

    config = load_superpixel_config(arguments.config, arguments.set)
    state = arguments.run_folder / "state.pt"
    info = export_superpixels(state, config, arguments.output)
    print(f"{arguments.output}: {info.name}, {info.extra['steps']} steps")
    return 0


def run_evaluate(arguments: argparse.Namespace) -> int:
    """Evaluate methods, print the table and write the files."""
    from gpcis_training.superpixels.evaluation import (
        evaluate,
        save_evaluation,
        table_rows,
    )

    output = arguments.output
    if arguments.jobs < 1:
        msg = f"jobs must be at least 1, got {arguments.jobs}"
        raise InputError(msg)
    if output is not None and output.suffix != ".json":
        msg = f"output must end in .json, got {str(output)!r}"
        raise InputError(msg)
    partial = None
    if output is not None:
        partial = output.with_name(f"{fitting_stem(output.stem, PARTIAL)}{PARTIAL}")
    results = evaluate(
        arguments.methods,
        arguments.root,
        numbers=arguments.numbers,
        images=arguments.images,
        workers=arguments.jobs,
        partial=partial,
    )
    rows = table_rows(results, arguments.methods)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())
    if output is not None and partial is not None:
        save_evaluation(output, results, arguments.methods)
        partial.unlink(missing_ok=True)
        print(f"wrote {output}")
    return 0


def run_ablate(arguments: argparse.Namespace) -> int:
    """Train the network without one of its parts each, and evaluate all."""
    from gpcis_training.data.folders import find_pairs
    from gpcis_training.superpixels.ablation import evaluate_variants, train_variants

    roots = [arguments.data / folder for folder in arguments.evaluate]
    for root in roots:  # a mistake is told before hours of training
        find_pairs(root)
    checkpoints = train_variants(
        arguments.config,
        arguments.data,
        arguments.output,
        variants=arguments.variants,
        assignments=arguments.set,
        precision=arguments.precision,
    )
    evaluate_variants(
        checkpoints,
        roots,
        arguments.output,
        numbers=arguments.numbers,
        images=arguments.images,
        workers=arguments.jobs,
    )
    return 0


def _add_fit(commands: Any) -> None:
    """Describe ``fit``."""
    fit = commands.add_parser("fit", help="train a network, or go on with a run")
    fit.set_defaults(run=run_fit)
    add = fit.add_argument
    _add_config(fit)
    add("--data", type=Path, required=True, help="folder that holds the data sets")
    add("-o", "--output", type=Path, required=True, help="folder of the run")
    add("--restart", action="store_true", help="ignore an earlier state in the folder")
    add("--precision", default="32-true", help="32-true, bf16-mixed or 16-mixed")


def _add_export(commands: Any) -> None:
    """Describe ``export``."""
    export = commands.add_parser("export", help="make a checkpoint of a run's state")
    export.set_defaults(run=run_export)
    _add_config(export)
    export.add_argument("run_folder", type=Path, help="folder of the run")
    export.add_argument("-o", "--output", type=Path, required=True)


def _add_evaluate(commands: Any) -> None:
    """Describe ``evaluate``."""
    evaluate = commands.add_parser(
        "evaluate", help="ASA, boundary recall and the like on annotated images"
    )
    evaluate.set_defaults(run=run_evaluate)
    add = evaluate.add_argument
    add(
        "methods",
        nargs="+",
        metavar="METHOD",
        help="cds-lite, cds, slic, slic:C with a compactness, grid, or a checkpoint",
    )
    add("--root", type=Path, required=True, help="folder with images and labels")
    _add_extent(evaluate)
    add(
        "-o",
        "--output",
        type=Path,
        help="write all results as JSON; beside it the table as CSV and the curves as "
        "PNG. The same command again goes on where one was interrupted",
    )


def _add_ablate(commands: Any) -> None:
    """Describe ``ablate``."""
    ablate = commands.add_parser(
        "ablate",
        help="train a network without one of its parts each, and evaluate all. The "
        "same command again goes on where one was interrupted",
    )
    ablate.set_defaults(run=run_ablate)
    add = ablate.add_argument
    _add_config(ablate)
    add("--data", type=Path, required=True, help="folder that holds the data sets")
    add("-o", "--output", type=Path, required=True, help="folder of the runs")
    add(
        "--variants",
        nargs="+",
        default=list(VARIANTS),
        metavar="VARIANT",
        help=f"{', '.join(VARIANTS)}; all by default",
    )
    add(
        "--evaluate",
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="folders below DATA with images and labels, as microscopy/dsb2018/val",
    )
    _add_extent(ablate)
    add("--precision", default="32-true", help="32-true, bf16-mixed or 16-mixed")


def _add_extent(parser: argparse.ArgumentParser) -> None:
    """Add how much is evaluated, and by how many processes."""
    add = parser.add_argument
    add(
        "--numbers",
        type=int,
        nargs="+",
        default=[int(number) for number in _NUMBERS.split()],
        metavar="N",
        help=f"numbers of superpixels; {_NUMBERS} by default",
    )
    add("--images", type=int, help="so many of the images, evenly spaced by name")
    add("-j", "--jobs", type=int, default=1, help="processes, each with one thread")


def _add_config(parser: argparse.ArgumentParser) -> None:
    """Add the configuration and what overrides it."""
    parser.add_argument("config", type=Path, help="YAML configuration")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any entry of the configuration, e.g. losses.laplacian=360",
    )
