"""Comparison of :func:`napari_gpcis.next_click.next_click` with robot and chance.

All three begin with the robot's first click. Then the *robot* clicks on the largest
true error, *suggested* where the model says, and *random* on a random uncertain
pixel; at these places the true label is given. A suggested pixel that is neither object
nor background is moved to the nearest one that is. ::

    python -m gpcis_training.evaluation.suggestions MODEL --root DATA --objects NAME ...
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tqdm import tqdm

from gpcis_training.evaluation.datasets import (
    first_view,
    ground_truth,
    load_objects,
    read_image,
)
from gpcis_training.evaluation.metrics import iou
from gpcis_training.evaluation.robot import IGNORE
from gpcis_training.evaluation.robot import next_click as robot_click
from napari_gpcis.clicks import Click
from napari_gpcis.next_click import SURE, expected_iou, next_click
from napari_gpcis.session.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.inference.segmenter import Segmenter

    Mask = NDArray[np.bool_]
    Place = Callable[[Prediction, Mask], tuple[int, int] | None]

UNCERTAIN = (0.25, 0.75)
"""Probabilities between these are those of uncertain pixels."""
TARGETS = (0.8, 0.85, 0.9)


class Run(NamedTuple):
    """One object: IoU after each click, true and as the model expected it."""

    ious: list[float]
    expected: list[float]


def suggested(found: Prediction, _free: Mask) -> tuple[int, int] | None:
    """Return the pixel that the model suggests, until nothing is in doubt."""
    place = next_click(found, sure=1.0)
    return None if place is None else (place.row, place.col)


def at_random(rng: np.random.Generator) -> Place:
    """Return a method that clicks on a random uncertain pixel."""

    def place(found: Prediction, free: Mask) -> tuple[int, int] | None:
        probability = found.probability
        low, high = UNCERTAIN
        candidates = np.argwhere((probability > low) & (probability < high) & free)
        if len(candidates) == 0:
            return None
        row, col = candidates[rng.integers(len(candidates))]
        return int(row), int(col)

    return place


def run(
    session: Session,
    gt: NDArray[np.int8],
    window: int | None,
    place: Place | None,
    max_clicks: int,
) -> Run:
    """Segment one object with clicks placed by ``place`` (``None``: the robot)."""
    mask, free = np.zeros(gt.shape, dtype=bool), gt != IGNORE
    done = Run([], [])
    found: Prediction | None = None
    while len(done.ious) < max_clicks:
        if found is None or place is None:
            click = robot_click(gt, mask, free)
        else:
            click = labelled(place(found, free), gt)
        if click is None:
            break
        if found is None:
            session.view = first_view(gt.shape, click.pixel, window)
        found = session.add_click(click.row, click.col, click.positive)
        mask, free[click.pixel] = found.mask, False
        done.ious.append(iou(gt, mask))
        done.expected.append(expected_iou(found))
    return done


def labelled(pixel: tuple[int, int] | None, gt: NDArray[np.int8]) -> Click | None:
    """Return a click with the true label, on the nearest pixel that has one."""
    if pixel is None:
        return None
    if gt[pixel] == IGNORE:
        rows, cols = np.nonzero(gt != IGNORE)
        nearest = np.argmin((rows - pixel[0]) ** 2 + (cols - pixel[1]) ** 2)
        pixel = int(rows[nearest]), int(cols[nearest])
    return Click(*pixel, bool(gt[pixel] == 1))


def compare(
    segmenter: Segmenter, root: Path, names: Sequence[str], limit: int, max_clicks: int
) -> dict[str, list[Run]]:
    """Run the three methods on every second object of some sets.

    Parameters
    ----------
    segmenter
        The model.
    root
        The data root.
    names
        Object lists, see :func:`.object_sets`.
    limit
        Objects of each set.
    max_clicks
        Clicks on each object at most.
    """
    random = at_random(np.random.default_rng(0))
    methods = {"robot": None, "suggested": suggested, "random": random}
    runs: dict[str, list[Run]] = {name: [] for name in methods}
    for name in names:
        chosen = load_objects(name)
        folder, items = root / chosen.folder, chosen.objects[1::2]
        step = max(1, len(items) // limit)
        for item in tqdm(items[::step][:limit], desc=name):
            image = read_image(folder / "images" / item.image)
            gt = ground_truth(folder, item)
            for method, place in methods.items():
                session = Session(segmenter, image)
                found = run(session, gt, chosen.rule.window, place, max_clicks)
                runs[method].append(found)
    return runs


def table(runs: dict[str, list[Run]], max_clicks: int) -> str:
    """Return the figures as text: NoC, and mean IoU after some clicks."""
    lines = []
    for method, found in runs.items():
        curves = [one.ious + one.ious[-1:] * max_clicks for one in found]
        ious = np.array([curve[:max_clicks] for curve in curves])
        parts = [
            f"NoC@{target:.0%} {_clicks_to(ious, target, max_clicks).mean():5.2f}"
            for target in TARGETS
        ]
        shown = [count for count in (1, 3, 5, 10, 20) if count <= max_clicks]
        parts += [f"IoU&{count} {ious[:, count - 1].mean():.3f}" for count in shown]
        lines.append(f"{method:10s}" + "  ".join(parts))
    return "\n".join(lines)


def calibration(runs: Sequence[Run]) -> str:
    """Return the calibration of the expected IoU as text, with that of `SURE`."""
    expected = np.concatenate([one.expected for one in runs])
    true = np.concatenate([one.ious for one in runs])
    parts = np.array_split(np.argsort(expected), min(5, len(expected)))
    pairs = [f"{expected[part].mean():.2f}: {true[part].mean():.2f}" for part in parts]
    sure = expected >= SURE
    share = f"sure in {sure.mean():.0%} of the states"
    if sure.any():
        share += f", whose mean IoU is {true[sure].mean():.3f}"
    return "expected: true IoU  " + ", ".join(pairs) + f"\n{share}"


def _clicks_to(
    ious: NDArray[np.float64], target: float, max_clicks: int
) -> NDArray[np.intp]:
    """Return the number of clicks to an IoU, ``max_clicks`` if it is not reached."""
    reached = ious >= target
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, max_clicks)


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, and print the figures."""
    from pathlib import Path

    from napari_gpcis.inference.segmenter import Segmenter

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--root", type=Path, required=True, help="the data root")
    parser.add_argument("--objects", nargs="+", default=["bsds500_val"])
    parser.add_argument("--limit", type=int, default=20, help="objects of each set")
    parser.add_argument("--max-clicks", type=int, default=20)
    given = parser.parse_args(arguments)
    segmenter = Segmenter.from_pretrained(given.model, "cpu")
    runs = compare(segmenter, given.root, given.objects, given.limit, given.max_clicks)
    print(table(runs, given.max_clicks))
    print(calibration([one for found in runs.values() for one in found]))


if __name__ == "__main__":
    main()
