"""Commands on label images: ``napari-gpcis split-labels`` and ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


def add_label_commands(commands: Any) -> None:
    """Describe the commands and their arguments.

    Parameters
    ----------
    commands
        The subparsers of the program.
    """
    split = commands.add_parser(
        "split-labels", help="write one label image for each file of a stack"
    )
    split.set_defaults(command=_split)
    add = split.add_argument
    add("labels", type=_path, help="labels of the stack, one plane for each file")
    add(
        "images",
        type=_path,
        nargs="+",
        metavar="IMAGE",
        help="the files in the order of the stack; label images that an earlier call "
        "has written are passed over",
    )
    add(
        "-o",
        "--output",
        type=_path,
        metavar="FOLDER",
        help="of the label images; beside each image by default",
    )
    add("--format", choices=("tif", "png", "npy"), default="tif")
    add("--overwrite", action="store_true", help="replace label images that differ")


def _split(arguments: argparse.Namespace) -> None:
    """Split the labels of a stack."""
    from napari_gpcis.imagefiles import split_labels

    written = split_labels(
        arguments.labels,
        arguments.images,
        arguments.output,
        ending=f".{arguments.format}",
        overwrite=arguments.overwrite,
    )
    for path in written:
        print(f"wrote {path}")


def _path(text: str) -> Path:
    """Parse a path; ``~`` stands for the home folder."""
    return Path(text).expanduser()
