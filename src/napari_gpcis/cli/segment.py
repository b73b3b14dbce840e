"""The command ``napari-gpcis segment``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_gpcis._batch_command import segment_many
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from napari_gpcis.clicks import Click
    from napari_gpcis.session.session import Session

MAX_COLOURS = 4
"""Images with more on their last axis are stacks, or need ``--channels``."""


def segment(arguments: argparse.Namespace) -> int:
    """Segment one image, or many with a table of clicks; return the status."""
    if arguments.clicks is not None:
        return segment_many(arguments)
    if len(arguments.images) != 1:
        msg = (
            f"one image is needed, got {len(arguments.images)}; many need a table of "
            "clicks: --clicks TABLE"
        )
        raise InputError(msg)
    (arguments.image,) = arguments.images
    _segment_one(arguments)
    return 0


def _segment_one(arguments: argparse.Namespace) -> None:
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
