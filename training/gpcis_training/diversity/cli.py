"""Command ``gpcis-train diversity``: fit and evaluate the published system."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gpcis_training.diversity.config import ABLATIONS, load_diversity_config
from gpcis_training.diversity.evaluation import (
    CLICK_LAWS,
    DISTANCE,
    MAX_CLICKS,
    diversity_table,
    evaluate_diversity,
)
from gpcis_training.evaluation.cli import add_set_arguments, chosen_sets
from napari_gpcis.errors import GPCISError, InputError
from napari_gpcis.files import replacing

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from gpcis_training.diversity.evaluation import DiversityResult
    from gpcis_training.diversity.vgg19 import VGG19

RANDOM = "random"
"""In place of a file of weights: random ones."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands of ``gpcis-train diversity``."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    fit = commands.add_parser("fit", help="train both networks, or go on with a run")
    add = fit.add_argument
    add("config", type=Path, help="YAML configuration")
    add("--data", type=Path, required=True, help="folder that holds the data sets")
    add("-o", "--output", type=Path, required=True, help="folder of the run")
    _add_machine(fit)
    add("--ablation", choices=ABLATIONS, help="a row of the published Table 4")
    add("--restart", action="store_true", help="ignore an earlier state in the folder")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any entry of the configuration, e.g. loss.ranks=0.01",
    )
    fit.set_defaults(work=run_fit)
    evaluate = commands.add_parser(
        "evaluate", help="clicks needed, beside the published Tables 2 to 4"
    )
    add = evaluate.add_argument
    add("models", nargs="+", type=Path, help="files that fit has written")
    add_set_arguments(evaluate)
    _add_machine(evaluate)
    add("--size", type=int, help="longer side of the images, pixels; 0: as they are")
    add(
        "--clicks",
        nargs="+",
        choices=CLICK_LAWS,
        default=[DISTANCE],
        help="distance: drawn as published; otherwise a law of gpcis-train evaluate",
    )
    add("--max-clicks", type=int, default=MAX_CLICKS, help="clicks an object at most")
    add("--repeats", type=int, default=3, help="draws of the clicks of each object")
    add("--seed", type=int, default=0, help="seed of the draws")
    add("-o", "--output", type=Path, help="write all numbers as JSON")
    evaluate.set_defaults(work=run_evaluate)


def run(arguments: argparse.Namespace) -> int:
    """Run ``gpcis-train diversity`` and return the exit status."""
    try:
        _set_threads(arguments.threads)
        work: Callable[[argparse.Namespace], None] = arguments.work
        work(arguments)
    except (GPCISError, OSError) as error:
        print(f"gpcis-train diversity: {error}", file=sys.stderr)
        return 1
    return 0


def run_fit(arguments: argparse.Namespace) -> None:
    """Train, resuming an unfinished run of the same folder."""
    from gpcis_training.diversity.training import DiversityTrainer

    config = load_diversity_config(arguments.config, arguments.set, arguments.ablation)
    vgg = _vgg19(arguments.vgg) if config.design.vgg else None
    trainer = DiversityTrainer(
        config, arguments.data, arguments.output, vgg, arguments.device
    )
    print(f"{len(trainer.visits.objects)} objects")
    if not arguments.restart and trainer.resume():
        print(f"resuming the {trainer.phase} at step {trainer.step}")
    written = trainer.fit()
    print(f"trained in {trainer.minutes:.1f} min: {written}")


def run_evaluate(arguments: argparse.Namespace) -> None:
    """Measure models on sets and print a table."""
    from tqdm import tqdm

    from gpcis_training.diversity.checkpoint import load_diversity
    from gpcis_training.diversity.predictor import DiversityPredictor

    output: Path | None = arguments.output
    if output is not None and not output.parent.is_dir():
        msg = f"--output must be in a folder that exists, got {output}"
        raise InputError(msg)
    if arguments.size is not None and arguments.size < 0:
        msg = f"--size must be from 0, got {arguments.size}"
        raise InputError(msg)
    sets = list(chosen_sets(arguments))
    models = [load_diversity(path) for path in arguments.models]
    needed = any(model.vgg is not None for model in models)
    vgg = _vgg19(arguments.vgg) if needed else None
    predictors = [
        DiversityPredictor(
            model,
            None if model.vgg is None else vgg,
            arguments.size,
            arguments.device,
        )
        for model in models
    ]
    results: list[DiversityResult] = []
    for chosen in sets:
        for predictor in predictors:
            for law in arguments.clicks:
                title = f"{predictor.trained.name} on {chosen.name}"
                with tqdm(total=len(chosen.objects), desc=title, unit="object") as bar:
                    results.append(
                        evaluate_diversity(
                            predictor,
                            arguments.root,
                            chosen,
                            clicks=law,
                            seed=arguments.seed,
                            repeats=arguments.repeats,
                            max_clicks=arguments.max_clicks,
                            report=bar.update,
                        )
                    )
    if output is not None:
        with replacing(output) as draft:
            content = [result.to_dict() for result in results]
            draft.write_text(json.dumps(content), encoding="utf-8")
    print(diversity_table(results))


def _add_machine(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that both sub-commands have."""
    add = parser.add_argument
    add(
        "--vgg",
        metavar="FILE",
        help="weights of VGG-19: .pth or .safetensors of torchvision, .mat of "
        f"MatConvNet; {RANDOM!r}: random ones",
    )
    add("--device", default="cpu", help="where to compute (cpu, cuda)")
    add("--threads", type=int, help="threads of the networks")


def _vgg19(given: str | None) -> VGG19:
    """Return the network of the command line, and print where it is from."""
    from gpcis_training.diversity.vgg19 import load_vgg19, random_vgg19

    if given is None:
        msg = (
            "--vgg must name the weights of VGG-19 (or be 'random'); --ablation no_vgg "
            "trains without its features"
        )
        raise InputError(msg)
    network = random_vgg19() if given == RANDOM else load_vgg19(given)
    print(f"VGG-19: {network.source}")
    return network


def _set_threads(threads: int | None) -> None:
    """Let PyTorch use so many threads; ``None``: as many as it likes."""
    import torch

    if threads is None:
        return
    if threads < 1:
        msg = f"--threads must be at least 1, got {threads}"
        raise InputError(msg)
    torch.set_num_threads(threads)
