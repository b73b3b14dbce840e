"""The command ``napari-gpcis segment``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never

from napari_gpcis.checkpoints.registry import DEFAULT_MODEL
from napari_gpcis.errors import InputError
from napari_gpcis.files.names import fitting_stem, stem_of
from napari_gpcis.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tqdm import tqdm

    from napari_gpcis.alternatives import Alternative
    from napari_gpcis.batch import Summary
    from napari_gpcis.clicks import Click
    from napari_gpcis.inference.tidy import Tidy
    from napari_gpcis.session.session import Session

MAX_COLOURS = 4
"""Images with more on their last axis are stacks, or need ``--channels``."""
SOME_FAILED = 1
INTERRUPTED = 130
"""Status after Control-C, as shells have it."""
_MANY_ONLY = ("jobs", "dask", "format")
_ONE_IMAGE_ONLY = ("objects", "labels", "prompts", "alternatives", "choices")
_OPTIONS = {"objects": "--click", "choices": "--choose"}
_EPILOG = """\
One object, two clicks (a click ends in ",-" where the object is not):

    napari-gpcis segment cells.tif --click 120,80 --click 40,40,- -o labels.tif

Two objects:

    napari-gpcis segment cells.tif --click 120,80 --next --click 300,210 -o labels.tif

What else a click may mean: each alternative is listed, and written beside the output
(labels-object1-alternative2.tif); --choose then takes one of them:

    napari-gpcis segment cells.tif --click 120,80 -o labels.tif --alternatives
    napari-gpcis segment cells.tif --click 120,80 --choose 2 -o labels.tif

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


def segment(arguments: argparse.Namespace) -> int:
    """Segment one image, or many with a table of clicks; return the status.

    Raises
    ------
    InputError
        If an argument cannot be used.
    """
    if arguments.clicks is not None:
        return segment_many(arguments)
    if len(arguments.images) != 1:
        msg = (
            f"one image is needed, got {len(arguments.images)}; many need a table of "
            "clicks: --clicks TABLE"
        )
        raise InputError(msg)
    (arguments.image,) = arguments.images
    return _segment_one(arguments)


def _segment_one(arguments: argparse.Namespace) -> int:
    """Segment one object after the other and write the label image.

    An object that cannot be made costs itself only; then the status is 1.
    """
    from napari_gpcis.imagefiles import (
        check_free,
        read_image,
        read_labels,
        write_labels,
    )

    for name in _MANY_ONLY:
        if getattr(arguments, name) is not None:
            msg = f"--{name} is for many images: it needs a table of clicks (--clicks)"
            raise InputError(msg)
    objects = _checked_objects(arguments.objects)
    kept = check_outputs(
        arguments,
        {"the image": arguments.image},
        {"the label image of --labels": arguments.labels},
    )
    image = read_image(arguments.image, arguments.plane)
    check_channels(image, arguments.channels)
    labels = arguments.labels and read_labels(arguments.labels, arguments.plane)
    session = open_session(arguments, image, labels)
    made, problems = [], []
    others: dict[Path, Any] = {}
    for number, clicks in enumerate(objects, start=1):
        try:
            found = _click_object(session, clicks, arguments)
            made.append(_accept_object(session, number, found, arguments))
        except InputError as error:
            session.clear()
            problems.append(f"object {number}: {error}")
            continue
        for place, one in enumerate(found[1:], start=1):
            others[_beside(arguments.output, number, place)] = one.mask
    if not made:
        raise InputError("; ".join(problems))
    for path in others:
        check_free(path, kept, "output", overwrite=arguments.overwrite)
    write_labels(arguments.output, session.labels, source=arguments.image)
    for path, mask in others.items():
        write_labels(path, mask.astype("int32"), source=arguments.image)
    if arguments.prompts:
        session.save(arguments.prompts)
    print("\n".join(made))  # after all files: the output may be a closed pipe
    for problem in problems:
        print(f"napari-gpcis: left out: {problem}", file=sys.stderr)
    print(f"wrote {arguments.output}")
    if arguments.prompts:
        print(f"wrote {arguments.prompts}")
    tell_orientation([arguments.image])
    return SOME_FAILED if problems else 0


