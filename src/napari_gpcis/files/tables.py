"""Tables in CSV as spreadsheets and Windows programs write them."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, NamedTuple

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_DELIMITERS = ",;\t|"
_BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_SEPARATOR_LINE = re.compile(r"\ufeff?sep=(.)[ ;,\t]*(?:\r\n|\r|\n)", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"([+-]?\d*),(\d+)")
_GROUP = 3
"""Digits after a comma that may separate thousands."""


class Row(NamedTuple):
    """One line of a table.

    Attributes
    ----------
    line
        Its number in the file, from 1.
    cells
        Text by column, without spaces around it; empty where there is none.
    """

    line: int
    cells: dict[str, str]


class Table(NamedTuple):
    """Rows of a CSV file, and what stands between its cells."""

    rows: list[Row]
    delimiter: str

    def number(self, text: str) -> float:
        """Return the number in a cell; a decimal comma is read where it is one.

        Raises
        ------
        ValueError
            If it is no number, or the comma might separate thousands.
        """
        found = _DECIMAL_COMMA.fullmatch(text)
        if found and (self.delimiter == ";" or len(found[2]) != _GROUP):
            return float(f"{found[1]}.{found[2]}")
        return float(text)


def read_table(path: Path, needed: Sequence[str], role: str = "table") -> Table:
    """Read a CSV file whose first line names its columns.

    Text may be UTF-8, UTF-16 or that of Western Windows (cp1252); cells may be
    separated by comma, semicolon, tab or ``|``; capitals in names of columns do not
    matter.

    Parameters
    ----------
    path
        The file.
    needed
        Columns that must be there, in small letters.
    role
        What errors call the file.

    Raises
    ------
    InputError
        If it is no text, lacks a column, names one twice, has a row with more cells
        than columns, or is damaged. Empty cells at the end of a row do not count.
    OSError
        If it cannot be read.
    """
    text = _decoded(path, role)
    announced = _SEPARATOR_LINE.match(text)
    skipped = 0
    if announced:
        text, skipped = text[announced.end() :], 1
    delimiter = announced[1] if announced else _delimiter(text, needed)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True
    )
    rows: list[Row] = []
    names: list[str] | None = None
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if not any(stripped):
                continue
            if names is None:
                names = [name.lower() for name in stripped]
                _check_names(names, needed, f"{role} {path}")
                continue
            line = reader.line_num + skipped
            row = _row(stripped, names, f"{role} {path}, line {line}")
            rows.append(Row(line, row))
    except csv.Error as error:
        msg = f"{role} {path}, line {reader.line_num + skipped}: {error}"
        raise InputError(msg) from error
    if names is None:
        _check_names([], needed, f"{role} {path}")
    return Table(rows, delimiter)


def _row(cells: list[str], names: list[str], role: str) -> dict[str, str]:
    """Return the cells of a row by column, or raise `InputError` if there are more.

    A surplus comes from a separator inside a cell without quotes, such as a decimal
    comma: from there on all cells would stand in wrong columns.
    """
    columns, filled = _count(names), _count(cells)
    if filled > columns:
        msg = (
            f"{role}: {filled} cells for {columns} columns; a cell that holds the "
            'separator needs quotes ("...")'
        )
        raise InputError(msg)
    padded = cells + [""] * (len(names) - len(cells))
    return dict(zip(names, padded, strict=False))


def _count(cells: list[str]) -> int:
    """Return the number of cells without the empty ones at the end."""
    return max((place for place, cell in enumerate(cells, 1) if cell), default=0)


def _check_names(names: list[str], needed: Sequence[str], role: str) -> None:
    """Raise `InputError` unless all columns that are needed are there once."""
    for name in needed:
        if name not in names:
            msg = f"{role} must have a column {name!r}, got {names}"
            raise InputError(msg)
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        msg = f"{role} has more than one column {twice[0]!r}"
        raise InputError(msg)


def _decoded(path: Path, role: str) -> str:
    """Return the text of a file in whatever encoding it is."""
    data = path.read_bytes()
    encoding = _encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        msg = f"{role} {path} is no text: save it as CSV in UTF-8 ({error.reason})"
        raise InputError(msg) from error
    if "\x00" in text:
        line = text[: text.index("\x00")].count("\n") + 1
        msg = f"{role} {path}, line {line}: a null byte; save it as CSV in UTF-8"
        raise InputError(msg)
    return text


def _encoding(data: bytes) -> str:
    """Return the encoding of text: that of its mark, or one that decodes it."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return encoding
    start = data[:1024]
    for place, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        nulls, others = start[place::2], start[1 - place :: 2]
        if len(start) >= 4 and not nulls.strip(b"\x00") and b"\x00" not in others:
            return encoding
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _delimiter(text: str, needed: Sequence[str]) -> str:
    """Return what separates the names of the columns."""
    lines = (line for line in io.StringIO(text) if line.strip())
    header = next(lines, "").lower()

    def found(delimiter: str) -> int:
        names = [part.strip().strip('"').strip() for part in header.split(delimiter)]
        return sum(name in names for name in needed)

    best = max(_DELIMITERS, key=found)
    return best if found(best) else max(_DELIMITERS, key=header.count)
