"""Command ``gpcis-train evaluate``: arguments, work and report."""

from __future__ import annotations

import argparse
import sys
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gpcis_training.evaluation.datasets import (
    FILES,
    GROUPS,
    DrawingRule,
    file_objects,
    grouped_sets,
    object_sets,
)
from gpcis_training.evaluation.jobs import Ranks, partial_files, process_group
from gpcis_training.evaluation.peers import PEERS
from gpcis_training.evaluation.predictors import PEER_PREFIX, Overrides
from gpcis_training.evaluation.published import PUBLISHED_SETS
from gpcis_training.evaluation.results import (
    PUBLISHED_CLICKS,
    compare,
    load_results,
    save_results,
)
from gpcis_training.evaluation.robot import CENTRE, LAWS
from gpcis_training.evaluation.robustness import robustness_table
from gpcis_training.evaluation.runner import evaluate, find_objects
from gpcis_training.evaluation.tables import (
    MANY_CLICKS,
    csv_text,
    overview,
    save_curves,
    table,
    view_table,
)
from napari_gpcis.errors import CheckpointError, GPCISError, InputError
from napari_gpcis.files import fitting_stem, replacing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gpcis_training.evaluation.datasets import ObjectSet
    from gpcis_training.evaluation.metrics import ClickRun, Estimate
    from gpcis_training.evaluation.results import EvaluationResult
    from napari_gpcis.inference.segmenter import Segmenter

PARTIAL, MOST_RANKS = ".partial", 9999
"""Ending of files of finished runs, and the highest number after that, see `Ranks`."""
NO_ALTERNATIVES = "none"
"""In place of a file of learned alternatives: none."""

__all__ = [
    "NO_ALTERNATIVES",
    "add_arguments",
    "add_image_arguments",
    "add_set_arguments",
    "check_output",
    "chosen_sets",
    "comparisons",
    "load_segmenter",
    "named_sets",
    "run",
]


def run(arguments: argparse.Namespace) -> int:
    """Run ``gpcis-train evaluate`` and return the exit status."""
    try:
        _check(arguments)
        with process_group() as ranks:
            others = load_results(arguments.compare) if arguments.compare else []
            plans = list(_plans(arguments))
            results = [_evaluate(arguments, plan, ranks) for plan in plans]
            if ranks.is_first:
                _report(arguments, results, others)
    except (GPCISError, OSError) as error:
        print(f"gpcis-train evaluate: {error}", file=sys.stderr)
        return 1
    return 0


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
    _add_objects(parser)
    _add_protocol(parser)
    _add_settings(parser)
    add(
        "-j",
        "--jobs",
        "--workers",
        dest="workers",
        type=int,
        default=1,
        help="processes, each with one thread",
    )
    add("--device", default="cpu", help="where a model runs (cpu, cuda, mps, auto)")
    add(
        "-o",
        "--output",
        type=Path,
        help="write all results as JSON; beside it the table as CSV and the curves as "
        "PNG. The same command again goes on where one was interrupted",
    )
    add("--compare", type=Path, help="results of another day to compare with")


def comparisons(
    results: list[EvaluationResult], others: list[EvaluationResult]
) -> list[str]:
    """Return a line for each comparison with the first method on a set.

    Only objects that both have seen are compared, from the same first view and with
    clicks in the centre: by NoC@85, where first views of given sides were used by the
    IoU after the first click.
    """
    lines = []
    firsts: dict[tuple[str, str], EvaluationResult] = {}
    for result in [*results, *others]:
        if result.clicks != CENTRE:
            continue
        first = firsts.setdefault((result.objects, result.view), result)
        shared = set(first.items) & set(result.items)
        if first is result or first.max_clicks != result.max_clicks or not shared:
            continue
        measure, name = (_first_iou, "IoU&1") if first.is_shifted else (None, "NoC@85")
        found = compare(first.only(shared), result.only(shared), measure)
        view = f", {result.view}" if first.is_shifted else ""
        lines.append(
            f"{result.objects}{view}: {name} of {first.label} - {result.label}: "
            f"{_signed(found.difference, '+')}; ratio {_signed(found.ratio)} "
            f"({len(shared)} objects)"
        )
    return lines


def _first_iou(run: ClickRun) -> float:
    """Return the IoU after the first click."""
    return run.ious[0]


