"""Runs that are kept while an evaluation goes on, so that it can be resumed."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gpcis_training.evaluation.datasets import EvaluationObject
from gpcis_training.evaluation.results import run_from_json, run_to_json

if TYPE_CHECKING:
    from pathlib import Path

    from gpcis_training.evaluation.robot import ClickRun


class PartialFile:
    """A file with one finished run a line; a line cut off by a crash is passed over.

    Parameters
    ----------
    path
        The file; ``None``: nothing is kept.
    settings
        What decides the figures. Runs made under other settings are not used.
    """

    def __init__(self, path: Path | None, settings: dict[str, Any]) -> None:
        text = json.dumps(settings, sort_keys=True)
        self._digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._path = path

    def read(self) -> dict[EvaluationObject, ClickRun]:
        """Return the runs that were finished under the same settings."""
        if self._path is None or not self._path.exists():
            return {}
        runs = {}
        for line in self._path.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError, KeyError, TypeError):
                data = json.loads(line)
                if data["settings"] == self._digest:
                    image, label, ids = data["object"]
                    item = EvaluationObject(image, label, tuple(ids))
                    runs[item] = run_from_json(data["run"])
        return runs

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
