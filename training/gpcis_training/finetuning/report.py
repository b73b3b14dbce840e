"""Report of a fine-tuning: model card, curves and events."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from tqdm import tqdm

import napari_gpcis
from gpcis_training.finetuning.validation import Figures
from napari_gpcis.errors import InputError
from napari_gpcis.files import replacing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Record = dict[str, Any]
    Event = dict[str, Any]
    Listener = Callable[[Event], None]

MEAN_WORDS = "as the mean to 80, 85 and 90 % overlap"
"""What the clicks are by which models are compared (`Figures.score`)."""
_CLICK_ROWS = (
    ("clicks80", "clicks to 80 % overlap"),
    ("clicks85", "clicks to 85 % overlap"),
    ("clicks90", "clicks to 90 % overlap"),
)
_IOU_ROWS = (
    ("iou1", "overlap (IoU) after 1 click"),
    ("iou5", "overlap (IoU) after 5 clicks"),
)
_FIGURES = {"figures", "few"}
"""Entries of kept events that are figures."""


def write_card(path: Path, record: Record) -> None:
    """Write the card of a record, in Markdown."""
    with replacing(path) as draft:
        draft.write_text(card_text(record), encoding="utf-8")


def card_text(record: Record) -> str:
    """Return the card of a record (see :func:`gpcis_training.finetune`)."""
    data, training = record["data"], record["training"]
    split = record["split"]
    problems = "".join(f"\n- left out: {text}" for text in data["problems"])
    sections = [
        f"# {record['name']}",
        f"Fine-tuned from `{record['start']['name']}` with napari-gpcis "
        f"{napari_gpcis.__version__} on {_today()}.",
        "## Figures",
        _figures(record),
        f"![Loss and clicks over the training]({record['files']['curves']})",
        "## Data",
        f"- images: {data['images']}\n- labels: {data['labels']}\n"
        f"- {data['files']} image files, {data['planes']} labelled planes, "
        f"{data['objects']} objects ({data['small']} below 80 pixels: too small to "
        f"train on){problems}\n"
        f"- split: {len(split['train'])} planes to train on, {len(split['val'])} to "
        f"validate; {split['how']} (names in `{record['files']['record']}`)",
        "## Training",
        f"- {training['steps']} steps of {training['batch_size']} samples in "
        f"{training['minutes']:.1f} minutes, ended by {training['ended_by']}; "
        f"the state of step {training['best_step']} was kept\n"
        f"- crops of {training['size']} pixels, learning rate {training['lr']:g} "
        f"(encoder {training['encoder_lr']:g}), {training['precision']}, seed "
        f"{training['seed']}",
        "## Terms",
        f"- licence of the start model, which holds for this one too: "
        f"{record['start']['licence'] or 'not stated'}\n"
        f"- the start model was trained on: "
        f"{record['start']['training_data'] or 'not stated'}\n"
        "- the terms of your own images come on top",
    ]
    return "\n\n".join(sections) + "\n"


def draw_curves(
    path: Path,
    steps: list[Event],
    validations: list[Event],
    few: Figures,
    before: Figures,
    after: Figures,
) -> None:
    """Draw loss and clicks per object to a PNG file.

    The curve is of the objects that were evaluated while training went on, which may
    be some of them. The dashed lines are the figures that stand in the card.

    Parameters
    ----------
    path
        The file.
    steps
        Events with ``minutes`` and ``loss``.
    validations
        Events with ``minutes`` and ``figures``.
    few
        Figures before training, of the objects of the curve.
    before, after
        Figures before and after training, of the same objects both.

    Raises
    ------
    InputError
        If matplotlib is not installed.
    """
    figure = _figure()
    loss, clicks = figure.subplots(1, 2)
    loss.plot(_column(steps, "minutes"), _column(steps, "loss"), lw=0.6, color="0.7")
    smooth = _smoothed(_column(steps, "loss"))
    loss.plot(_column(steps, "minutes"), smooth, color="tab:blue")
    loss.set(xlabel="minutes of training", ylabel="normalised focal loss")
    minutes = [0.0, *_column(validations, "minutes")]
    values = [few.score, *(entry["figures"]["score"] for entry in validations)]
    label = f"{few.objects} objects"
    clicks.plot(minutes, values, "o-", ms=4, color="tab:orange", label=label)
    for name, found, colour in (
        ("before", before, "0.6"),
        ("after", after, "tab:green"),
    ):
        label = f"{name}, {found.objects} objects: {found.score:.2f}"
        clicks.axhline(found.score, ls="--", lw=1, color=colour, label=label)
    best = [entry for entry in validations if entry["best"]]
    if best:
        kept = best[-1]
        place = (kept["minutes"], kept["figures"]["score"])
        clicks.plot(*place, "o", ms=10, mfc="none", color="tab:green", label="best")
    clicks.legend(frameon=False)
    clicks.set(xlabel="minutes of training", ylabel="clicks to 80, 85, 90 % overlap")
    clicks.set_ylim(bottom=0)
    for axes in (loss, clicks):
        axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as draft:
        figure.savefig(draft, dpi=120)


class EventLog:
    """Event log: passes events on and keeps those of the training.

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

    def emit(self, event: str, *, keep: bool = False, **content: Any) -> None:
        """Pass an event on, and write it to the file if ``keep``."""
        entry = {"event": event, **content}
        if keep:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(entry) + "\n")
        if self._listener is not None:
            self._listener(entry)

    def progress(self, stage: str, done: int, total: int) -> None:
        """Emit how much of a stage is done."""
        self.emit("stage", stage=stage, done=done, total=total)

    def replay(self) -> None:
        """Pass all kept events on again, for the listener of a resumed run."""
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
                entries.append(_with_scores(entry))
        return entries


