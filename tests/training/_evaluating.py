"""Calling ``gpcis-train evaluate`` and reading what it prints."""

from __future__ import annotations

from gpcis_training.cli import main
from gpcis_training.evaluation import load_results


def command(*arguments):
    """Run the command and return its exit status."""
    return main(["evaluate", *map(str, arguments)])


def rows_of(text):
    """Return the rows of the first Markdown table as dictionaries."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def curves(path):
    """Return the IoU of each click of each object of each result of a file."""
    return [[run.ious for run in result.runs] for result in load_results(path)]
