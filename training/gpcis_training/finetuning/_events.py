"""What happens during a fine-tuning, for whoever watches: one JSON object each."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, TextIO

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Event = dict[str, Any]
    Listener = Callable[[Event], None]


class EventLog:
    """Passes events on and keeps those of the training for its curves.

    Parameters
    ----------
    path
        File with one event a line; a resumed run goes on with it.
    listener
        Called with each event.
    """

    def __init__(self, path: Path, listener: Listener | None = None) -> None:
        self._path = path
        self._listener = listener

    def tell(self, event: str, *, keep: bool = False, **content: Any) -> None:
        """Pass an event on; write it to the file if it is to be kept."""
        entry = {"event": event, **content}
        if keep:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(entry) + "\n")
        if self._listener is not None:
            self._listener(entry)

    def replay(self) -> None:
        """Pass all kept events on again, for whoever watches a resumed run."""
        if self._listener is not None:
            for entry in self._read():
                self._listener(entry)

    def kept(self, event: str) -> list[Event]:
        """Return the events of one kind in the file."""
        return [entry for entry in self._read() if entry["event"] == event]

    def _read(self) -> list[Event]:
        """Return the events in the file; a cut-off line is passed over."""
        if not self._path.is_file():
            return []
        entries = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and "event" in entry:
                entries.append(entry)
        return entries


def print_json(event: Event, stream: TextIO | None = None) -> None:
    """Write an event as one line of JSON."""
    out = stream or sys.stdout
    out.write(json.dumps(event) + "\n")
    out.flush()


def print_words(event: Event, stream: TextIO | None = None) -> None:
    """Write an event as a person reads it; frequent ones are left out."""
    line = _words(event)
    if line:
        tqdm.write(line, file=stream or sys.stdout)  # leaves a progress bar whole


def _words(event: Event) -> str:
    kind = event["event"]
    if kind == "prepared":
        left_out = "".join(f"\n  left out: {text}" for text in event["problems"])
        return (
            f"{event['planes']} images with {event['objects']} objects: "
            f"{event['train']} to train on, {event['val']} to validate{left_out}"
        )
    if kind == "note":
        return str(event["message"])
    if kind in ("before", "after"):
        return f"{kind} training: {_clicks(event['figures'])}"
    if kind == "validation":
        best = ", the best so far" if event["best"] else ""
        return (
            f"step {event['step']}, {event['minutes']:.1f} min, loss "
            f"{event['loss']:.3f}: {_clicks(event['figures'])}{best}"
        )
    if kind == "done":
        return f"{event['name']}: {event['path']}"
    return ""


def _clicks(figures: dict[str, float]) -> str:
    return (
        f"{figures['clicks85']:.2f} clicks to 85 % overlap, "
        f"{figures['clicks90']:.2f} to 90 % ({figures['objects']:.0f} objects)"
    )
