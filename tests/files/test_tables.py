"""Tables of spreadsheets are read, or refused in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_gpcis.errors import InputError
from napari_gpcis.files.tables import read_table

if TYPE_CHECKING:
    from pathlib import Path

NEEDED = ("image", "row", "col")
TEXT = "image,row,col\nZellkörper.tif,60,70\n"
TABLES = {
    "utf-8": TEXT.encode(),
    "with a mark": TEXT.encode("utf-8-sig"),
    "Western Windows": TEXT.encode("cp1252"),
    "utf-16": TEXT.encode("utf-16"),
    "utf-16-be": b"\xfe\xff" + TEXT.encode("utf-16-be"),
    "utf-16 without a mark": TEXT.replace("ö", "o").encode("utf-16-le"),
    "utf-32": TEXT.encode("utf-32"),
    "semicolons": TEXT.replace(",", ";").encode(),
    "tabs": TEXT.replace(",", "\t").encode("utf-16"),
    "announced": b"sep=;\r\n" + TEXT.replace(",", ";").encode("cp1252"),
    "old Macintosh": TEXT.replace("\n", "\r").encode(),
    "Windows": TEXT.replace("\n", "\r\n").encode(),
    "capitals and quotes": TEXT.replace("image", '"Image"').encode(),
    "empty cells at the end": TEXT.replace("70", "70,, ").encode(),
    "empty columns at the end": TEXT.replace("\n", ",,\n").encode(),
    "an unnamed index first": b",image,row,col\n0,Zellkorper.tif,60,70\n",
    "empty lines": ("\n\n" + TEXT.replace("\n", "\n\n")).encode(),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_of_every_kind(tmp_path: Path, kind: str) -> None:
    (tmp_path / "t.csv").write_bytes(TABLES[kind])
    table = read_table(tmp_path / "t.csv", NEEDED)
    (row,) = table.rows
    assert row.cells["image"] in ("Zellkörper.tif", "Zellkorper.tif")
    assert (table.number(row.cells["row"]), row.cells["col"]) == (60, "70")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"image,row,col\ncells\x00.tif,60,70\n", "line 2: a null byte"),
        (b"image,row\na,1\n", "must have a column 'col', got"),
        (b"image,row,col,row\na,1,2,3\n", "more than one column 'row'"),
        (b"", "must have a column 'image'"),
        (b"image,row,col\na,1,2\na,180,5,210\n", "line 3: 4 cells for 3 columns"),
        (b"image,row,col,,\na,180,5,210,\n", "line 2: 4 cells for 3 columns"),
        (b"sep=;\nimage;row;col\na;b;1;2\n", "line 3: 4 cells for 3 columns"),
        (b'image,row,col\n"a,1,2\n' + b"x" * 200_000, "line"),
        (b"image,row,col\n\x81\x8d,1,2\n", "is no text"),
        (b"PK\x03\x04\x14\x00\x06\x00", "null byte|is no text"),
    ],
)
def test_what_is_no_table_is_told(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_table(tmp_path / "t.csv", NEEDED)


@pytest.mark.parametrize(
    ("delimiter", "text", "value"),
    [
        (";", "60,5", 60.5),
        (";", "1,234", 1.234),
        ("\t", "-0,25", -0.25),
        ("\t", "1,234", None),  # or one thousand two hundred and thirty-four
        (";", "1.234,5", None),
        (";", "1,2,3", None),
    ],
)
def test_decimal_commas(
    tmp_path: Path, delimiter: str, text: str, value: float | None
) -> None:
    lines = "image,row,col\na,{},1\n".replace(",", delimiter).format(text)
    (tmp_path / "t.csv").write_text(lines)
    table = read_table(tmp_path / "t.csv", NEEDED)
    cell = table.rows[0].cells["row"]
    if value is None:
        with pytest.raises(ValueError, match="float"):
            table.number(cell)
    else:
        assert table.number(cell) == value
