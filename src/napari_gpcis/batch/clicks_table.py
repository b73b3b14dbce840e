"""Table of clicks: which clicks belong to which image."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from napari_gpcis.clicks import Click
from napari_gpcis.errors import InputError
from napari_gpcis.files.tables import read_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_gpcis.files.tables import Row, Table

COLUMNS = ("image", "row", "col", "positive", "object")
"""Columns of the table of clicks; ``positive`` may be missing (all are) and
``object`` too (then each row is an object of its own)."""
_NEEDED = COLUMNS[:3]
_TRUE = {"1", "true", "yes", "+", ""}
_FALSE = {"0", "false", "no", "-"}
_SHOWN = 3


@dataclass(frozen=True)
class Task:
    """One image with the clicks of its objects.

    Attributes
    ----------
    image
        The file.
    objects
        The clicks of each object, in order.
    names
        Names of the objects in the table, for messages; may be empty.
    namesakes
        Other images of the table whose results would be called the same.
    """

    image: Path
    objects: tuple[tuple[Click, ...], ...]
    names: tuple[str, ...] = field(default=(), compare=False)
    namesakes: tuple[Path, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        """Take text as a path."""
        object.__setattr__(self, "image", Path(self.image).expanduser())

    def name(self, number: int) -> str:
        """Return what an object is called in messages; numbers begin at 1."""
        named = "".join(self.names[number - 1 : number])
        return f"object {number}" + (
            f" ({named})" if named not in ("", str(number)) else ""
        )


def read_clicks(
    table: str | os.PathLike[str], images: Iterable[str | os.PathLike[str]] = ()
) -> list[Task]:
    """Read a table of clicks, see :data:`COLUMNS`.

    Parameters
    ----------
    table
        A CSV file, see `read_table`. A path in it is relative to its folder.
    images
        Only these images are wanted; all of the table if there are none. A row
        belongs to the wanted image at its path; else to the one whose path ends with
        it. A bare name stands for the image of this name, unless the table has
        several images of it.

    Raises
    ------
    InputError
        If the table is damaged (the line is named), has no clicks, lacks an image
        that is wanted, or a row may belong to several.
    OSError
        If it cannot be read.
    """
    table = Path(table).expanduser()
    wanted = [Path(image).expanduser() for image in images]
    content = read_table(table, _NEEDED)
    images_of_table = _Images(table, content.rows, wanted)
    found: dict[Path, dict[str, list[Click]]] = {}
    for row in content.rows:
        image = images_of_table.image_of(row)
        if image is None:
            continue
        objects = found.setdefault(image, {})
        number = row.cells.get("object") or f"line {row.line}"
        objects.setdefault(number, []).append(_click(row, content, table))
    images_of_table.check_found(found)
    return [
        Task(
            image,
            tuple(map(tuple, objects.values())),
            tuple(objects),
            images_of_table.namesakes(image),
        )
        for image, objects in found.items()
    ]


class _Images:
    """Images of a table, and those that are wanted.

    Parameters
    ----------
    table, rows
        The table.
    wanted
        Images that were named; all of the table if there are none.
    """

    def __init__(self, table: Path, rows: list[Row], wanted: list[Path]) -> None:
        self._table = table
        self._wanted = {_place(path): path for path in reversed(wanted)}
        self._paths = {
            text: _place(table.parent / _path_of(text, table.parent))
            for text in dict.fromkeys(row.cells["image"] for row in rows)
        }
        self._known: dict[Path, Path] = {}

    def image_of(self, row: Row) -> Path | None:
        """Return the image that a row belongs to; ``None`` if it is not wanted."""
        text = row.cells["image"]
        if not text:
            msg = f"table {self._table}, line {row.line}: no image"
            raise InputError(msg)
        place = self._paths[text]
        if not self._wanted:
            path = self._table.parent / _path_of(text, self._table.parent)
            return self._known.setdefault(place, path)
        if place in self._wanted:
            return self._wanted[place]
        fitting = self._fitting(text, place)
        if len(fitting) > 1:
            named = " or ".join(str(path) for path in fitting[:_SHOWN])
            msg = (
                f"table {self._table}, line {row.line}: {text} may be {named}; write "
                "its path in the table"
            )
            raise InputError(msg)
        return fitting[0] if fitting else None

    def check_found(self, found: Iterable[Path]) -> None:
        """Raise `InputError` if a wanted image, or any, has no clicks."""
        there = set(found)
        missing = [path for path in self._wanted.values() if path not in there]
        if missing:
            names = {path.name for path in missing}
            others = [t for t, p in self._paths.items() if p.name in names]
            named = ", ".join(map(str, reversed(missing)))
            msg = f"table {self._table} has no clicks for {named}"
            if others:
                msg += f"; it has some for {', '.join(others[:_SHOWN])}"
            raise InputError(msg)
        if not there:
            msg = f"table {self._table} has no clicks"
            raise InputError(msg)

    def namesakes(self, image: Path) -> tuple[Path, ...]:
        """Return other images of the table of the same name without its ending."""
        place = _place(image)
        named = {p for t, p in self._paths.items() if t and p.stem == image.stem}
        own = {p for p in named if self._stands_for(p, place)}
        return tuple(sorted(named - own))

    def _stands_for(self, place: Path, image: Path) -> bool:
        """Return whether a path of the table means this image."""
        if place == image:
            return True
        texts = [text for text, path in self._paths.items() if path == place]
        return any(
            _place(path) == image
            for text in texts
            for path in self._fitting(text, place)
        )

    def _fitting(self, text: str, place: Path) -> list[Path]:
        """Return the wanted images whose path ends with that of a row."""
        path = _path_of(text, self._table.parent)
        if path.is_absolute():
            return []
        same_name = {p for p in self._paths.values() if p.name == path.name}
        if len(path.parts) == 1 and len(same_name) > 1:
            return []  # a bare name, and the table has several images of it
        taken = set(self._paths.values()) - {place}
        count = len(path.parts)
        return [
            wanted
            for other, wanted in self._wanted.items()
            if other.parts[-count:] == path.parts and other not in taken
        ]


def _path_of(text: str, folder: Path) -> Path:
    """Return the path in a cell; backslashes separate folders as on Windows."""
    if "\\" in text and not (folder / text).exists():
        text = text.replace("\\", "/")
    return Path(text)


def _place(path: Path) -> Path:
    """Return the absolute path without ``..``; links are not followed."""
    return Path(os.path.abspath(path))  # noqa: PTH100 (resolve() follows links)


def _click(row: Row, content: Table, table: Path) -> Click:
    """Return the click of one row, or raise `InputError`."""
    sign = row.cells.get("positive", "").lower()
    if sign not in _TRUE | _FALSE:
        msg = f"table {table}, line {row.line}: positive must be 1 or 0, got {sign!r}"
        raise InputError(msg)
    place = row.cells["row"], row.cells["col"]
    try:
        return Click(content.number(place[0]), content.number(place[1]), sign in _TRUE)
    except ValueError as error:
        msg = (
            f"table {table}, line {row.line}: row and col must be numbers, got {place}"
        )
        raise InputError(msg) from error
