"""Commands on label images: ``napari-gpcis split-labels`` and ``export``."""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, Any

from napari_gpcis.cli.segment import floats, to_path
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

    from napari_gpcis.export import Calibration

_EPILOG = """\
    .geojson        outlines as annotations of QuPath
    .zip, .roi      regions of interest for ImageJ (extra: imagej)
    .json           COCO annotations
    .csv            a row for each object: area, centroid, bounding box
    .tif            OME-TIFF
    .zarr           OME-Zarr (extra: zarr)
"""


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
    add("labels", type=to_path, help="labels of the stack, one plane for each file")
    add(
        "images",
        type=to_path,
        nargs="+",
        metavar="IMAGE",
        help="the files in the order of the stack; label images that an earlier call "
        "has written are passed over",
    )
    add(
        "-o",
        "--output",
        type=to_path,
        metavar="FOLDER",
        help="of the label images; beside each image by default",
    )
    add("--format", choices=("tif", "png", "npy"), default="tif")
    add("--overwrite", action="store_true", help="replace label images that differ")
    _add_export(commands)


def _add_export(commands: Any) -> None:
    """Describe the command ``export``."""
    export = commands.add_parser(
        "export",
        help="write objects for QuPath, ImageJ and other programs",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    export.set_defaults(command=_export)
    add = export.add_argument
    add("labels", type=to_path, help="label image: TIFF, PNG, NumPy file or OME-Zarr")
    add("-o", "--output", type=to_path, required=True, help="its ending says the form")
    add("--image", metavar="NAME", help="of the image, for COCO; LABELS by default")
    add(
        "--pixel-size",
        type=floats,
        metavar="SIZE[,SIZE...]",
        help="side of a pixel, or its size along the last axes (rows,columns or "
        "depth,rows,columns); by default that of OME-TIFF, OME-Zarr and ImageJ, else 1",
    )
    add("--unit", help="of the pixel size, such as micrometer")
    add("--overwrite", action="store_true", help="replace a file that exists")


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


def _export(arguments: argparse.Namespace) -> None:
    """Write the objects of a label image in the form of the ending."""
    from napari_gpcis.imagefiles import check_free, read_label_file, whole_numbers

    output = arguments.output
    write = _writer(output, arguments)
    kept = {"the label image": arguments.labels}
    check_free(output, kept, "output", overwrite=arguments.overwrite)
    array, axes = read_label_file(arguments.labels)
    labels = whole_numbers(array, f"labels {arguments.labels}")
    write(output, labels, _calibration(labels.ndim, axes, arguments))
    print(f"wrote {output}")


def _writer(output: Path, arguments: argparse.Namespace) -> Callable[..., None]:
    """Return the function that writes the form of an ending."""
    from napari_gpcis import export, outlines
    from napari_gpcis.imagefiles import ZarrAxes, write_zarr

    def table(path: Path, labels: Any, known: Any) -> None:
        export.write_table(path, labels, calibration=known)

    def coco(path: Path, labels: Any, known: Any) -> None:
        name = arguments.image or arguments.labels.name
        export.write_coco(path, labels, name, known)

    def zarr(path: Path, labels: Any, known: Any) -> None:
        write_zarr(path, labels, ZarrAxes(known.letters, known.scale, known.units))

    writers: dict[str, Callable[..., None]] = {
        ".geojson": outlines.write_geojson,
        ".zip": outlines.write_imagej,
        ".roi": outlines.write_imagej,
        ".json": coco,
        ".csv": table,
        ".tif": export.write_tiff,
        ".tiff": export.write_tiff,
        ".zarr": zarr,
    }
    found = writers.get(output.suffix.lower())
    if found is None:
        msg = f"output {output} must end in {', '.join(writers)}"
        raise InputError(msg)
    return found


def _calibration(ndim: int, axes: str, arguments: argparse.Namespace) -> Calibration:
    """Return size and unit of a pixel: those given, else those of the label file.

    Raises
    ------
    InputError
        If there are more sizes than axes, a size is not above 0, or a unit is given
        for a size of the file that has another one.
    """
    from napari_gpcis.export import Calibration

    known = Calibration.of(ndim)
    own = axes.endswith("YX") and len(set(axes)) == ndim and set(axes) <= set("TZCYX")
    letters = axes if own else known.letters
    sizes = _sizes_of_file(arguments.labels)
    scale, units = list(known.scale), list(known.units)
    for axis, letter in enumerate(letters):
        scale[axis], units[axis] = sizes.get(letter, (1.0, "pixel"))
    given: tuple[float, ...] = arguments.pixel_size or ()
    if len(given) > ndim:
        msg = f"--pixel-size has {len(given)} numbers for labels of {ndim} axes"
        raise InputError(msg)
    if len(given) == 1:
        given *= 2
    for axis in range(ndim - len(given), ndim):
        scale[axis] = given[axis - ndim]
        units[axis] = arguments.unit or "pixel"
    if arguments.unit and not given:
        for axis in (letters.index("Y"), letters.index("X")):
            if units[axis] not in ("pixel", arguments.unit):
                msg = (
                    f"--unit {arguments.unit} needs --pixel-size: pixels of "
                    f"{arguments.labels} have {scale[axis]:g} {units[axis]}"
                )
                raise InputError(msg)
            units[axis] = arguments.unit
    return Calibration(tuple(scale), tuple(units), known.axes, letters)


def _sizes_of_file(path: Path) -> dict[str, tuple[float, str]]:
    """Return size and unit of a pixel, by the letter of the axis, of a label file."""
    from napari_gpcis.export import OME_TIMES, OME_UNITS
    from napari_gpcis.imagefiles import TIFF, is_zarr, tiff_sizes, zarr_axes

    if is_zarr(path):
        axes = zarr_axes(path)
        if axes is None:
            return {}
        pairs = zip(axes.scale, axes.units, strict=True)
        return dict(zip(axes.letters, pairs, strict=True))
    if path.suffix.lower() not in TIFF:
        return {}
    names = {ome: name for name, ome in (OME_UNITS | OME_TIMES).items()}
    return {
        letter: (size, names.get(unit, "pixel"))
        for letter, (size, unit) in tiff_sizes(path).items()
    }
