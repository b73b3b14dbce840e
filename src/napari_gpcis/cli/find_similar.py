"""The command ``napari-gpcis find-similar``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from napari_gpcis.checkpoints.registry import DEFAULT_MODEL
from napari_gpcis.cli.segment import (
    add_image_arguments,
    add_tidy_arguments,
    check_channels,
    check_outputs,
    integers,
    open_session,
    tell_orientation,
    to_path,
)
from napari_gpcis.wording import counted

if TYPE_CHECKING:
    from napari_gpcis.similar import Examples

_EPILOG = """\
The rest of the nuclei, from a label image with a few of them:

    napari-gpcis find-similar cells.tif --examples three.tif -o labels.tif

The same in the next image, which has no labels yet:

    napari-gpcis find-similar next.tif --examples three.tif --of cells.tif -o labels.tif
"""


def add_find_similar_command(commands: Any) -> None:
    """Describe the command.

    Parameters
    ----------
    commands
        The subparsers of the program.
    """
    parser = commands.add_parser(
        "find-similar",
        help="find the objects of an image that are like some examples",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=find_similar, view=None)
    add = parser.add_argument
    add(
        "image",
        type=to_path,
        metavar="IMAGE",
        help="TIFF, PNG, JPEG or NumPy file, or OME-Zarr",
    )
    add(
        "--examples",
        type=to_path,
        required=True,
        metavar="LABELS",
        help="label image with at least one object; they stay in the output",
    )
    add(
        "--only",
        type=integers,
        metavar="ID[,ID...]",
        help="ids of the examples; by default all objects",
    )
    add(
        "--of",
        type=to_path,
        metavar="IMAGE",
        help="the image that the examples belong to, if it is another one",
    )
    add(
        "-o",
        "--output",
        type=to_path,
        required=True,
        help=".tif, .png or .npy file, or a folder .zarr (OME-Zarr)",
    )
    add_tidy_arguments(parser)
    add("--least", type=float, metavar="P", help="least confidence, from 0 to 1")
    add("--model", default=DEFAULT_MODEL, help="name, or .safetensors file")
    add("--device", default="auto", help="auto, cpu, cuda or mps")
    add_image_arguments(parser)
    add("--threshold", type=float, help="probability of the boundary")
    add("--prompts", type=to_path, metavar="FILE", help="also save the clicks as JSON")
    add("--overwrite", action="store_true", help="replace files that exist")


def find_similar(arguments: argparse.Namespace) -> int:
    """Find similar objects and write the label image; return the status.

    Raises
    ------
    InputError
        If an argument cannot be used.
    """
    from napari_gpcis.geometry import scan
    from napari_gpcis.imagefiles import read_image, read_labels, write_labels

    images = {"the image": arguments.image, "the image of --of": arguments.of}
    examples_file = {"the label image of --examples": arguments.examples}
    if arguments.of:  # the output has none of the examples
        check_outputs(arguments, {**images, **examples_file}, {})
    else:
        check_outputs(arguments, images, examples_file)
    image = read_image(arguments.image, arguments.plane)
    check_channels(image, arguments.channels)
    labels = read_labels(arguments.examples, arguments.plane)
    session = open_session(arguments, image, None if arguments.of else labels)
    examples = _other_examples(arguments, session.segmenter, labels)
    candidates = session.find_similar(
        None if arguments.of else arguments.only,
        examples=examples,
        least=arguments.least,
    )
    found = session.accept_candidates(candidates) if candidates else ()
    write_labels(arguments.output, session.labels, source=arguments.image)
    if arguments.prompts:
        session.save(arguments.prompts)
    entries = scan(session.labels, only=[one for one in found if one]) or {}
    for number, candidate in zip(found, candidates, strict=True):
        if number:
            pixels, sure = entries[number].area, candidate.confidence
            print(f"object {number}: confidence {sure:.2f}, {pixels} pixels")
    objects = counted(sum(map(bool, found)), "object")
    print(f"found {objects}; wrote {arguments.output}")
    if arguments.prompts:
        print(f"wrote {arguments.prompts}")
    tell_orientation([arguments.image])
    return 0


def _other_examples(
    arguments: argparse.Namespace, segmenter: Any, labels: Any
) -> Examples | None:
    """Return the examples of another image; ``None`` if none is named."""
    if arguments.of is None:
        return None
    from napari_gpcis import Session
    from napari_gpcis.imagefiles import read_image

    image = read_image(arguments.of, arguments.plane)
    check_channels(image, arguments.channels)
    other = Session(
        segmenter,
        image,
        contrast=arguments.contrast,
        channels=arguments.channels,
        labels=labels,
    )
    return other.examples(arguments.only)
