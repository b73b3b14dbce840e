"""The arguments of ``gpcis-train evaluate``."""

from __future__ import annotations

import argparse
from pathlib import Path

from gpcis_training.evaluation.clickers import CENTRE, LAWS
from gpcis_training.evaluation.datasets import object_sets
from gpcis_training.evaluation.peers import PEERS
from gpcis_training.evaluation.published import PUBLISHED_SETS


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


def _add_objects(parser: argparse.ArgumentParser) -> None:
    """Add what is evaluated."""
    add = parser.add_argument
    add(
        "--root",
        type=Path,
        default=Path(),
        help="folder that holds the data sets (default: this one)",
    )
    add(
        "--dataset",
        "--objects",
        dest="objects",
        nargs="+",
        default=[],
        metavar="SET",
        help=f"sets of the paper ({', '.join(PUBLISHED_SETS)}), object lists "
        f"({', '.join(object_sets())}) or data folders below the root",
    )
    add("--images", type=Path, help="any folder of images, instead of --dataset")
    add("--labels", type=Path, help="the folder of their label images")
    add("--pairs", type=Path, help="CSV or JSON file of image and label names")
    add("--per-image", type=int, help="of a folder: objects drawn from each image")
    add("--min-area", type=int, default=1, help="of a folder: least area in pixels")
    add("--limit", type=int, help="use the first objects of each set only")


def _add_protocol(parser: argparse.ArgumentParser) -> None:
    """Add what the robot does."""
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
    add("--seed", type=int, default=0, help="seed of those draws")


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Add what is done otherwise than the checkpoint says."""
    add = parser.add_argument
    add(
        "--epsilon2",
        type=float,
        nargs="+",
        metavar="VALUE",
        help="noise variance of the Gaussian process; several: one row each",
    )
    add("--infer-size", type=int, help="side of the network's input, pixels")
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
        "--mask",
        choices=("raw", "obeying"),
        help="raw: as published, without the last step that makes the mask obey every "
        "click (default on sets of the paper and with --epsilon2)",
    )
