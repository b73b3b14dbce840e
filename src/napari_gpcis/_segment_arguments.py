"""The arguments of ``napari-gpcis segment``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_gpcis.cli.segment import segment

if TYPE_CHECKING:
    from napari_gpcis.clicks import Click

_EPILOG = """\
One object, two clicks (a click ends in ",-" where the object is not):

    napari-gpcis segment cells.tif --click 120,80 --click 40,40,- -o labels.tif

Two objects:

    napari-gpcis segment cells.tif --click 120,80 --next --click 300,210 -o labels.tif

Many images, with a table of clicks (columns image,row,col,positive,object):

    napari-gpcis segment images/*.tif --clicks clicks.csv -o labels --jobs 4

Rows and columns are pixels, counted from 0 at the top left. Write --contrast=-5,100
where a value begins with a minus sign.
"""


def add_segment_command(commands: Any) -> None:
    """Describe the command.

    Parameters
    ----------
    commands
        The subparsers of the program.
    """
    parser = commands.add_parser(
        "segment",
        help="segment objects in one image or many",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_segment_arguments(parser)
    parser.set_defaults(command=segment)


class _ClickAction(argparse.Action):
    """Add a click to the object that is being described."""

    def __call__(
        self, _: Any, namespace: argparse.Namespace, values: Any, __: Any = None
    ) -> None:
        """Store the click."""
        namespace.objects = namespace.objects or [[]]
        namespace.objects[-1].append(values)


class _NextAction(argparse.Action):
    """Begin the next object."""

    def __call__(
        self, _: Any, namespace: argparse.Namespace, __: Any, ___: Any = None
    ) -> None:
        """Store an object without clicks."""
        namespace.objects = [*(namespace.objects or [[]]), []]


def _click(text: str) -> Click:
    """Parse ``ROW,COL``, ``ROW,COL,+`` or ``ROW,COL,-``."""
    from napari_gpcis.clicks import Click

    *numbers, sign = (text if text.endswith((",+", ",-")) else f"{text},+").split(",")
    try:
        row, col = map(float, numbers)
        return Click(row, col, positive=sign == "+")
    except ValueError as error:
        msg = f"must be ROW,COL or ROW,COL,- with two numbers, got {text!r}"
        raise argparse.ArgumentTypeError(msg) from error


def _floats(text: str) -> tuple[float, ...]:
    """Parse numbers with commas between them."""
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError as error:
        msg = f"must be numbers with commas between them, got {text!r}"
        raise argparse.ArgumentTypeError(msg) from error


def _integers(text: str) -> tuple[int, ...]:
    """Parse whole numbers with commas between them."""
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError as error:
        msg = f"must be whole numbers with commas between them, got {text!r}"
        raise argparse.ArgumentTypeError(msg) from error


def _path(text: str) -> Path:
    """Parse a path; ``~`` stands for the home folder."""
    return Path(text).expanduser()


def _add_segment_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``segment``."""
    add = parser.add_argument
    add(
        "images",
        type=_path,
        nargs="*",
        metavar="IMAGE",
        help="TIFF, PNG, JPEG or NumPy file; several only with --clicks, where all "
        "images of the table are taken if none is named",
    )
    add(
        "--click",
        action=_ClickAction,
        dest="objects",
        type=_click,
        metavar="ROW,COL[,-]",
        help="a click on the object, or with ,- beside it; repeat in order",
    )
    add("--next", action=_NextAction, dest="objects", nargs=0, help="next object")
    add(
        "--clicks",
        type=_path,
        metavar="TABLE",
        help="CSV with the clicks on many images: image,row,col,positive,object",
    )
    add(
        "-o",
        "--output",
        type=_path,
        required=True,
        help=".tif, .png or .npy file; with --clicks a folder",
    )
    add("--jobs", type=int, default=1, help="processes, with --clicks")
    add(
        "--dask",
        metavar="ADDRESS",
        help="scheduler of a dask cluster whose workers segment the images, with "
        "--clicks; they must find the files under the same paths",
    )
    add(
        "--format",
        choices=("tif", "png", "npy"),
        default="tif",
        help="of the label images, with --clicks",
    )
    add("--model", default="gpcis-mobilenet-v2", help="name, or .safetensors file")
    add("--device", default="auto", help="auto, cpu, cuda or mps")
    add(
        "--view",
        type=_floats,
        metavar="R0,C0,R1,C1",
        help="part of the image that the first click of each object refers to",
    )
    add(
        "--contrast",
        type=_floats,
        metavar="LOW,HIGH",
        help="values that become black and white",
    )
    add("--channels", type=_integers, metavar="C[,C[,C]]", help="channels, from 0")
    add(
        "--plane",
        type=_integers,
        default=(),
        metavar="I[,I...]",
        help="plane of a stack or movie, from 0",
    )
    add("--threshold", type=float, help="probability of the boundary")
    add("--labels", type=_path, help="label image with objects that are to be kept")
    add("--prompts", type=_path, metavar="FILE", help="also save the clicks as JSON")
    add("--overwrite", action="store_true", help="replace files that exist")
