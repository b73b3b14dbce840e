"""The paper's own figures, to stand beside ours."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple


class PublishedRow(NamedTuple):
    """What the paper reports of a method on one of its sets; ``None``: it does not.

    IoU is in percent, parameters are in millions, seconds are those of one click.
    """

    method: str
    architecture: str
    set: str
    noc85: float | None
    noc90: float | None
    noc100: float | None
    nof100: int | None
    iou1: float | None
    iou5: float | None
    noic: int | None
    parameters: float | None
    seconds: float | None


@cache
def _data() -> dict[str, Any]:
    """Read the file of figures."""
    text = (files(__package__) / "published.json").read_text("utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


def source() -> str:
    """Return where the figures stand."""
    return str(_data()["source"])


def hardware() -> str:
    """Return what the published seconds per click were measured on."""
    return str(_data()["hardware"])


def published_rows(set_name: str, architecture: str | None) -> list[PublishedRow]:
    """Return the paper's rows for a set, GPCIS first.

    Parameters
    ----------
    set_name
        Name of a data set.
    architecture
        Those of one network, with the methods it is compared with; one that is not in
        the paper, or ``None``: GPCIS with each of the paper's networks.

    Examples
    --------
    >>> [row.method for row in published_rows("davis", "resnet50")]
    ['GPCIS', 'RITM', 'FocalClick']
    >>> [row.noc90 for row in published_rows("davis", None)]
    [6.04, 6.16, 5.89]
    """
    rows = [PublishedRow(*row) for row in _data()["rows"] if row[2] == set_name]
    same = [row for row in rows if row.architecture == architecture]
    chosen = same or [row for row in rows if row.method == "GPCIS"]
    return sorted(chosen, key=lambda row: row.method != "GPCIS")


def published_noic(set_name: str, architecture: str | None) -> dict[float, int]:
    """Return the paper's NoIC by epsilon squared (Table 1), empty where there is none.

    Examples
    --------
    >>> published_noic("davis", "resnet50")[1e-7]
    2
    """
    found = _data()["noic_by_epsilon2"]
    if (found["set"], found["architecture"]) != (set_name, architecture):
        return {}
    return {float(epsilon2): int(noic) for epsilon2, noic in found["values"]}
