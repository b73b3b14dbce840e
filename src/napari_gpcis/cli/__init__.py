"""The command line, ``napari-gpcis``: a command and its arguments."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from napari_gpcis import __version__
from napari_gpcis.cli.find_similar import add_find_similar_command
from napari_gpcis.cli.labels import add_label_commands
from napari_gpcis.cli.models import add_model_commands
from napari_gpcis.cli.segment import INTERRUPTED, add_segment_command
from napari_gpcis.cli.superpixels import add_superpixels_command
from napari_gpcis.errors import GPCISError, InputError, in_words
from napari_gpcis.files.names import check_length

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

USAGE_ERROR = 2
CLOSED_PIPE = 141
"""Status where nobody reads the output any more, as shells have it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv
        Arguments without the program's name; those of the process by default.

    Returns
    -------
    int
        0; 1 if some of many images could not be segmented; 2 after one line on
        standard error that says what is wrong; 130 after Control-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["demo"]:  # has its own options
        return _run(_demo, words[1:])
    arguments = _make_parser().parse_args(words)
    return _run(_command, arguments)


def _command(arguments: argparse.Namespace) -> int | None:
    """Run the command that was asked for, if files can have the names it was given."""
    for name, given in vars(arguments).items():
        for one in given if isinstance(given, list) else [given]:
            if isinstance(one, Path):
                check_length(one, name)
    status: int | None = arguments.command(arguments)
    return status


def _run(command: Any, arguments: Any) -> int:
    """Run one command; turn what can go wrong into one line and a status."""
    try:
        return run_to_end(command, arguments)
    except (GPCISError, OSError) as error:
        print(f"napari-gpcis: {in_words(error)}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print("napari-gpcis: interrupted", file=sys.stderr)
        return INTERRUPTED


def run_to_end(command: Callable[[Any], int | None], arguments: Any) -> int:
    """Run a command until all that it prints is written, and return its status.

    Parameters
    ----------
    command
        Returns its status; ``None`` for 0.
    arguments
        Handed to it.

    Returns
    -------
    int
        `CLOSED_PIPE` if nobody reads the output any more, such as ``head``, which has
        read enough.
    """
    try:
        status = int(command(arguments) or 0)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    return status


def _demo(arguments: list[str]) -> int:
    """Open the demo; it needs napari and a Qt binding."""
    try:
        from napari_gpcis.plugin.demo import main as run_demo
    except ImportError as error:
        msg = f'the demo needs napari: pip install "napari-gpcis[all]" ({error})'
        raise InputError(msg) from error
    return run_demo(arguments, parser=_Parser)


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message without the usage, and leave."""
        line = f"{self.prog}: {message} (see {self.prog} --help)\n"
        self.exit(USAGE_ERROR, line)


def _make_parser() -> argparse.ArgumentParser:
    """Describe all arguments."""
    parser = _Parser(prog="napari-gpcis", description="Segment objects by clicks.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_segment_command(commands)
    add_find_similar_command(commands)
    add_superpixels_command(commands)
    add_label_commands(commands)
    add_model_commands(commands)
    commands.add_parser("demo", help="open napari on a sample image", add_help=False)
    return parser