class _View(NamedTuple):
    """First view: the set's window or the whole image, or a side in pixels."""

    zoom: bool
    side: int | None = None


class _Plan(NamedTuple):
    """One evaluation of many."""

    method: str
    objects: ObjectSet
    overrides: Overrides
    view: _View
    clicks: str
    repeat: int


def _check(arguments: argparse.Namespace) -> None:
    """Raise `InputError` for arguments that would fail only at the end."""
    if arguments.repeats < 1:
        msg = f"--repeats must be at least 1, got {arguments.repeats}"
        raise InputError(msg)
    check_output(arguments.output)


def _methods(arguments: argparse.Namespace) -> list[str]:
    """Return the names of the methods to measure."""
    methods = [f"{PEER_PREFIX}{name}" for name in arguments.peer]
    if arguments.model is not None:
        methods.insert(0, arguments.model)
    if not methods:
        msg = "name a model or --peer"
        raise InputError(msg)
    return methods


def _plans(arguments: argparse.Namespace) -> Iterator[_Plan]:
    """Yield the evaluations of the command line."""
    methods = _methods(arguments)
    for objects in _sets(arguments):
        for view, method in product(_views(arguments, objects), methods):
            for given, (clicks, repeat) in product(
                _overrides(arguments, method, objects), _draws(arguments)
            ):
                yield _Plan(method, objects, given, view, clicks, repeat)


def check_output(output: Path | None) -> None:
    """Raise InputError if results cannot be written to a file that was asked for."""
    if output is not None and (output.suffix != ".json" or not output.parent.is_dir()):
        msg = f"--output must be a .json file in a folder that exists, got {output}"
        raise InputError(msg)


def named_sets(given: Iterable[str]) -> list[str]:
    """Return the names of sets, those of a group one by one, each once."""
    return list(dict.fromkeys(name for one in given for name in grouped_sets(one)))


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of measurements of whole images: root, sets and images."""
    _add_root_and_sets(parser)
    add = parser.add_argument
    add("--images", type=int, help="use so many images of each set, evenly spread")


def add_set_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that `chosen_sets` reads, for other measurements."""
    _add_root_and_sets(parser)
    add = parser.add_argument
    add("--limit", type=int, help="use the first objects of each set only")
    add("--subset", type=int, help="use so many objects of each set, evenly spread")


def _add_root_and_sets(parser: argparse.ArgumentParser) -> None:
    """Add the folder of the data, and the sets that are measured."""
    add = parser.add_argument
    add("--root", type=Path, default=Path(), help="folder that holds the data sets")
    add(
        "--dataset",
        "--set",
        dest="objects",
        nargs="+",
        required=True,
        metavar="SET",
        help="object lists or data folders, as for `gpcis-train evaluate`",
    )


def chosen_sets(
    arguments: argparse.Namespace, rule: DrawingRule | None = None
) -> Iterator[ObjectSet]:
    """Yield the named sets of the command line, each once.

    Parameters
    ----------
    arguments
        With ``objects``, ``root``, ``limit`` and ``subset``.
    rule
        How objects of a folder are drawn.

    Raises
    ------
    InputError
        If a set cannot be used.
    """
    for name in named_sets(arguments.objects):
        found = find_objects(name, arguments.root, rule, arguments.limit)
        yield found.subset(arguments.subset)


def load_segmenter(arguments: argparse.Namespace) -> Segmenter:
    """Return the model of the command line, on one thread.

    Parameters
    ----------
    arguments
        With ``model``, ``device`` and ``fast``, perhaps ``alternatives``: a file of
        learned ones, or `NO_ALTERNATIVES`; by default those that the model has.

    Raises
    ------
    CheckpointError
        If a file cannot be used, or the alternatives are those of another model.
    """
    import torch

    from napari_gpcis.checkpoints import load_checkpoint
    from napari_gpcis.checkpoints.proposals import (
        belongs,
        load_proposals,
        matching_proposals,
    )
    from napari_gpcis.inference.segmenter import Segmenter

    torch.set_num_threads(1)
    model, info = load_checkpoint(arguments.model)
    asked: str | None = getattr(arguments, "alternatives", None)
    proposals = None
    if asked is None:
        proposals = matching_proposals(arguments.model, info)
    elif asked != NO_ALTERNATIVES:
        proposals, notes = load_proposals(asked)
        if not belongs(notes, info):
            msg = f"the alternatives {asked} were trained on another model"
            raise CheckpointError(msg)
    return Segmenter(
        model,
        info,
        arguments.device,
        exact=not arguments.fast,
        proposals=proposals,
    )


