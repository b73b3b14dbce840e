"""Command ``gpcis-train diversity``: fit and evaluate latent diversity."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from gpcis_training.diversity.evaluation import (
    BOUNDARY,
    LAWS,
    diversity_table,
    evaluate_diversity,
)
from gpcis_training.diversity.options import ABLATIONS, load_diversity_config
from gpcis_training.diversity.published import published_ablation
from gpcis_training.evaluation.cli import add_set_arguments, chosen_sets
from napari_gpcis.errors import GPCISError, InputError
from napari_gpcis.files import replacing

if TYPE_CHECKING:
    import argparse

    from gpcis_training.diversity.evaluation import DiversityResult
    from gpcis_training.diversity.vgg19 import VGG19

_PUBLISHED = ", ".join(f"{name} {published_ablation(name)}" for name in ABLATIONS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands of ``gpcis-train diversity``."""
    commands = parser.add_subparsers(
        required=True, metavar="COMMAND", dest="diversity_command"
    )
    fit = commands.add_parser("fit", help="train proposals and selector")
    _add_fit(fit)
    fit.set_defaults(diversity=_fit)
    evaluate = commands.add_parser(
        "evaluate", help="clicks needed, beside the published figures"
    )
    _add_evaluate(evaluate)
    evaluate.set_defaults(diversity=_evaluate)


def run(arguments: argparse.Namespace) -> int:
    """Run ``gpcis-train diversity`` and return the exit status."""
    try:
        arguments.diversity(arguments)
    except (GPCISError, OSError) as error:
        command = f"gpcis-train diversity {arguments.diversity_command}"
        print(f"{command}: {error}", file=sys.stderr)
        return 1
    return 0


def _add_fit(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("config", type=Path, help="YAML configuration")
    add("--data", type=Path, required=True, help="folder that holds the data sets")
    add("-o", "--output", type=Path, required=True, help="folder of the run")
    _add_vgg(parser)
    add(
        "--ablation",
        choices=ABLATIONS,
        help=f"a variant of the paper's Table 4 (published NoC@85 on DAVIS: full "
        f"{published_ablation('full')}, {_PUBLISHED})",
    )
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any entry of the configuration, e.g. loss.measure=l1",
    )
    add("--restart", action="store_true", help="ignore an earlier state in the folder")
    add("--device", default="cpu", help="where the networks are (cpu, cuda)")


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("system", type=Path, help="file of the trained networks (.safetensors)")
    _add_vgg(parser)
    add_set_arguments(parser)
    add(
        "--clicks",
        choices=LAWS,
        default=BOUNDARY,
        help="drawn in proportion to the distance to the border (the paper), or in the "
        "middle of the largest error",
    )
    add("--repeats", type=int, default=3, help="runs of each object")
    add("--seed", type=int, default=0, help="of the drawn clicks")
    add("--max-clicks", type=int, default=20, help="clicks of a run at most")
    add("--side", type=int, help="longer side of what the networks see, pixels")
    add("--device", default="cpu", help="where the networks are (cpu, cuda)")
    add("-o", "--output", type=Path, help="write all numbers as JSON")


def _add_vgg(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--vgg",
        help="weights of VGG-19: torchvision's state dict, MatConvNet's .mat, or "
        "'random' for a trial",
    )


def _fit(arguments: argparse.Namespace) -> None:
    """Train, resuming an unfinished run of the same folder."""
    from gpcis_training.diversity.training import Trainer

    config = load_diversity_config(
        arguments.config, arguments.set, ablation=arguments.ablation
    )
    vgg = _load_vgg(arguments) if config.features else None
    trainer = Trainer(config, arguments.data, arguments.output, vgg, arguments.device)
    if not arguments.restart and trainer.resume():
        print(f"resuming stage {trainer.stage + 1} at step {trainer.step}")
    trainer.fit()
    for line in _summary(trainer.log):
        print(line)
    print(f"trained {sum(trainer.steps)} steps: {trainer.result_file}")


def _summary(log: list[dict[str, float]]) -> list[str]:
    """Return the first and the last line of each stage."""
    lines = []
    for stage in dict.fromkeys(entry["stage"] for entry in log):
        mine = [entry for entry in log if entry["stage"] == stage]
        for entry in dict.fromkeys((0, len(mine) - 1)):
            figures = [
                f"{name} {value:.3f}"
                for name, value in mine[entry].items()
                if name not in ("stage", "step")
            ]
            lines.append(f"{stage} {mine[entry]['step']}: {', '.join(figures)}")
    return lines


def _evaluate(arguments: argparse.Namespace) -> None:
    """Measure a system and print its figures beside the published ones."""
    output: Path | None = arguments.output
    if output is not None and not output.parent.is_dir():
        msg = f"--output must be in a folder that exists, got {output}"
        raise InputError(msg)
    if arguments.side is not None and arguments.side < 1:
        msg = f"--side must be at least 1, got {arguments.side}"
        raise InputError(msg)
    results = _results(arguments)
    if output is not None:
        data = {
            "system": str(arguments.system),
            "results": [one.to_dict() for one in results],
        }
        with replacing(output) as temporary:
            temporary.write_text(json.dumps(data), encoding="utf-8")
    print(diversity_table(results))


def _results(arguments: argparse.Namespace) -> list[DiversityResult]:
    from gpcis_training.diversity.predictor import DiversityPredictor
    from gpcis_training.diversity.system import load_system

    sets = list(chosen_sets(arguments))
    system = load_system(arguments.system, _load_vgg(arguments)).to(arguments.device)
    predictor = DiversityPredictor(system, arguments.side)
    results = []
    for chosen in sets:
        with tqdm(desc=chosen.name, unit="run") as bar:
            results.append(
                evaluate_diversity(
                    predictor,
                    arguments.root,
                    chosen,
                    law=arguments.clicks,
                    seed=arguments.seed,
                    repeats=arguments.repeats,
                    max_clicks=arguments.max_clicks,
                    report=bar.update,
                )
            )
    return results


def _load_vgg(arguments: argparse.Namespace) -> VGG19 | None:
    """Return the VGG-19 of the command line, and print what it is."""
    if arguments.vgg is None:
        return None
    from gpcis_training.diversity.vgg19 import RANDOM, load_vgg19

    network = load_vgg19(arguments.vgg)
    if network.source == RANDOM:
        print("VGG-19: random weights")
    else:
        print(f"VGG-19: {arguments.vgg}, SHA-256 {network.source}")
    return network
