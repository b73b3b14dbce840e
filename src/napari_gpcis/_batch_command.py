"""``napari-gpcis segment --clicks TABLE``: many images, a bar, a summary."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Never

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    import argparse

    from tqdm import tqdm

    from napari_gpcis.batch import Summary

SOME_FAILED = 1

_ONE_IMAGE_ONLY = ("objects", "labels", "prompts")


def segment_many(arguments: argparse.Namespace) -> int:
    """Segment all images of a table; return 1 if some could not be."""
    from napari_gpcis.batch import Settings, read_clicks, segment_images

    for name in _ONE_IMAGE_ONLY:
        if getattr(arguments, name):
            option = "--click" if name == "objects" else f"--{name}"
            msg = f"{option} is for one image; it cannot be used with --clicks"
            raise InputError(msg)
    tasks = read_clicks(arguments.clicks, arguments.images)
    arguments.output.mkdir(parents=True, exist_ok=True)
    settings = Settings(
        output=arguments.output,
        model=arguments.model,
        device=arguments.device,
        plane=tuple(arguments.plane),
        contrast=arguments.contrast,
        channels=arguments.channels,
        view=arguments.view,
        threshold=arguments.threshold,
        suffix=f".{arguments.format}",
        overwrite=arguments.overwrite,
    )
    with _bar(len(tasks)) as bar:
        summary = segment_images(
            tasks,
            settings,
            jobs=arguments.jobs,
            cluster=arguments.dask,
            report=lambda now: _show(bar, now),
        )
    return _tell(summary, arguments)


def _bar(total: int) -> tqdm[Never]:
    from tqdm import tqdm

    disable = None if sys.stderr else True
    return tqdm(total=total, unit="image", disable=disable)


def _show(bar: tqdm[Never], summary: Summary) -> None:
    """Show how many images have ended, and how many of them could not be segmented."""
    ended = len(summary.done) + len(summary.skipped) + len(summary.failed)
    if summary.failed:
        bar.set_postfix_str(f"{len(summary.failed)} failed", refresh=False)
    bar.update(ended - bar.n)


def _tell(summary: Summary, arguments: argparse.Namespace) -> int:
    """Print what came of it; return the status."""
    for image, why in summary.failed.items():
        print(f"napari-gpcis: {image}: {why}", file=sys.stderr)
    parts = [f"{len(summary.done)} images segmented into {arguments.output}"]
    if summary.skipped:
        parts.append(f"{len(summary.skipped)} were there (--overwrite replaces them)")
    if summary.failed:
        parts.append(f"{len(summary.failed)} failed")
    print("; ".join(parts))
    return SOME_FAILED if summary.failed else 0
