"""The command ``napari-gpcis superpixels``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from napari_gpcis.cli.segment import add_image_arguments, check_channels, to_path
from napari_gpcis.errors import GPCISError, InputError, in_words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SOME_FAILED = 1
_EPILOG = """\
One image:

    napari-gpcis superpixels cells.tif -n 600 -o superpixels.tif

Many images, one label image each in a folder, those of equal names in subfolders:

    napari-gpcis superpixels images/*.tif -n 600 -o superpixels
"""


def add_superpixels_command(commands: Any) -> None:
    """Describe the command and its arguments.

    Parameters
    ----------
    commands
        The subparsers of the program.
    """
    parser = commands.add_parser(
        "superpixels",
        help="divide images into small regions of similar pixels",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=run)
    add = parser.add_argument
    add(
        "images",
        type=to_path,
        nargs="+",
        metavar="IMAGE",
        help="TIFF, PNG, JPEG or NumPy file, or OME-Zarr",
    )
    add("-n", "--number", type=int, default=600, help="superpixels; 600 by default")
    add(
        "-o",
        "--output",
        type=to_path,
        required=True,
        help=".tif, .png or .npy file, or a folder .zarr (OME-Zarr); of several images "
        "a folder",
    )
    add(
        "--method",
        default="auto",
        help="slic, cds-lite, cds, a .safetensors file, or auto (the default)",
    )
    add("--compactness", type=float, help="of slic: the higher, the more regular")
    add_image_arguments(parser)
    add(
        "--format",
        choices=("tif", "png", "npy"),
        default="tif",
        help="of the label images of several images",
    )
    add("--overwrite", action="store_true", help="replace files that exist")


def run(arguments: argparse.Namespace) -> int:
    """Divide one image or many; return 1 if some of many could not be.

    Raises
    ------
    InputError
        If an argument, or the only image, cannot be used.
    """
    from napari_gpcis.imagefiles import is_zarr
    from napari_gpcis.inference.image import checked_contrast
    from napari_gpcis.superpixels import checked_method

    images: list[Path] = arguments.images
    checked_method(arguments.method, arguments.compactness)
    if arguments.contrast is not None:
        checked_contrast(arguments.contrast)
    output: Path = arguments.output
    folder = not is_zarr(output) and (output.is_dir() or not output.suffix)
    if len(images) == 1 and not folder:
        print(_divide(images[0], output, arguments))
        return 0
    images = list(dict.fromkeys(images))
    outputs = _outputs(images, arguments)
    output.mkdir(parents=True, exist_ok=True)
    return _divide_many(images, outputs, arguments)


def _divide_many(
    images: Sequence[Path], outputs: Sequence[Path], arguments: argparse.Namespace
) -> int:
    """Divide many images, with progress; a failure costs one image only.

    Results that are there are kept, so that the same command goes on where it ended.
    """
    from tqdm import tqdm

    lines, problems, kept = [], [], 0
    disable = None if sys.stderr else True
    try:
        for image, output in zip(
            tqdm(images, unit="image", disable=disable), outputs, strict=True
        ):
            if output.exists() and not arguments.overwrite:
                kept += 1
                continue
            try:
                output.parent.mkdir(parents=True, exist_ok=True)
                lines.append(_divide(image, output, arguments))
            except (GPCISError, OSError) as error:
                problems.append(f"{image}: {in_words(error)}")
    finally:  # after Control-C as well
        for line in lines:
            print(line)
        if kept:
            print(f"{kept} were there (--overwrite replaces them)")
        for problem in problems:
            print(f"napari-gpcis: {problem}", file=sys.stderr)
    return SOME_FAILED if problems else 0


def _divide(image: Path, output: Path, arguments: argparse.Namespace) -> str:
    """Divide one image and write its labels; return what to tell of it."""
    from napari_gpcis.imagefiles import (
        check_free,
        check_output,
        read_image,
        write_labels,
    )
    from napari_gpcis.superpixels import superpixels

    check_output(output)
    check_free(output, {"the image": image}, "output", overwrite=arguments.overwrite)
    pixels = read_image(image, arguments.plane)
    check_channels(pixels, arguments.channels)
    labels = superpixels(
        pixels,
        arguments.number,
        method=arguments.method,
        compactness=arguments.compactness,
        contrast=arguments.contrast,
        channels=arguments.channels,
    )
    write_labels(output, labels, source=image)
    return f"wrote {output}: {int(labels.max())} superpixels"


def _outputs(images: Sequence[Path], arguments: argparse.Namespace) -> list[Path]:
    """Return the file for each image, as `segment` names them.

    Raises
    ------
    InputError
        If the output is no folder, or two files would meet.
    """
    from napari_gpcis.files import ResultFiles
    from napari_gpcis.imagefiles import WRITABLE, is_zarr

    folder: Path = arguments.output
    file = folder.suffix.lower() in WRITABLE and not folder.is_dir()
    if is_zarr(folder) or file or folder.is_file():
        msg = f"output {folder} must be a folder for {len(images)} images"
        raise InputError(msg)
    files = ResultFiles(folder, f".{arguments.format}", plain=True).told_apart(images)
    return [files.of(image) for image in images]
