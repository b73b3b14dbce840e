"""Published figures of latent diversity: tables 2 to 4 of the paper."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

_SETS = {
    "davis": "davis",
    "grabcut": "grabcut",
    "sbd": "sbd",
    "tiny_coco_val": "coco",
    "coco_things_val": "coco",
}


class PublishedRow(NamedTuple):
    """One method on one set: mean numbers of clicks, 20 at most."""

    method: str
    set: str
    noc85: float
    noc90: float


def published_rows(set_name: str) -> list[PublishedRow]:
    """Return the rows for a set, the paper's own method first; perhaps none.

    Examples
    --------
    >>> published_rows("davis")[0]
    PublishedRow(method='latent diversity', set='davis', noc85=5.95, noc90=9.57)
    >>> published_rows("dsb2018_val")
    []
    """
    wanted = _SETS.get(set_name)
    return [PublishedRow(*row) for row in _data()["rows"] if row[1] == wanted]


def published_ablation(name: str) -> float:
    """Return the NoC@85 on DAVIS of a variant, see :data:`.ABLATIONS`, or ``"full"``.

    Examples
    --------
    >>> published_ablation("ranked"), published_ablation("full")
    (6.13, 5.95)
    """
    return float(_data()["ablation"][name])


def note() -> str:
    """Return the source of the figures, and what they cannot be compared by."""
    return f"{_data()['source']}. {_data()['note']}"


@cache
def _data() -> dict[str, Any]:
    text = (files(__package__) / "published.json").read_text("utf-8")
    data: dict[str, Any] = json.loads(text)
    return data
