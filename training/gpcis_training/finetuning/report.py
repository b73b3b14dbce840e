"""The model card: what was trained, on what, and what it changed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import napari_gpcis
from napari_gpcis.files import replacing

if TYPE_CHECKING:
    from pathlib import Path

    Record = dict[str, Any]

_ROWS = (
    ("clicks80", "clicks to 80 % overlap"),
    ("clicks85", "clicks to 85 % overlap"),
    ("clicks90", "clicks to 90 % overlap"),
    ("iou1", "overlap (IoU) after 1 click"),
    ("iou5", "overlap (IoU) after 5 clicks"),
)


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
        f"{training['minutes']:.1f} minutes, ended by {training['ended_by']}; the "
        f"state of step {training['best_step']} was kept\n"
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


def _figures(record: Record) -> str:
    """Return the table of figures before and after, and how to read it."""
    before, after = record["before"], record["after"]
    rows = [
        f"| {words} | {before[key]:.2f} | {after[key]:.2f} |" for key, words in _ROWS
    ]
    rows += [
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


def _today() -> str:
    return datetime.now(tz=UTC).date().isoformat()