def print_json(event: Event, stream: TextIO | None = None) -> None:
    """Write an event as one line of JSON."""
    out = stream or sys.stdout
    out.write(json.dumps(event) + "\n")
    out.flush()


def print_text(event: Event, stream: TextIO | None = None) -> None:
    """Write an event as a line of text; frequent ones are left out."""
    line = _text(event)
    if line:
        tqdm.write(line, file=stream or sys.stdout)  # leaves a progress bar whole


def _figures(record: Record) -> str:
    """Return the table of figures before and after, with an explanation."""
    before, after = record["before"], record["after"]
    mean = f"| **{before['score']:.2f}** | **{after['score']:.2f}** |"
    rows = [
        *_rows(_CLICK_ROWS, before, after),
        f"| **mean of these, which decides** {mean}",
        *_rows(_IOU_ROWS, before, after),
        f"| objects that never reach 85 % | {before['failures']} | "
        f"{after['failures']} |",
        f"| clicks that the mask disobeys | {before['disobeyed']} | "
        f"{after['disobeyed']} |",
    ]
    kept = "" if record["improved"] else f"\n\n**{record['note']}**"
    table = "\n".join(["| | before | after |", "|---|---|---|", *rows])
    window = record["evaluation"]["window"]
    return (
        f"{table}\n\nA robot clicked in the middle of the largest mistake until the "
        f"mask overlapped the labels well enough, at most 20 times (who does not get "
        f"there counts as 20), on {after['objects']} objects of {after['images']} "
        f"validation images; first view {window} pixels wide where the image is "
        "larger. These images were not trained on, but they chose the state that was "
        f"kept.{kept}"
    )


def _rows(
    names: tuple[tuple[str, str], ...],
    before: dict[str, float],
    after: dict[str, float],
) -> list[str]:
    """Return lines of the table of figures, by their keys and words."""
    return [
        f"| {words} | {before[key]:.2f} | {after[key]:.2f} |" for key, words in names
    ]


def _today() -> str:
    return datetime.now(tz=UTC).date().isoformat()


def _figure() -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        msg = "the curves need matplotlib: pip install 'napari-gpcis[training]'"
        raise InputError(msg) from error
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display
    return figure


def _column(entries: list[Event], name: str) -> list[float]:
    return [float(entry[name]) for entry in entries]


def _smoothed(values: list[float], weight: float = 0.9) -> list[float]:
    """Return an exponential mean, without the pull of its start."""
    smooth: list[float] = []
    total = share = 0.0
    for value in values:
        total = weight * total + (1 - weight) * value
        share = weight * share + (1 - weight)
        smooth.append(total / share)
    return smooth


def _text(event: Event) -> str:
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
    if kind == "done" and event["path"] is not None:
        return f"{event['name']}: {event['path']}"
    return ""


def _clicks(figures: dict[str, float]) -> str:
    return (
        f"{figures['score']:.2f} clicks {MEAN_WORDS} "
        f"({figures['clicks85']:.2f} to 85 %; {figures['objects']:.0f} objects)"
    )


def _with_scores(entry: Event) -> Event:
    """Return an event whose figures have their score, which 0.1.0 did not write."""
    names = _FIGURES & entry.keys()
    return entry | {name: Figures.from_dict(entry[name]).to_dict() for name in names}
