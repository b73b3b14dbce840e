"""Demo: napari with a sample image, ready to click, or clicked by a robot.

``napari-gpcis demo`` opens the window. With ``--headless`` (in a virtual screen) a
robot segments several objects by real mouse clicks in the same window and leaves the
labels, a screenshot and the figures behind.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from qtpy.QtCore import Qt

from napari_gpcis.geometry import iou, whole_image
from napari_gpcis.plugin.annotation.jobs import load_segmenter
from napari_gpcis.plugin.robot import (
    Robot,
    next_click,
    wait_for,
)
from napari_gpcis.plugin.sample_data import nuclei_fluorescence, read_sample
from napari_gpcis.plugin.widget import GPCISWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.viewer import Viewer
    from numpy.typing import NDArray

    from napari_gpcis.plugin.annotation.jobs import SegmenterFactory
    from napari_gpcis.plugin.robot import Mask

SAMPLE = "nuclei_fluorescence"
WANTED_IOU = 0.85
GOOD_IOU = 0.93
"""The robot accepts an object that agrees as well as this."""
SHARE = 0.4
"""The robot zooms in until an object takes this share of the canvas."""
SETTLING = 0.3
"""Seconds for the window to find its size."""
PATIENCE = 120.0
"""Seconds to wait for one answer on a very slow machine."""


class Result(NamedTuple):
    """Clicks, IoU and time of one object."""

    clicks: int
    iou: float
    milliseconds: float


def main(
    argv: Sequence[str] | None = None,
    segmenter_factory: SegmenterFactory = load_segmenter,
    parser: type[argparse.ArgumentParser] = argparse.ArgumentParser,
) -> int:
    """Run the demo.

    Parameters
    ----------
    argv
        Command-line arguments, see ``napari-gpcis demo --help``.
    segmenter_factory
        Makes a segmenter of a model's name.
    parser
        Kind of parser of the arguments: it tells of wrong ones.

    Returns
    -------
    int
        0; 1 if the robot's masks are worse than a mean IoU of 0.85 or a click stayed
        without an answer; 2 if there is no screen.
    """
    options = _parser(parser).parse_args(argv)
    if not _has_screen():
        print(
            "There is no screen. Use: xvfb-run -a napari-gpcis demo --headless",
            file=sys.stderr,
        )
        return 2
    import napari  # heavy: once the arguments are known to be right

    viewer = napari.Viewer(title="GPCIS demo", show=True)
    widget = open_sample(viewer, segmenter_factory)
    if not options.headless:
        napari.run()
        return 0
    try:
        return _headless(viewer, widget, options)
    finally:
        viewer.close()


def open_sample(viewer: Viewer, segmenter_factory: SegmenterFactory) -> GPCISWidget:
    """Open the sample image and the widget, ready to click."""
    for picture, options, _ in nuclei_fluorescence():
        viewer.add_image(picture, **options)
    widget = GPCISWidget(viewer, segmenter_factory)
    viewer.window.add_dock_widget(widget, name="GPCIS", area="right")
    widget.start()
    wait_for(lambda: False, SETTLING)
    viewer.reset_view()
    return widget


def segment_objects(
    viewer: Viewer,
    widget: GPCISWidget,
    known: NDArray[np.integer],
    objects: Sequence[int],
    max_clicks: int,
    picture: Path | None = None,
) -> list[Result] | None:
    """Let the robot segment objects one after the other.

    Parameters
    ----------
    viewer, widget
        The window, with an annotation running.
    known
        The known labels of the image.
    objects
        Which of them to segment.
    max_clicks
        At most so many clicks for each.
    picture
        Where to write a screenshot while the last object still has its clicks.

    Returns
    -------
    list of Result or None
        ``None`` if a click stayed without an answer.
    """
    robot, results = Robot(viewer), []
    for number in objects:
        result = _segment_object(robot, widget, known == number, max_clicks)
        if result is None:
            return None
        results.append(result)
        if number == objects[-1] and picture is not None:
            viewer.reset_view()
            wait_for(lambda: False, SETTLING)
            viewer.screenshot(str(picture), canvas_only=False, flash=False)
        robot.press(Qt.Key.Key_N)
        if not wait_for(lambda: not _clicks(widget), PATIENCE):
            return None
    return results


def _segment_object(
    robot: Robot, widget: GPCISWidget, wanted: Mask, max_clicks: int
) -> Result | None:
    """Click until the mask is good or the clicks are spent."""
    annotation = widget.controller.annotation
    if annotation is None:
        return None
    places = np.argwhere(wanted)
    robot.look_at(annotation.image, places.min(axis=0), places.max(axis=0), SHARE)
    labels, taken = annotation.layers.labels, annotation.layers.labels.data > 0
    mask = np.zeros_like(wanted)
    waited: list[float] = []
    while len(waited) < max_clicks:
        agreement = _agreement(wanted, mask)
        click = next_click(wanted & ~taken, mask)
        if click is None or agreement >= GOOD_IOU:
            break
        left, right = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
        start = time.perf_counter()
        place = (click.row, click.col)
        robot.click(annotation.image, place, left if click.positive else right)
        if not wait_for(partial(_answered, widget, len(waited) + 1), PATIENCE):
            return None
        waited.append((time.perf_counter() - start) * 1000)
        mask = (labels.data > 0) & ~taken
    agreement = _agreement(wanted, mask)
    return Result(len(waited), agreement, float(np.median(waited)))


def _agreement(wanted: Mask, mask: Mask) -> float:
    """Return the intersection over union of two masks of the whole image."""
    box = whole_image(wanted.shape)
    return iou(wanted, box, mask, box)


def _clicks(widget: GPCISWidget) -> int:
    annotation = widget.controller.annotation
    current = None if annotation is None else annotation.current
    return 0 if current is None else len(current.clicks)


def _answered(widget: GPCISWidget, count: int) -> bool:
    """Return true if the mask of so many clicks is drawn."""
    session = widget.session
    return (
        session is not None
        and len(session.clicks) == count
        and session.prediction is not None
    )


def _loaded(widget: GPCISWidget) -> bool:
    """Return true if the model has loaded, or has failed to."""
    annotation = widget.controller.annotation
    failed = annotation is None or bool(annotation.message)
    return failed or widget.session is not None


def _headless(viewer: Viewer, widget: GPCISWidget, options: argparse.Namespace) -> int:
    """Let the robot work, print the figures, write labels and a screenshot."""
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    viewer.window.resize(1280, 800)
    known = read_sample(f"{SAMPLE}_labels")
    objects = _whole_objects(known)[: options.objects]
    if not wait_for(lambda: _loaded(widget), PATIENCE) or widget.session is None:
        print(f"The model did not load: {widget.status.text()}", file=sys.stderr)
        return 1
    results = segment_objects(
        viewer, widget, known, objects, options.clicks, folder / "demo.png"
    )
    annotation = widget.controller.annotation
    if results is None or annotation is None:
        print(f"No answer: {widget.status.text()}", file=sys.stderr)
        return 1
    from skimage import io  # writes TIFF

    io.imsave(
        folder / "demo_labels.tif", annotation.layers.labels.data, check_contrast=False
    )
    return _report(results, folder)


def _report(results: Sequence[Result], folder: Path) -> int:
    """Print the figures; return the exit code."""
    print("A robot placed real mouse clicks, computed from the image's known mask:")
    print("the middle of the object first, then the middle of the largest error.")
    print("It zoomed in on each object before, as a user would.")
    for number, result in enumerate(results, start=1):
        print(
            f"object {number}: {result.clicks} clicks, IoU {result.iou:.3f}, "
            f"{result.milliseconds:.0f} ms a click (median, mouse to mask)"
        )
    mean = float(np.mean([result.iou for result in results]))
    print(f"mean IoU {mean:.3f} (wanted: {WANTED_IOU}); files in {folder}/")
    return 0 if mean >= WANTED_IOU else 1


def _whole_objects(known: NDArray[np.integer]) -> list[int]:
    """Return the objects of fair size that the image's edge does not cut."""
    edge = np.concatenate([known[0], known[-1], known[:, 0], known[:, -1]])
    sizes = np.bincount(known.ravel())
    numbers = np.setdiff1d(np.flatnonzero(sizes >= 500), [0, *edge])
    return [int(number) for number in numbers]


def _has_screen() -> bool:
    if not sys.platform.startswith("linux"):
        return True
    names = ("DISPLAY", "WAYLAND_DISPLAY")
    return any(os.environ.get(name) for name in names) or (
        os.environ.get("QT_QPA_PLATFORM") == "offscreen"
    )


def _parser(kind: type[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    parser = kind(
        prog="napari-gpcis demo",
        description="Open napari on a sample image, ready to click.",
    )
    parser.add_argument(
        "--headless",
        "--headless-clicks",
        action="store_true",
        help="let a robot click (needs a screen, a virtual one will do)",
    )
    parser.add_argument(
        "--output",
        default="demo-output",
        help="folder for what the robot leaves behind (default: %(default)s)",
    )
    parser.add_argument(
        "--objects",
        type=int,
        default=5,
        help="how many objects the robot segments (default: %(default)s)",
    )
    parser.add_argument(
        "--clicks",
        type=int,
        default=6,
        help="most clicks it spends on one object (default: %(default)s)",
    )
    return parser
