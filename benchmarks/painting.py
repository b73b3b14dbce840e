"""Nuclei outlined in a real window: by strokes over superpixels, and by clicks.

    xvfb-run -a python benchmarks/painting.py DATA/dsb2018/val [--objects 30]

A robot user works with mouse and keyboard on one plane after the other until each
object has the wanted IoU, or it has made ten actions on it: strokes over all
superpixels that lie in the object for the most part, strokes with Alt over those that
do not; or a click into the middle of the largest mistake. Prints actions and seconds
an object, without the key that accepts it. ``--picture`` writes the window after the
last plane that was painted.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from gpcis_training.data.folders import find_pairs, read_image, read_labels
from gpcis_training.evaluation.metrics import iou
from gpcis_training.evaluation.robot import depth_map, next_click
from napari_gpcis import Segmenter
from napari_gpcis.geometry import deepest_pixel
from napari_gpcis.plugin.annotation.click_layers import SUPERPIXELS
from napari_gpcis.plugin.dock.panels.superpixels import SuperpixelsPanel
from napari_gpcis.plugin.robot import Robot, wait_for
from napari_gpcis.plugin.tools.superpixels.outlined import Settings
from napari_gpcis.plugin.tools.superpixels.painting import densely
from napari_gpcis.plugin.widget import GPCISWidget

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari.layers import Image
    from napari.viewer import Viewer

    from napari_gpcis.plugin.tools.superpixels.outlined import Superpixels

    Mask = np.ndarray[Any, Any]
    Place = tuple[float, float]

SMALLEST = 64
"""Pixels of an object."""
MOST_ACTIONS = 10
PATIENCE = 120.0
_TURNS = 5  # of the loop of events, after which what was done is on its way
SHARE = 0.5
"""Share of a superpixel in the object from which on it belongs to it."""


@dataclass
class Tally:
    """Actions, seconds and IoU of each object."""

    actions: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)

    def row(self, name: str, wanted: float) -> str:
        """Return a row of the table."""
        done = sum(one >= wanted for one in self.ious)
        return (
            f"| {name} | {len(self.ious)} | {done} | {np.mean(self.actions):.2f} "
            f"| {np.mean(self.seconds):.2f} | {np.mean(self.ious):.3f} |"
        )


class Annotator:
    """A robot user in the window, on one plane.

    Parameters
    ----------
    viewer
        The viewer.
    widget
        Its widget, started on the image.
    image
        The layer.
    wanted
        IoU at which an object is good enough.
    """

    def __init__(
        self, viewer: Viewer, widget: GPCISWidget, image: Image, wanted: float
    ) -> None:
        self.robot, self.widget = Robot(viewer), widget
        self.image, self.wanted = image, wanted

    @property
    def annotation(self) -> Any:
        return self.widget.controller.annotation

    @property
    def superpixels(self) -> Superpixels:
        (panel,) = (p for p in self.widget.panels if isinstance(p, SuperpixelsPanel))
        return panel.superpixels

    def has_superpixels(self) -> bool:
        """Return whether the superpixels of the plane are there."""
        return self.superpixels.divided is not None and self.superpixels.part is None

    def paints(self, wanted: bool) -> None:
        """Take the tool that paints, or put it back."""
        if (self.annotation.click_layers.drawing == SUPERPIXELS) is not wanted:
            self.robot.press(Qt.Key.Key_P, Qt.KeyboardModifier.ShiftModifier)

    def mask(self) -> Mask:
        """Return the mask of the current object."""
        current = self.annotation.current
        if not current.drawn.live.label:
            return np.zeros(self.image.data.shape[:2], bool)
        return np.asarray(
            self.annotation.layers.labels.data == current.drawn.live.label
        )

    def settle(self, clicks: int | None = None) -> None:
        """Wait until the window shows what was done.

        Parameters
        ----------
        clicks
            Number of clicks of the object; ``None``: any.
        """
        for _ in range(_TURNS):
            QApplication.processEvents()

        def drawn() -> bool:
            current = self.annotation.current
            return (clicks is None or len(current.clicks) == clicks) and not (
                current.busy
                or current.accepting
                or self.annotation.click_layers._debouncer.pending
                or (current.clicks and not current.drawn.live.label)
            )

        assert wait_for(drawn, PATIENCE), "the window does not come to rest"
        self.annotation.current.finish_drawing()

    def outline(self, truth: Mask, way: str, tally: Tally) -> None:
        """Outline an object by actions that end when there is nothing to be done."""
        actions = self.paint(truth) if way == "strokes" else self.click(truth)
        began, count = time.perf_counter(), 0
        reached = 0.0
        for _ in actions:
            count += 1
            self.settle(count if way == "clicks" else None)
            reached = iou(self.mask(), truth)
            if reached >= self.wanted or count >= MOST_ACTIONS:
                break
        tally.seconds.append(time.perf_counter() - began)
        tally.actions.append(count)
        tally.ious.append(reached)
        self.robot.press(Qt.Key.Key_N)
        self.settle(0)

    # Clicks -----------------------------------------------------------------------

    def click(self, truth: Mask) -> Iterator[bool]:
        """Click into the middle of the largest mistake, again and again."""
        free = np.ones(truth.shape, bool)
        while (click := next_click(truth, self.mask(), free)) is not None:
            button = Qt.MouseButton.LeftButton
            if not click.positive:
                button = Qt.MouseButton.RightButton
            self.robot.click(self.image, click.pixel, button)
            free[click.pixel] = False
            yield click.positive

    # Strokes ----------------------------------------------------------------------

    def paint(self, truth: Mask) -> Iterator[bool]:
        """Stroke over superpixels of the object, then over those that are too many."""
        divided, level = self.superpixels.divided, self.superpixels.level
        assert divided is not None
        labels = divided.hierarchy.labels(level)
        sizes = np.bincount(labels.ravel())
        inside = np.bincount(labels[truth], minlength=len(sizes))
        wanted = {*np.flatnonzero(inside > SHARE * np.maximum(sizes, 1)).tolist()}
        if not wanted:
            wanted = {int(inside.argmax())}
        for path in strokes(labels, wanted):
            self._stroke(path, Qt.KeyboardModifier.NoModifier)
            yield True
        mask = self.mask()
        taken = {*np.flatnonzero(np.bincount(labels[mask], minlength=len(sizes)))}
        for path in strokes(labels, taken - wanted):
            self._stroke(path, Qt.KeyboardModifier.AltModifier)
            yield False

    def _stroke(self, path: Sequence[Place], modifier: Qt.KeyboardModifier) -> None:
        if len(path) == 1:
            self.robot.click(self.image, path[0], modifier=modifier)
        else:
            self.robot.draw(self.image, path, modifier=modifier)


def strokes(labels: Mask, wanted: set[int]) -> Iterator[list[Place]]:
    """Yield lines through superpixels that cross no others.

    Parameters
    ----------
    labels
        The superpixels.
    wanted
        Those to be crossed.
    """
    left = {one: deepest_pixel(depth_map(labels == one)) for one in sorted(wanted)}
    while left:
        path = [left.pop(next(iter(left)))]
        while left:
            here = np.array(path[-1], float)
            near = sorted(left, key=lambda one: np.hypot(*(left[one] - here)))
            free = (
                one
                for one in near
                if _crossed(labels, path[-1], left[one]) <= {*wanted}
            )
            following = next(free, None)
            if following is None:
                break
            path.append(left.pop(following))
        yield path


def _crossed(labels: Mask, start: Place, end: Place) -> set[int]:
    """Return the superpixels on a line."""
    places = densely(np.array([start, end], float))
    return {*labels[tuple(np.floor(places + 0.5).astype(int).T)].tolist()}


def main() -> None:
    """Open a window, outline objects in both ways, and print the table."""
    import napari

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path, help="folder with images and labels")
    parser.add_argument("--objects", type=int, default=30)
    parser.add_argument("--per-image", type=int, default=6)
    parser.add_argument("--iou", type=float, default=0.8, help="good enough")
    parser.add_argument("--side", type=float, default=6, help="diameter of superpixels")
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()

    segmenter = Segmenter.from_pretrained()
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 860)
    widget = GPCISWidget(viewer, lambda _: segmenter)
    viewer.window.add_dock_widget(widget, name="GPCIS")
    tallies = {"strokes": Tally(), "clicks": Tally()}
    rng = np.random.default_rng(0)
    for pair in find_pairs(given.root):
        labels = read_labels(pair.labels[0])
        areas = np.bincount(labels.ravel())
        areas[0] = 0
        left = given.objects - len(tallies["strokes"].ious)
        ids = rng.permutation(np.flatnonzero(areas >= SMALLEST))
        ids = ids[: min(given.per_image, left)]
        if not len(ids):
            continue
        for name, tally in tallies.items():
            image = viewer.add_image(read_image(pair.image), name=pair.image.stem)
            viewer.reset_view()
            assert widget.start(), widget.controller.status
            user = Annotator(viewer, widget, image, given.iou)
            assert wait_for(lambda: widget.session is not None, PATIENCE)
            if name == "strokes":
                user.superpixels.settings = Settings(given.side, "pixels")
                user.paints(True)
                ready = wait_for(user.has_superpixels, PATIENCE)
                assert ready, user.superpixels.problem or "no superpixels"
            else:
                user.paints(False)
            for ident in ids:
                truth = labels == ident
                user.outline(truth, name, tally)
            if name == "strokes" and given.picture is not None:
                viewer.window.screenshot(str(given.picture), canvas_only=False)
            widget.controller.stop()
            viewer.layers.clear()
        if len(tallies["strokes"].ious) >= given.objects:
            break
    widget.shut_down()
    viewer.close()
    print(f"| way | objects | IoU >= {given.iou} | actions | seconds | mean IoU |")
    print("|---|---|---|---|---|---|")
    for name, tally in tallies.items():
        print(tally.row(name, given.iou))


if __name__ == "__main__":
    main()
