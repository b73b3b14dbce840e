"""A table of clicks on many images, as CSV.

Its columns are ``image``, ``row``, ``col``, ``positive`` and ``object``; the rows of
one object are its clicks, in order.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

COLUMNS = ("image", "row", "col", "positive", "object")
"""Columns of the table of clicks; ``positive`` may be missing (all are) and
``object`` too (then each row is an object of its own)."""

_TRUE = {"1", "true", "yes", "+", ""}
_FALSE = {"0", "false", "no", "-"}


@dataclass(frozen=True)
class Task:
    """What is to be segmented in one image.

    Attributes
    ----------
    image
        The file.
    objects
        The clicks of each object, in order.
    """

    image: Path
    objects: tuple[tuple[Click, ...], ...]


def read_clicks(table: Path, images: Iterable[Path] = ()) -> list[Task]:
    """Read a table of clicks, see :data:`COLUMNS`.

    Parameters
    ----------
    table
        A CSV file. A path in it is relative to its folder.
    images
        Only these images are wanted; all of the table if there are none. A name in
        the table stands for the image of this name.

    Raises
    ------
    InputError
        If the table is damaged (the line is named), has no clicks, or lacks an image
        that is wanted.
    OSError
        If it cannot be read.
    """
    wanted = list(images)
    by_name = {path.name: path for path in wanted}
    found: dict[Path, dict[str, list[Click]]] = {}
    for line, row in _rows(table):
        name = Path(row["image"])
        image = by_name.get(name.name) if wanted else table.parent / name
        if image is None:
            continue
        objects = found.setdefault(image, {})
        number = row.get("object") or f"line {line}"
        objects.setdefault(number, []).append(_click(row, table, line))
    missing = [str(path) for path in wanted if path not in found]
    if missing:
        msg = f"table {table} has no clicks for {', '.join(missing)}"
        raise InputError(msg)
    if not found:
        msg = f"table {table} has no clicks"
        raise InputError(msg)
    return [
        Task(image, tuple(map(tuple, objects.values())))
        for image, objects in found.items()
    ]


def _rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of each line and its cells."""
    with table.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream, skipinitialspace=True)
        names = [name.strip().lower() for name in reader.fieldnames or ()]
        for needed in ("image", "row", "col"):
            if needed not in names:
                msg = f"table {table} must have a column {needed!r}, got {names}"
                raise InputError(msg)
        reader.fieldnames = names
        for row in reader:
            cells = {name: (row.get(name) or "").strip() for name in names}
            if any(cells.values()):
                yield reader.line_num, cells


def _click(row: dict[str, str], table: Path, line: int) -> Click:
    sign = row.get("positive", "").lower()
    if sign not in _TRUE | _FALSE:
        msg = f"table {table}, line {line}: positive must be 1 or 0, got {sign!r}"
        raise InputError(msg)
    try:
        return Click(float(row["row"]), float(row["col"]), sign in _TRUE)
    except ValueError as error:
        place = row["row"], row["col"]
        msg = f"table {table}, line {line}: row and col must be numbers, got {place}"
        raise InputError(msg) from error
