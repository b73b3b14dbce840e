"""``gpcis-train evaluate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gpcis_training.evaluation.datasets import DrawingRule, object_sets
from gpcis_training.evaluation.peers import PEERS
from gpcis_training.evaluation.predictors import PEER_PREFIX
from gpcis_training.evaluation.results import (
    compare,
    load_results,
    save_results,
    table,
)
from gpcis_training.evaluation.runner import evaluate
from napari_gpcis.errors import GPCISError

if TYPE_CHECKING:
    import argparse

    from gpcis_training.evaluation.metrics import Estimate
    from gpcis_training.evaluation.results import EvaluationResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``gpcis-train evaluate``."""
    add = parser.add_argument
    add("model", nargs="?", help="name of a model, path of a checkpoint, or peer:NAME")
    add(
        "--peer",
        nargs="+",
        default=[],
        choices=sorted(PEERS),
        help="classical methods to measure as well",
    )
    add("--root", type=Path, required=True, help="folder that holds the data sets")
    add(
        "--objects",
        nargs="+",
        default=["bsds500_val"],
        metavar="SET",
        help=f"lists ({', '.join(object_sets())}) or data folders below the root",
    )
    add("--per-image", type=int, help="of a folder: objects drawn from each image")
    add("--min-area", type=int, default=1, help="of a folder: least area in pixels")
    add("--max-clicks", type=int, default=20)
    add("--target", type=float, default=0.9, help="IoU at which the robot stops")
    add("--whole-image", action="store_true", help="first view: always the whole image")
    add("--workers", type=int, default=1, help="processes, each with one thread")
    add("--device", default="cpu", help="where a model runs (cpu, cuda, mps, auto)")
    add("--limit", type=int, help="use the first objects of each set only")
    add("-o", "--output", type=Path, help="write all results as JSON; also resumes")
    add("--compare", type=Path, help="results of another day to compare with")


def run(arguments: argparse.Namespace) -> int:
    """Run ``gpcis-train evaluate`` and return the exit status."""
    methods = [f"{PEER_PREFIX}{name}" for name in arguments.peer]
    if arguments.model is not None:
        methods.insert(0, arguments.model)
    if not methods:
        print("gpcis-train evaluate: name a model or --peer", file=sys.stderr)
        return 2
    try:
        others = load_results(arguments.compare) if arguments.compare else []
        results = [
            _evaluate(arguments, method, objects)
            for objects in arguments.objects
            for method in methods
        ]
        if arguments.output is not None:
            save_results(arguments.output, results)
            _partial_file(arguments.output).unlink(missing_ok=True)
        print(table(results))
        for line in comparisons(results, others):
            print(line)
    except (GPCISError, OSError) as error:
        print(f"gpcis-train evaluate: {error}", file=sys.stderr)
        return 1
    return 0


def _partial_file(output: Path) -> Path:
    """Return the file that keeps finished runs while the output is being made."""
    return output.with_name(f"{output.name}.partial")


def _evaluate(
    arguments: argparse.Namespace, method: str, objects: str
) -> EvaluationResult:
    """Evaluate one method on one set as the arguments say."""
    output: Path | None = arguments.output
    return evaluate(
        method,
        arguments.root,
        objects,
        max_clicks=arguments.max_clicks,
        target=arguments.target,
        zoom=not arguments.whole_image,
        limit=arguments.limit,
        rule=DrawingRule(arguments.per_image, min_area=arguments.min_area),
        workers=arguments.workers,
        device=arguments.device,
        partial=None if output is None else _partial_file(output),
    )


def _signed(value: Estimate, sign: str = "") -> str:
    """Return a value with its error."""
    return f"{value.mean:{sign}.2f} ± {value.error:.2f}"


def comparisons(
    results: list[EvaluationResult], others: list[EvaluationResult]
) -> list[str]:
    """Return a line for each pair of first method and another one on the same set.

    Only objects that both have seen are compared.
    """
    lines = []
    firsts: dict[str, EvaluationResult] = {}
    for result in [*results, *others]:
        first = firsts.setdefault(result.objects, result)
        if first is result:
            continue
        shared = set(first.items) & set(result.items)
        if not shared:
            continue
        found = compare(first.only(shared), result.only(shared))
        lines.append(
            f"{result.objects}: NoC@85 of {first.method} - {result.method}: "
            f"{_signed(found.difference, '+')}; ratio {_signed(found.ratio)} "
            f"({len(shared)} objects)"
        )
    return lines