def _sets(arguments: argparse.Namespace) -> Iterator[ObjectSet]:
    """Yield the object sets of the command line."""
    rule = DrawingRule(arguments.per_image, min_area=arguments.min_area)
    folders = (arguments.images, arguments.labels)
    if (None in folders) != (folders == (None, None)):
        msg = "--images and --labels must be given together"
        raise InputError(msg)
    if None in folders and not arguments.objects:
        msg = "name --dataset, or --images and --labels"
        raise InputError(msg)
    yield from chosen_sets(arguments, rule)
    if None not in folders:
        images, labels = (arguments.root / folder for folder in folders)
        found = file_objects(images, labels, arguments.pairs, rule)
        yield found.limited(arguments.limit).subset(arguments.subset)


def _views(arguments: argparse.Namespace, objects: ObjectSet) -> list[_View]:
    """Return the first views: sides, or with the set's window or without."""
    if arguments.first_view:
        return [_View(True, side) for side in arguments.first_view]
    if objects.rule.window is None or arguments.view == "whole":
        return [_View(False)]
    zooms = (True,) if arguments.view == "set" else (True, False)
    return [_View(zoom) for zoom in zooms]


def _overrides(
    arguments: argparse.Namespace, method: str, objects: ObjectSet
) -> list[Overrides]:
    """Return the settings under which a method is measured."""
    if method.startswith(PEER_PREFIX):
        return [Overrides()]
    default = objects.form in PUBLISHED_SETS or arguments.epsilon2 is not None
    raw = default if arguments.mask is None else arguments.mask == "raw"
    return [
        Overrides(
            epsilon2,
            arguments.infer_size,
            arguments.fine_size,
            arguments.fine_clicks,
            arguments.gp_stride,
            arguments.mirror,
            raw_mask=raw,
            fast=arguments.fast,
            tidy=arguments.tidy,
        )
        for epsilon2 in arguments.epsilon2 or [None]
    ]


def _draws(arguments: argparse.Namespace) -> list[tuple[str, int]]:
    """Return the laws of the clicks, with the numbers of their repeats."""
    return [
        (law, repeat)
        for law in arguments.clicks
        for repeat in range(1 if law == CENTRE else arguments.repeats)
    ]


def _partial_file(output: Path) -> Path:
    """Return the file of finished runs until the output is complete."""
    stem = fitting_stem(output.name, f"{PARTIAL}.{MOST_RANKS}")
    return output.with_name(f"{stem}{PARTIAL}")


def _evaluate(
    arguments: argparse.Namespace, plan: _Plan, ranks: Ranks
) -> EvaluationResult:
    """Return the result of one evaluation."""
    output: Path | None = arguments.output
    many = plan.objects.form in PUBLISHED_SETS and plan.clicks == CENTRE
    default = MANY_CLICKS if many else PUBLISHED_CLICKS
    if plan.view.side is not None:
        default = 1
    given: int | None = arguments.max_clicks
    return evaluate(
        plan.method,
        "." if plan.objects.form == FILES else arguments.root,
        plan.objects,
        max_clicks=default if given is None else given,
        target=arguments.target,
        zoom=plan.view.zoom,
        side=plan.view.side,
        clicks=plan.clicks,
        seed=arguments.seed,
        repeat=plan.repeat,
        overrides=plan.overrides,
        workers=arguments.workers,
        device=arguments.device,
        partial=None if output is None else _partial_file(output),
        ranks=ranks,
    )


def _report(
    arguments: argparse.Namespace,
    results: list[EvaluationResult],
    others: list[EvaluationResult],
) -> None:
    """Write and print the results."""
    if arguments.output is not None:
        _save(arguments.output, results)
    centred = [result for result in results if result.clicks == CENTRE]
    if any(not result.is_shifted for result in centred):
        print(table(results))
        if len({result.objects for result in centred}) > 1:
            print(f"\n{overview(results)}")
    if any(result.is_shifted for result in centred):
        print(f"\n{view_table(results)}")
    if len(centred) < len(results):
        print(f"\n{robustness_table(results)}")
    for line in comparisons(results, others):
        print(line)


