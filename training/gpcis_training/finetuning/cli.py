"""Command ``gpcis-train finetune``: arguments, signals, output of events."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpcis_training.finetuning.options import KEEP, ON_ERROR, PRECISIONS
from gpcis_training.finetuning.reading import COMPONENTS
from gpcis_training.finetuning.report import print_json, print_text
from napari_gpcis.checkpoints.registry import DEFAULT_MODEL
from napari_gpcis.errors import GPCISError, InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

_OWN = ("model", "images", "labels", "output", "resume", "overwrite", "events", "run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``gpcis-train finetune``."""
    add = parser.add_argument
    add(
        "model",
        nargs="?",
        default=DEFAULT_MODEL,
        help=f"name or file of the model to start from (default {DEFAULT_MODEL})",
    )
    add("--images", type=Path, required=True, help="folder of tif, png, jpg or npy")
    add("--labels", type=Path, required=True, help="folder of label images")
    add(
        "-o",
        "--output",
        required=True,
        help="a .safetensors file, or a name: the model is then listed by that name",
    )
    add(
        "--pairs", type=Path, help="CSV (columns image,labels) or JSON, if names differ"
    )
    add("--channels", type=_channels, help="of many channels, up to three: 0 or 0,2,1")
    add("--on-error", choices=ON_ERROR, default="refuse", help="unusable files")
    add(
        "--components",
        choices=COMPONENTS,
        default="auto",
        help="are connected pieces of one id objects of their own? auto: if an image "
        "has a single id",
    )
    add(
        "--union",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of samples whose target is all objects of the image together",
    )
    add("--split", type=Path, help="JSON with the lists train and val")
    add("--seed", type=int, default=0)
    add("--max-minutes", type=float, default=15.0, help="of everything (default 15)")
    add("--resume", action="store_true", help="go on with an unfinished run")
    add("--overwrite", action="store_true", help="replace what is at the output")
    _add_training(parser)


def _add_training(parser: argparse.ArgumentParser) -> None:
    """Add the options that follow from the images unless they are given."""
    group = parser.add_argument_group("training (decided from the images by default)")
    add = group.add_argument
    add("--steps", type=int, help="optimiser steps")
    add("--batch-size", type=int, default=8)
    add("--size", type=int, help="side of the training crops, pixels")
    add("--lr", type=float, help="peak learning rate")
    add("--encoder-lr", type=float, help="factor on it for the encoder")
    add("--patience", type=int, default=6, help="validations without improvement")
    add("--objects", type=int, default=32, help="evaluated before and after")
    add("--precision", choices=PRECISIONS, default="auto")
    add(
        "--keep",
        choices=KEEP,
        default="better",
        help="better: if training does not lower the clicks, no model is written, and "
        "the exit status is 1; trained: the trained weights are written all the same",
    )
    add("--workers", type=int, default=1, help="data loading processes")
    add(
        "--events",
        action="store_true",
        help="print JSON lines; a line 'stop' on standard input keeps the best so far, "
        "its end ends the program",
    )


def _channels(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def run(arguments: argparse.Namespace) -> int:
    """Run ``gpcis-train finetune`` and return the exit status: 1 without a model."""
    try:
        from gpcis_training.finetuning import StoppedError, finetune
    except ImportError as error:
        msg = (
            f"fine-tuning needs {error.name}: pip install 'napari-gpcis[training]' "
            "(or, in its repository, pip install '.[training]')"
        )
        raise InputError(msg) from error
    options = {k: v for k, v in vars(arguments).items() if k not in _OWN}
    stop_requested = threading.Event()
    if arguments.events:
        _listen(stop_requested)
    try:
        with nullcontext() if arguments.events else _stop_on_interrupt(stop_requested):
            result = finetune(
                arguments.model,
                arguments.images,
                arguments.labels,
                arguments.output,
                resume=arguments.resume,
                overwrite=arguments.overwrite,
                listener=print_json if arguments.events else print_text,
                stop=stop_requested.is_set,
                **options,
            )
    except StoppedError:
        if not arguments.events:
            raise
        print_json({"event": "stopped"})
        return 0
    except (GPCISError, OSError) as error:
        if not arguments.events:
            raise
        print_json({"event": "error", "message": str(error)})
        return 2
    return 1 if result.path is None else 0


def _listen(stop_requested: threading.Event) -> None:
    """Wait for ``stop`` on standard input; exit when it is closed."""

    def wait() -> None:
        for line in sys.stdin:
            if line.strip() == "stop":
                stop_requested.set()

        os._exit(3)  # the viewer is gone; the last checkpoint stays

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def _stop_on_interrupt(stop_requested: threading.Event) -> Iterator[None]:
    """Let the first Control-C end training, a second one the program."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupted(*_: Any) -> None:
        stop_requested.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("stopping: the best state so far is kept", file=sys.stderr)

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
