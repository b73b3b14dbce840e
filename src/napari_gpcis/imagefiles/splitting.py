"""Labels of a stack of files, split into one label image for each file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_gpcis.errors import InputError
from napari_gpcis.files import common_folder, fitting_stem
from napari_gpcis.imagefiles.labels import read_label_file, whole_numbers
from napari_gpcis.imagefiles.outputs import check_kept, check_output
from napari_gpcis.imagefiles.reading import read_array
from napari_gpcis.imagefiles.writing import write_labels

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

SUFFIX = "_labels"


def split_labels(
    labels: str | os.PathLike[str],
    images: Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str] | None = None,
    *,
    ending: str = ".tif",
    overwrite: bool = False,
) -> list[Path]:
    """Write one label image, ``NAME_labels.tif``, for each file of a stack.

    Parameters
    ----------
    labels
        The labels of the stack, shape ``(files, rows, columns)``.
    images
        The files in the order of the stack. Label images that an earlier call has
        written are passed over, so that the call can be repeated.
    output
        Folder of the label images; beside each image by default. Images of the same
        name in several folders get subfolders.
    ending
        Of the label images: ``".tif"``, ``".png"`` or ``".npy"``.
    overwrite
        Replace label images that are there and differ.

    Returns
    -------
    list of Path
        The label images, in the order of the files.

    Raises
    ------
    InputError
        If number or size of the planes is not that of the images, or a file would be
        replaced; nothing is written then.
    OSError
        If the disk refuses.
    """
    stack, _ = read_label_file(labels)
    named = [Path(image).expanduser() for image in images]
    folder = None if output is None else Path(output).expanduser()
    files = [path for path in named if not _is_written(path, named)]
    stack = whole_numbers(stack[None] if stack.ndim == 2 else stack, f"labels {labels}")
    if stack.ndim != 3 or len(stack) != len(files):
        msg = (
            f"labels {labels} have shape {stack.shape}: {len(files)} images need as "
            "many planes"
        )
        raise InputError(msg)
    targets = label_files(files, folder, ending)
    own = {file.resolve(): file for file in files}
    for path, plane, target in zip(files, stack, targets, strict=True):
        _check_size(path, plane)
        image = own.get(target.resolve())
        kept = {
            "the label image": Path(labels).expanduser(),
            "one of the images": image,
        }
        check_kept(target, kept, "output")
        _check_target(target, plane, overwrite=overwrite)
    for plane, target in zip(stack, targets, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_labels(target, plane)
    return targets


def _is_written(path: Path, images: list[Path]) -> bool:
    """Return whether a file is the label image of another one in the list."""
    return any(
        path.name == _label_name(one, path.suffix) and one.parent == path.parent
        for one in images
    )


def _label_name(file: Path, ending: str) -> str:
    """Return the name of the label image of a file."""
    own = f"{SUFFIX}{ending}"
    return f"{fitting_stem(file.stem, own)}{own}"


def label_files(
    files: Sequence[Path], output: Path | None, ending: str = ".tif"
) -> list[Path]:
    """Return the name of the label image of each file; no two are the same.

    Parameters
    ----------
    files, output, ending
        See `split_labels`.

    Raises
    ------
    InputError
        If two files would get the same.
    """
    root = None if output is None else common_folder(files)
    targets = [
        (
            file.parent
            if output is None
            else output / (file.absolute().parent.relative_to(root) if root else "")
        )
        / _label_name(file, ending)
        for file in files
    ]
    for number, target in enumerate(targets):
        first = targets.index(target)
        if first < number:
            msg = f"{files[first]} and {files[number]} would both get {target}"
            raise InputError(msg)
    return targets


def _check_size(path: Path, plane: NDArray[np.integer]) -> None:
    """Raise `InputError` unless an image has rows and columns of its labels."""
    image, axes = read_array(path)
    channels = axes.endswith(("C", "S"))
    shape = image.shape[:-1] if channels else image.shape
    fits = [size for size in shape if size != 1] == [n for n in plane.shape if n != 1]
    if not axes:  # a NumPy file: channels may be first or last
        fits = fits or plane.shape in (image.shape[:2], image.shape[-2:])
    if not fits:
        msg = f"{path} has shape {image.shape}, but its labels {plane.shape}"
        raise InputError(msg)


def _check_target(target: Path, plane: NDArray[np.integer], *, overwrite: bool) -> None:
    """Raise `InputError` if another file would be lost."""
    if target.parent.is_dir():
        check_output(target)
    if overwrite or not target.exists():
        return
    there, _ = read_label_file(target)
    if there.shape != plane.shape or (there != plane).any():
        msg = f"{target} exists and differs; overwrite=True (--overwrite) replaces it"
        raise InputError(msg)