def _save(output: Path, results: list[EvaluationResult]) -> None:
    """Write JSON, CSV and the curves, then remove the partial files."""
    save_results(output, results)
    with replacing(output.with_suffix(".csv")) as temporary:
        temporary.write_text(csv_text(results), encoding="utf-8")
    with replacing(output.with_suffix(".png")) as temporary:
        save_curves(temporary, results)
    for path in partial_files(_partial_file(output)):
        path.unlink()


def _signed(value: Estimate, sign: str = "") -> str:
    """Return a value with its error."""
    return f"{value.mean:{sign}.2f} ± {value.error:.2f}"


def _add_objects(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that choose objects."""
    add = parser.add_argument
    add(
        "--root",
        type=Path,
        default=Path(),
        help="folder that holds the data sets (default: this one)",
    )
    add(
        "--dataset",
        "--set",
        "--objects",
        dest="objects",
        nargs="+",
        default=[],
        metavar="SET",
        help=f"sets of the paper ({', '.join(PUBLISHED_SETS)}), object lists "
        f"({', '.join(object_sets())}), many lists at once ({', '.join(GROUPS)}) or "
        "data folders below the root",
    )
    add("--images", type=Path, help="any folder of images, instead of --dataset")
    add("--labels", type=Path, help="the folder of their label images")
    add("--pairs", type=Path, help="CSV or JSON file of image and label names")
    add("--per-image", type=int, help="of a folder: objects drawn from each image")
    add("--min-area", type=int, default=1, help="of a folder: least area in pixels")
    add("--limit", type=int, help="use the first objects of each set only")
    add("--subset", type=int, help="use so many objects of each set, evenly spread")


def _add_protocol(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the robot's protocol."""
    add = parser.add_argument
    add("--max-clicks", type=int, help="by default 100 on sets of the paper, else 20")
    add("--target", type=float, default=0.9, help="IoU at which the robot stops")
    view = parser.add_mutually_exclusive_group()
    view.add_argument(
        "--view",
        choices=("set", "whole", "both"),
        default="set",
        help="first view: that of the set (a window around the first click in "
        "microscopy), the whole image, or one after the other",
    )
    view.add_argument(
        "--first-view",
        type=int,
        nargs="+",
        metavar="SIDE",
        help="sides in image pixels of first views, each off the centre by chance; "
        "prints IoU after the first click (by default no more clicks are made)",
    )
    view.add_argument(
        "--whole-image",
        dest="view",
        action="store_const",
        const="whole",
        help="the same as --view whole",
    )
    add(
        "--clicks",
        nargs="+",
        choices=LAWS,
        default=[CENTRE],
        help="where in the largest error the robot clicks",
    )
    add(
        "--robustness",
        dest="clicks",
        action="store_const",
        const=list(LAWS),
        help=f"the same as --clicks {' '.join(LAWS)}",
    )
    add("--repeats", type=int, default=3, help="draws of clicks off the centre")
    add("--seed", type=int, default=0, help="seed of those draws, and of first views")


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that override the checkpoint."""
    add = parser.add_argument
    add(
        "--epsilon2",
        type=float,
        nargs="+",
        metavar="VALUE",
        help="noise variance of the Gaussian process; several: one row each",
    )
    add("--infer-size", type=int, help="side of the network's input, pixels")
    add("--fine-size", type=int, help="the same after many clicks; 0: no other")
    add("--fine-clicks", type=int, help="clicks from which that is used")
    add("--gp-stride", type=int, help="network pixels per one of the Gaussian process")
    add(
        "--mirror",
        action=argparse.BooleanOptionalAction,
        help="average the logits of the image and its mirror image",
    )
    add(
        "--fast",
        action="store_true",
        help="as the plugin runs a model on a CPU; by default it is run as it is",
    )
    add(
        "--tidy",
        action="store_true",
        help="tidy masks as for users: no pieces without a click, no small holes",
    )
    add(
        "--mask",
        choices=("raw", "obeying"),
        help="raw: as published, without the last step that makes the mask obey every "
        "click (default on sets of the paper and with --epsilon2)",
    )
