"""Runs that are kept while an evaluation goes on, so that it can be resumed."""

from __future__ import annotations

import glob
import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpcis_training.evaluation.datasets import EvaluationObject
from gpcis_training.evaluation.results import run_from_json, run_to_json

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from gpcis_training.evaluation.robot import ClickRun


def partial_files(path: Path) -> list[Path]:
    """Return the file and those of other processes, as far as they are there."""
    others = path.parent.glob(f"{glob.escape(path.name)}.*")
    mine = [path] if path.exists() else []
    return mine + sorted(p for p in others if p.suffix[1:].isdigit())


class PartialFile:
    """A file with one finished run a line; a line cut off by a crash is passed over.

    Parameters
    ----------
    path
        The file; ``None``: nothing is kept.
    settings
        What decides the figures. Runs made under other settings are not used.
    rank
        Number of this process among several. Each but the first writes a file of its
        own, beside `path`, and all read all.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        settings: dict[str, Any],
        rank: int = 0,
    ) -> None:
        text = json.dumps(settings, sort_keys=True)
        self._digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._main = None if path is None else Path(path)
        self._path = self._main
        if self._main is not None and rank:
            self._path = self._main.with_name(f"{self._main.name}.{rank}")

    def read(self) -> dict[EvaluationObject, ClickRun]:
        """Return the runs that were finished under the same settings."""
        runs = {}
        for line in self._lines():
            with suppress(ValueError, KeyError, TypeError):
                data = json.loads(line)
                if data["settings"] == self._digest:
                    image, label, ids = data["object"]
                    item = EvaluationObject(image, label, tuple(ids))
                    runs[item] = run_from_json(data["run"])
        return runs

    def _lines(self) -> Iterator[str]:
        """Yield the lines of all files."""
        if self._main is not None:
            for path in partial_files(self._main):
                yield from path.read_text(encoding="utf-8").splitlines()

    def add(self, item: EvaluationObject, run: ClickRun) -> None:
        """Keep a finished run."""
        if self._path is None:
            return
        data = {
            "settings": self._digest,
            "object": [item.image, item.label, item.ids],
            "run": run_to_json(run),
        }
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write("\n" + json.dumps(data))
