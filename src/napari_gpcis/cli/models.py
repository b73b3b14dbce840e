"""The commands about models: ``napari-gpcis models`` and ``napari-gpcis convert``."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from napari_gpcis.errors import DownloadError

if TYPE_CHECKING:
    import argparse

    from napari_gpcis.checkpoints import ModelEntry

_TITLES = ("name", "size", "here", "licence")
_WIDTH = 76


def add_model_commands(commands: Any) -> None:
    """Describe the commands and their arguments.

    Parameters
    ----------
    commands
        The subparsers of the program.
    """
    models = commands.add_parser("models", help="list the models, download one")
    models.set_defaults(command=_list)
    actions = models.add_subparsers(metavar="ACTION")
    download = actions.add_parser("download", help="download a model of the list")
    download.add_argument("name", help="its name")
    download.set_defaults(command=_download)
    convert = commands.add_parser(
        "convert", help="make a checkpoint of weights that the papers' code wrote"
    )
    convert.set_defaults(command=_convert)
    convert.add_argument("file", type=Path, help="a .pth file; no code in it is run")
    convert.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="OUT",
        help=".safetensors file; by default a published model goes where downloaded "
        "ones are, any other beside FILE",
    )
    convert.add_argument("--overwrite", action="store_true", help="replace OUT")


def _list(_: argparse.Namespace) -> None:
    """Print one row for each model, and under it what it is."""
    from napari_gpcis.checkpoints import broken_user_models, list_models

    models = list_models()
    rows = [_TITLES, *(_row(model) for model in models)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    notes = [[], *(_notes(model) for model in models)]
    for row, lines in zip(rows, notes, strict=True):
        cells = (cell.ljust(w) for cell, w in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
        for line in lines:
            print(f"    {line}")
    for reason in broken_user_models().values():
        print(f"cannot be used: {reason}")


def _row(model: ModelEntry) -> tuple[str, ...]:
    """Return the cells of a model's row."""
    from napari_gpcis.checkpoints.registry import facts

    known = facts(model)
    return known.name, known.size, known.here, known.licence


def _notes(model: ModelEntry) -> list[str]:
    """Return the lines under a model's row."""
    from napari_gpcis.checkpoints.registry import facts

    known = facts(model)
    lines = wrap(f"for: {known.purpose}", _WIDTH)
    lines += wrap(f"trained on: {known.training_data}", _WIDTH)
    if not model.is_here:
        lines.append(f"get it: napari-gpcis models download {model.name}")
    return lines


def _download(arguments: argparse.Namespace) -> None:
    """Download a model, with a bar."""
    from napari_gpcis.checkpoints import download_model
    from napari_gpcis.checkpoints.download import ProgressBar

    try:
        with ProgressBar(arguments.name) as bar:
            file = download_model(arguments.name, bar)
    except KeyboardInterrupt:
        msg = "stopped; the same command goes on from here"
        raise DownloadError(msg) from None
    print(f"{arguments.name} is in {file}")


def _convert(arguments: argparse.Namespace) -> None:
    """Convert published weights, of a click network or of superpixels."""
    from napari_gpcis.checkpoints import convert_checkpoint
    from napari_gpcis.superpixels.published import convert_superpixels, is_published

    convert = convert_checkpoint
    if is_published(arguments.file):
        convert = convert_superpixels
    output = convert(arguments.file, arguments.output, overwrite=arguments.overwrite)
    print(f"wrote {output}")