def open_session(arguments: argparse.Namespace, image: Any, labels: Any) -> Session:
    """Load the model and open the image."""
    from napari_gpcis import Segmenter, Session

    segmenter = Segmenter.from_pretrained(arguments.model, device=arguments.device)
    session = Session(
        segmenter,
        image,
        contrast=arguments.contrast,
        channels=arguments.channels,
        labels=labels,
        tidy=_tidy(arguments),
    )
    session.view = arguments.view
    if arguments.threshold is not None:
        session.threshold = arguments.threshold
    return session


def _tidy(arguments: argparse.Namespace) -> Tidy | None:
    """Return the rules by which masks are tidied.

    Raises
    ------
    InputError
        If a value is outside its range, or nothing is tidied.
    """
    from napari_gpcis.inference.tidy import Tidy

    options = ("keep_pieces", "smallest", "fill_holes", "smooth")
    unused = [name for name in options if getattr(arguments, name) not in (None, False)]
    if unused and not arguments.tidy:
        option = unused[0].replace("_", "-")
        msg = f"--{option} tidies masks; it cannot be used with --no-tidy"
        raise InputError(msg)

    given = {
        "smallest": arguments.smallest,
        "holes": arguments.fill_holes,
        "smoothing": arguments.smooth,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    rules = Tidy(clicked=not arguments.keep_pieces, **chosen)
    return rules if arguments.tidy else None


def _click_object(
    session: Session, clicks: Sequence[Click], arguments: argparse.Namespace
) -> tuple[Alternative, ...]:
    """Make the clicks of one object; return its alternatives if they are asked for."""
    for click in clicks:
        session.add_click(click.row, click.col, click.positive)
    return session.alternatives() if arguments.alternatives else ()


def _accept_object(
    session: Session,
    number: int,
    found: Sequence[Alternative],
    arguments: argparse.Namespace,
) -> str:
    """Accept an object, or the alternative of it, and return what to tell of it."""
    count = len(session.clicks)
    try:
        session.choose((arguments.choices or {}).get(number, 0))
    except InputError as error:
        msg = f"--choose: {error}"
        raise InputError(msg) from error
    label = session.accept()
    pixels = int((session.labels == label).sum())
    lines = [f"object {label}: {counted(count, 'click')}, {pixels} pixels"]
    lines += [
        f"  alternative {place}: {one.area} pixels, expected IoU {one.score:.2f}"
        for place, one in enumerate(found)
    ]
    return "\n".join(lines)


def _beside(output: Path, number: int, place: int) -> Path:
    """Return where an alternative of an object is written."""
    stem = stem_of(output)
    ending = f"-object{number}-alternative{place}{output.name[len(stem) :]}"
    return output.with_name(f"{fitting_stem(stem, ending)}{ending}")


def _checked_objects(objects: list[list[Click]] | None) -> list[list[Click]]:
    """Return the clicks of each object; each must have some."""
    for number, clicks in enumerate(objects or [[]], start=1):
        if not clicks:
            msg = f"object {number} has no clicks: give --click ROW,COL"
            raise InputError(msg)
    return objects or []


def check_channels(image: Any, channels: Sequence[int] | None) -> None:
    """Raise `InputError` if a stack was given where one plane is needed."""
    if image.ndim == 3 and image.shape[2] > MAX_COLOURS and channels is None:
        msg = (
            f"image has shape {image.shape}: choose one plane of a stack with --plane, "
            "or up to three channels (the last axis) with --channels"
        )
        raise InputError(msg)


def check_outputs(
    arguments: argparse.Namespace,
    images: Mapping[str, Path | None],
    labels: Mapping[str, Path | None],
) -> dict[str, Path | None]:
    """Check the label image and the file of clicks before anything is read.

    Parameters
    ----------
    arguments
        Of a command with ``--output``, ``--prompts``, ``--model`` and ``--overwrite``.
    images
        Files that are read, by what errors call them.
    labels
        Label images whose objects are in the output as well, which may therefore take
        their place, unless that has other planes too.

    Returns
    -------
    dict of str to Path
        All that no further file may replace, both outputs included.

    Raises
    ------
    InputError
        If a file cannot be written, or another would be lost by it.
    """
    from napari_gpcis.imagefiles import (
        check_free,
        check_output,
        is_same_file,
        read_label_file,
    )

    output, overwrite = arguments.output, arguments.overwrite
    check_output(output)
    check_free(output, images, "output", overwrite=overwrite)
    for name, file in labels.items():
        if file is None or not arguments.plane or not is_same_file(output, file):
            continue
        if read_label_file(file)[0].ndim > 2:
            msg = f"output {output} would replace {name} with one plane of it"
            raise InputError(msg)
    model = Path(arguments.model)
    kept = {**images, **labels, "the output": output}
    kept["the model"] = model if model.is_file() else None
    if arguments.prompts:
        check_free(arguments.prompts, kept, "prompts", overwrite=overwrite)
    return {**kept, "the file of --prompts": arguments.prompts}


def segment_many(arguments: argparse.Namespace) -> int:
    """Segment all images of a table; return 1 if some could not be.

    Raises
    ------
    InputError
        If an argument cannot be used.
    """
    from napari_gpcis.batch import Settings, Summary, read_clicks, segment_images

    for name in _ONE_IMAGE_ONLY:
        if getattr(arguments, name):
            option = _OPTIONS.get(name, f"--{name}")
            msg = f"{option} is for one image; it cannot be used with --clicks"
            raise InputError(msg)
    tasks = read_clicks(arguments.clicks, arguments.images)
    settings = Settings(
        output=arguments.output,
        model=arguments.model,
        device=arguments.device,
        plane=tuple(arguments.plane),
        contrast=arguments.contrast,
        channels=arguments.channels,
        view=arguments.view,
        threshold=arguments.threshold,
        tidy=_tidy(arguments),
        suffix=f".{arguments.format or 'tif'}",
        overwrite=arguments.overwrite,
    )
    summary = Summary()

    def show(now: Summary) -> None:
        nonlocal summary
        summary = now
        _show(bar, now)

    try:
        with _bar(len(tasks)) as bar:
            segment_images(
                tasks,
                settings,
                jobs=1 if arguments.jobs is None else arguments.jobs,
                cluster=arguments.dask,
                report=show,
            )
    except KeyboardInterrupt:
        _print_outcome(summary, arguments)
        same = "the same command" + " without --overwrite" * arguments.overwrite
        print(f"napari-gpcis: interrupted; {same} goes on from here", file=sys.stderr)
        return INTERRUPTED
    tell_orientation(summary.done)
    return _print_outcome(summary, arguments)


def _bar(total: int) -> tqdm[Never]:
    """Return a progress bar of so many images."""
    from tqdm import tqdm

    disable = None if sys.stderr else True
    return tqdm(total=total, unit="image", disable=disable)


def _show(bar: tqdm[Never], summary: Summary) -> None:
    """Show the number of images that have ended, and of failures."""
    ended = len(summary.done) + len(summary.skipped) + len(summary.failed)
    if summary.failed:
        bar.set_postfix_str(f"{len(summary.failed)} failed", refresh=False)
    bar.update(ended - bar.n)


def _print_outcome(summary: Summary, arguments: argparse.Namespace) -> int:
    """Print the outcome; return the status."""
    for image, why in summary.failed.items():
        print(f"napari-gpcis: {image}: {why}", file=sys.stderr)
    for image, objects in summary.left_out.items():
        for why in objects:
            print(f"napari-gpcis: {image}: left out: {why}", file=sys.stderr)
    parts = [f"{counted(len(summary.done), 'image')} segmented into {arguments.output}"]
    if summary.skipped:
        parts.append(f"{len(summary.skipped)} were there (--overwrite replaces them)")
    if summary.failed:
        parts.append(f"{len(summary.failed)} failed")
    if summary.left_out:
        left = [one for some in summary.left_out.values() for one in some]
        images = counted(len(summary.left_out), "image")
        parts.append(f"{counted(len(left), 'object')} of {images} left out")
    print("; ".join(parts))
    return SOME_FAILED if summary.failed or summary.left_out else 0


def tell_orientation(images: Sequence[Path]) -> None:
    """Tell that pictures were turned as viewers turn them: napari does not."""
    from napari_gpcis.imagefiles import PICTURES, exif_orientation

    for image in images:
        if image.suffix.lower() in PICTURES and exif_orientation(image) != 1:
            line = (
                f"{image} has an EXIF orientation: clicks and labels are those of the "
                "picture as viewers turn it; napari shows it as it is stored"
            )
            print(f"napari-gpcis: note: {line}", file=sys.stderr)


def _add_segment_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments of ``segment``."""
    add = parser.add_argument
    add(
        "images",
        type=to_path,
        nargs="*",
        metavar="IMAGE",
        help="TIFF, PNG, JPEG or NumPy file, or OME-Zarr; several only with --clicks, "
        "where all images of the table are taken if none is named",
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
        "--alternatives",
        action="store_true",
        help="list what else the clicks of each object may mean, and write each mask",
    )
    add(
        "--choose",
        action=_ChooseAction,
        dest="choices",
        type=int,
        metavar="N",
        help="take this alternative, after the clicks of an object",
    )
    add(
        "--clicks",
        type=to_path,
        metavar="TABLE",
        help="CSV with the clicks on many images: image,row,col,positive,object",
    )
    add(
        "-o",
        "--output",
        type=to_path,
        required=True,
        help=".tif, .png or .npy file, or a folder .zarr (OME-Zarr); with --clicks a "
        "folder",
    )
    add("--jobs", type=int, help="processes, with --clicks (1 by default)")
    add(
        "--dask",
        metavar="ADDRESS",
        help="scheduler of a dask cluster whose workers segment the images, with "
        "--clicks; they must find the files under the same paths",
    )
    add(
        "--format",
        choices=("tif", "png", "npy", "ome.zarr"),
        help="of the label images, with --clicks (tif by default)",
    )
    add("--model", default=DEFAULT_MODEL, help="name, or .safetensors file")
    add("--device", default="auto", help="auto, cpu, cuda or mps")
    add(
        "--view",
        type=floats,
        metavar="R0,C0,R1,C1",
        help="part of the image that the first click of each object refers to",
    )
    add_image_arguments(parser)
    add("--threshold", type=float, help="probability of the boundary")
    add_tidy_arguments(parser)
    add("--labels", type=to_path, help="label image with objects that are to be kept")
    add("--prompts", type=to_path, metavar="FILE", help="also save the clicks as JSON")
    add("--overwrite", action="store_true", help="replace files that exist")


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments about how an image is read."""
    add = parser.add_argument
    add(
        "--contrast",
        type=floats,
        metavar="LOW,HIGH",
        help="values that become black and white",
    )
    add("--channels", type=integers, metavar="C[,C[,C]]", help="channels, from 0")
    add(
        "--plane",
        type=integers,
        default=(),
        metavar="I[,I...]",
        help="plane of a stack or movie, from 0",
    )


def add_tidy_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments about tidying."""
    add = parser.add_argument
    add(
        "--no-tidy",
        dest="tidy",
        action="store_false",
        help="masks as the model makes them, with pieces elsewhere, specks and holes",
    )
    add(
        "--keep-pieces",
        action="store_true",
        help="keep pieces of a mask that have no click",
    )
    add(
        "--smallest",
        type=int,
        metavar="PIXELS",
        help="with --keep-pieces: remove those with fewer pixels",
    )
    add(
        "--fill-holes",
        type=int,
        metavar="PIXELS",
        help="fill holes with fewer pixels, unless clicked; 64 by default",
    )
    add(
        "--smooth",
        type=float,
        metavar="RADIUS",
        help="smooth away what is narrower than a disk of this radius, in pixels",
    )


class _ClickAction(argparse.Action):
    """Add a click to the object that is being described."""

    def __call__(
        self, _: Any, namespace: argparse.Namespace, values: Any, __: Any = None
    ) -> None:
        """Store the click."""
        namespace.objects = namespace.objects or [[]]
        namespace.objects[-1].append(values)


class _ChooseAction(argparse.Action):
    """Choose an alternative of the object that is being described."""

    def __call__(
        self, _: Any, namespace: argparse.Namespace, values: Any, __: Any = None
    ) -> None:
        """Store the choice under the number of the object, from 1."""
        number = len(namespace.objects or [[]])
        namespace.choices = {**(namespace.choices or {}), number: values}


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


def floats(text: str) -> tuple[float, ...]:
    """Parse numbers with commas between them."""
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError as error:
        msg = f"must be numbers with commas between them, got {text!r}"
        raise argparse.ArgumentTypeError(msg) from error


def integers(text: str) -> tuple[int, ...]:
    """Parse whole numbers with commas between them."""
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError as error:
        msg = f"must be whole numbers with commas between them, got {text!r}"
        raise argparse.ArgumentTypeError(msg) from error


def to_path(text: str) -> Path:
    """Parse a path; ``~`` stands for the home folder."""
    return Path(text).expanduser()
