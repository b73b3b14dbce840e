"""The command line: ``napari-gpcis segment | models | convert | demo``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from napari_gpcis import __version__
from napari_gpcis._model_commands import add_model_commands
from napari_gpcis.errors import GPCISError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_gpcis.clicks import Click
    from napari_gpcis.session import Session

USAGE_ERROR = 2
MAX_COLOURS = 4
"""Images with more on their last axis are stacks, or need ``--channels``."""

_EPILOG = """\
One object, two clicks (a click ends in ",-" where the object is not):

    napari-gpcis segment cells.tif --click 120,80 --click 40,40,- -o labels.tif

Two objects:

    napari-gpcis segment cells.tif --click 120,80 --next --click 300,210 -o labels.tif

Rows and columns are pixels, counted from 0 at the top left. Write --contrast=-5,100
where a value begins with a minus sign.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv
        Arguments without the program's name; those of the process by default.

    Returns
    -------
    int
        0, or 2 after one line on standard error that says what is wrong.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["demo"]:  # has its own options
        return _run(_demo, words[1:])
    arguments = _make_parser().parse_args(words)
    return _run(arguments.command, arguments)


def _run(command: Any, arguments: Any) -> int:
    """Run one command; turn what can go wrong into one line and a status."""
    try:
        return int(command(arguments) or 0)
    except (GPCISError, OSError) as error:
        message = " ".join(str(error).split())
        print(f"napari-gpcis: {message}", file=sys.stderr)
        return USAGE_ERROR


# -- commands --------------------------------------------------------------------------


def _segment(arguments: argparse.Namespace) -> None:
    """Segment one object after the other and write the label image."""
    from napari_gpcis.imagefiles import check_output, read_image, write_labels

    objects = _checked_objects(arguments.objects)
    check_output(arguments.output)
    for path in filter(None, (arguments.output, arguments.prompts)):
        _check_free(path, arguments)
    image = read_image(arguments.image, arguments.plane)
    _check_channels(image, arguments.channels)
    labels = arguments.labels and read_image(arguments.labels)
    session = _open_session(arguments, image, labels)
    for clicks in objects:
        _segment_object(session, clicks)
    write_labels(arguments.output, session.labels)
    print(f"wrote {arguments.output}")
    if arguments.prompts:
        session.save(arguments.prompts)
        print(f"wrote {arguments.prompts}")


def _open_session(arguments: argparse.Namespace, image: Any, labels: Any) -> Session:
    """Load the model and open the image."""
    from napari_gpcis import Segmenter, Session

    segmenter = Segmenter.from_pretrained(arguments.model, device=arguments.device)
    session = Session(
        segmenter,
        image,
        contrast=arguments.contrast,
        channels=arguments.channels,
        labels=labels,
    )
    session.view = arguments.view
    if arguments.threshold is not None:
        session.threshold = arguments.threshold
    return session


def _segment_object(session: Session, clicks: Sequence[Click]) -> None:
    """Make the clicks of one object, accept it and report it."""
    for click in clicks:
        session.add_click(click.row, click.col, click.positive)
    number = session.accept()
    pixels = int((session.labels == number).sum())
    several = "s" if len(clicks) > 1 else ""
    print(f"object {number}: {len(clicks)} click{several}, {pixels} pixels")


def _demo(arguments: list[str]) -> int:
    """Open the demo; it needs napari and a Qt binding."""
    try:
        from napari_gpcis.plugin.demo import main as run_demo
    except ImportError as error:
        msg = f'the demo needs napari: pip install "napari-gpcis[all]" ({error})'
        raise InputError(msg) from error
    return run_demo(arguments)


# -- checks ----------------------------------------------------------------------------


def _checked_objects(objects: list[list[Click]] | None) -> list[list[Click]]:
    """Return the clicks of each object; each must have some."""
    for number, clicks in enumerate(objects or [[]], start=1):
        if not clicks:
            msg = f"object {number} has no clicks: give --click ROW,COL"
            raise InputError(msg)
    return objects or []


def _check_channels(image: Any, channels: Sequence[int] | None) -> None:
    """Raise `InputError` if a stack was given where one plane is needed."""
    if image.ndim == 3 and image.shape[2] > MAX_COLOURS and channels is None:
        msg = (
            f"image has shape {image.shape}: choose one plane of a stack with --plane, "
            "or up to three channels (the last axis) with --channels"
        )
        raise InputError(msg)


def _check_free(path: Path, arguments: argparse.Namespace) -> None:
    """Raise `InputError` if writing would destroy a file that is to be kept."""
    if path.exists() and path.samefile(arguments.image):
        msg = f"output {path} is the image itself"
        raise InputError(msg)
    if path.exists() and not arguments.overwrite:
        msg = f"output {path} exists; --overwrite replaces it"
        raise InputError(msg)


# -- arguments -------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message without the usage, and leave."""
        line = f"{self.prog}: {message} (see {self.prog} --help)\n"
        self.exit(USAGE_ERROR, line)


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


def _make_parser() -> argparse.ArgumentParser:
    """Describe all arguments."""
    parser = _Parser(prog="napari-gpcis", description="Segment objects by clicks.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    segment = commands.add_parser(
        "segment",
        help="segment objects in one image",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_segment_arguments(segment)
    segment.set_defaults(command=_segment)
    add_model_commands(commands)
    commands.add_parser("demo", help="open napari on a sample image", add_help=False)
    return parser


def _add_segment_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``segment``."""
    add = parser.add_argument
    add("image", type=_path, help="TIFF, PNG, JPEG or NumPy file")
    add(
        "--click",
        action=_ClickAction,
        dest="objects",
        type=_click,
        metavar="ROW,COL[,-]",
        help="a click on the object, or with ,- beside it; repeat in order",
    )
    add("--next", action=_NextAction, dest="objects", nargs=0, help="next object")
    add("-o", "--output", type=_path, required=True, help=".tif, .png or .npy file")
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
