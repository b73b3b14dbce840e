"""Evaluation of superpixels on a folder of images with several annotations.

Each pair of an image and an annotation is one sample, as the field does it.
"""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import time
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tqdm import tqdm

from gpcis_training.data.folders import (
    find_pairs,
    read_ignored,
    read_image,
    read_labels,
)
from gpcis_training.superpixels.metrics import agreement, shape_figures
from napari_gpcis.checkpoints.download import file_sha256
from napari_gpcis.errors import InputError
from napari_gpcis.files import replacing
from napari_gpcis.superpixels.connectivity import grid_labels, grid_shape
from napari_gpcis.superpixels.methods import connected, raw_superpixels
from napari_gpcis.superpixels.weights import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy.typing as npt

    from gpcis_training.data.folders import Pair

NUMBERS = (384, 486, 600, 726, 864, 1014, 1176)
"""Numbers of superpixels whose curve is integrated, as in the literature."""
GRID = "grid"
_AGREEMENTS = ("ASA", "UE", "UE_NP", "BR", "BP", "ASA_FG")
FIGURES = (*_AGREEMENTS, "CO", "EV", "components", "K", "seconds")


@dataclass(frozen=True)
class ImageResult:
    """Figures of one method on one image.

    Parameters
    ----------
    method, number, image
        What was asked for.
    count, components
        Superpixels, and parts before they were connected.
    compactness, variation
        See :class:`gpcis_training.superpixels.metrics.Shape`.
    seconds
        Time of the method, reading not counted.
    annotations
        For each annotation, its :class:`Agreement`.
    """

    method: str
    number: int
    image: str
    count: int
    components: int
    compactness: float
    variation: float
    seconds: float
    annotations: tuple[tuple[float, ...], ...]


class Job(NamedTuple):
    """One image, one method, one number of superpixels."""

    method: str
    number: int
    pair: Pair

    @property
    def key(self) -> tuple[str, int, str]:
        """Name of the job in a file of results."""
        return self.method, self.number, self.pair.image.name


def evaluate(
    methods: Sequence[str],
    root: Path,
    *,
    numbers: Sequence[int] = NUMBERS,
    images: int | None = None,
    workers: int = 1,
    partial: Path | None = None,
) -> list[ImageResult]:
    """Evaluate methods on the images of a folder.

    Parameters
    ----------
    methods
        ``"slic"``, ``"slic:C"`` with a compactness, ``"cds-lite"``, ``"cds"``, the
        path of a checkpoint, or ``"grid"``.
    root
        Folder with ``images`` and ``labels``, and ``ignore`` where there are pixels
        that do not count.
    numbers
        Wanted numbers of superpixels.
    images
        So many of the images, evenly spaced by name; all by default.
    workers
        Processes, each with one thread.
    partial
        A file that results are added to as they come. Those in it are not made again,
        unless they are of another folder or of other weights.

    Returns
    -------
    list of ImageResult
        In the order of methods, numbers and images.

    Raises
    ------
    InputError
        If the folder has no pairs, a number is out of range or a method unknown.
    """
    pairs = chosen_pairs(root, images)
    jobs = [Job(m, n, p) for m, n, p in product(methods, numbers, pairs)]
    done = {}
    if partial is not None:
        heading = _heading(methods, root)
        done = {_key(result): result for result in _read_partial(partial, heading)}
        _start_partial(partial, heading, done.values())
    left = [job for job in jobs if job.key not in done]
    with tqdm(total=len(jobs), initial=len(jobs) - len(left), unit="image") as bar:
        for result in _run(left, workers):
            done[_key(result)] = result
            bar.update()
            if partial is not None:
                with partial.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps(asdict(result)) + "\n")
    return [done[job.key] for job in jobs]


def chosen_pairs(root: Path, images: int | None) -> tuple[Pair, ...]:
    """Return the pairs of a folder, or some of them, evenly spaced by name."""
    pairs = find_pairs(root)
    if images is None:
        return pairs
    if not 1 <= images <= len(pairs):
        msg = f"images must be from 1 to {len(pairs)}, got {images}"
        raise InputError(msg)
    places = np.linspace(0, len(pairs) - 1, images).round().astype(int)
    return tuple(pairs[place] for place in places)


def evaluate_image(job: Job) -> ImageResult:
    """Evaluate one method on one image."""
    image, ignored = read_image(job.pair.image), read_ignored(job.pair)
    name, _, option = job.method.partition(":")
    began = time.perf_counter()
    if name == GRID:
        shape = image.shape[:2]
        raw: npt.NDArray[Any] = grid_labels(shape, grid_shape(shape, job.number))
    elif name == "slic" and option:
        raw = raw_superpixels(image, job.number, name, _compactness(option))
    else:
        raw = raw_superpixels(image, job.number, job.method)
    labels = connected(raw, job.number)
    seconds = time.perf_counter() - began
    shape_of = shape_figures(labels, image, raw)
    return ImageResult(
        *job.key,
        shape_of.number,
        shape_of.components,
        shape_of.compactness,
        shape_of.variation,
        seconds,
        tuple(
            tuple(agreement(labels, read_labels(path), ignored))
            for path in job.pair.labels
        ),
    )


def mean_figures(results: Sequence[ImageResult]) -> dict[str, float]:
    """Return the mean of each figure: agreements over pairs, others over images.

    Pairs without objects have no figure of objects.
    """
    agreements = np.array([row for r in results for row in r.annotations])
    known = ~np.isnan(agreements)
    sums = np.where(known, agreements, 0).sum(axis=0)
    counts = known.sum(axis=0)
    over = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    means = dict(zip(_AGREEMENTS, over.tolist(), strict=True))
    others = [
        (r.compactness, r.variation, r.components, r.count, r.seconds) for r in results
    ]
    rest = np.mean(others, axis=0).tolist()
    return {**means, **dict(zip(FIGURES[len(_AGREEMENTS) :], rest, strict=True))}


def curve(results: Sequence[ImageResult], method: str) -> dict[int, dict[str, float]]:
    """Return the mean figures of a method for each wanted number."""
    by_number: dict[int, list[ImageResult]] = {}
    for result in results:
        if result.method == method:
            by_number.setdefault(result.number, []).append(result)
    return {number: mean_figures(rows) for number, rows in sorted(by_number.items())}


def area(points: dict[int, dict[str, float]], figure: str) -> float:
    """Return the area under a figure's curve over K, divided by the range.

    The curve goes through the mean numbers that came out; the range is that of the
    wanted numbers.
    """
    numbers = sorted(points)
    if len(numbers) == 1:
        return points[numbers[0]][figure]
    counts = [points[number]["K"] for number in numbers]
    values = [points[number][figure] for number in numbers]
    grid = np.linspace(numbers[0], numbers[-1], 1001)
    return float(np.interp(grid, counts, values).mean())


def table_rows(
    results: Sequence[ImageResult], methods: Sequence[str]
) -> list[list[str]]:
    """Return the table: a row for each method and number, and one for the area."""
    rows = [["method", "n", *FIGURES]]
    for method in methods:
        points = curve(results, method)
        for number, figures in points.items():
            rows.append([method, str(number), *(_text(f, figures[f]) for f in FIGURES)])
        if len(points) > 1:
            means = [_text(figure, area(points, figure)) for figure in FIGURES]
            rows.append([method, "area", *means])
    return rows


def save_evaluation(
    path: Path, results: Sequence[ImageResult], methods: Sequence[str]
) -> None:
    """Write the results as JSON, and beside it the table as CSV and the curves.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    content = {"results": [asdict(result) for result in results]}
    with replacing(path) as draft:
        draft.write_text(json.dumps(content), encoding="utf-8")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table_rows(results, methods))
    with replacing(path.with_suffix(".csv")) as draft:
        draft.write_text(text.getvalue(), encoding="utf-8")
    if len({result.number for result in results}) > 1:
        with replacing(path.with_suffix(".png")) as draft:
            _draw_curves(draft, results, methods)


def _draw_curves(
    path: Path, results: Sequence[ImageResult], methods: Sequence[str]
) -> None:
    """Draw ASA, BR and CO over K, and BP over BR."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3), layout="constrained")
    axes = figure.subplots(1, 4)
    panels = (("K", "ASA"), ("K", "BR"), ("K", "CO"), ("BR", "BP"))
    for axis, (across, up) in zip(axes, panels, strict=True):
        for method in methods:
            points = curve(results, method).values()
            axis.plot(
                [point[across] for point in points],
                [point[up] for point in points],
                marker=".",
                label=method.rsplit("/", 1)[-1],
            )
        axis.set_xlabel(across)
        axis.set_ylabel(up)
    axes[0].legend()
    figure.savefig(path, dpi=120)


def _run(jobs: Sequence[Job], workers: int) -> Iterator[ImageResult]:
    """Yield the results, from this process or from several others."""
    if workers == 1 or len(jobs) <= 1:
        for job in jobs:
            yield evaluate_image(job)
        return
    context = multiprocessing.get_context("spawn")  # PyTorch's threads forbid fork
    with context.Pool(min(workers, len(jobs)), _one_thread) as processes:
        yield from processes.imap_unordered(evaluate_image, jobs)


def _one_thread() -> None:
    """Let a process compute on one thread."""
    import torch

    torch.set_num_threads(1)


def _heading(methods: Sequence[str], root: Path) -> dict[str, Any]:
    """Return what results depend on beside what was asked for."""
    files = [Path(method) for method in methods if method.endswith(SUFFIX)]
    known = {str(file): file_sha256(file) for file in files if file.is_file()}
    return {
        "root": str(root.resolve()),
        "weights": known,
        "figures": list(_AGREEMENTS),
    }


def _read_partial(partial: Path, heading: dict[str, Any]) -> list[ImageResult]:
    """Return the results in a file; a line that was cut off does not count."""
    if not partial.is_file():
        return []
    lines = []
    for line in partial.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    if not lines or lines[0] != heading:
        return []
    for data in lines[1:]:
        data["annotations"] = tuple(tuple(row) for row in data["annotations"])
    return [ImageResult(**data) for data in lines[1:]]


def _start_partial(
    partial: Path, heading: dict[str, Any], results: Iterable[ImageResult]
) -> None:
    """Write the file that results are added to, without what was cut off."""
    lines = [heading, *map(asdict, results)]
    with replacing(partial) as draft:
        draft.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")


def _key(result: ImageResult) -> tuple[str, int, str]:
    return result.method, result.number, result.image


def _compactness(text: str) -> float:
    """Return the compactness in the name of a method."""
    try:
        return float(text)
    except ValueError:
        msg = f"the compactness of slic must be a number, as slic:10, got {text!r}"
        raise InputError(msg) from None


def _text(figure: str, value: float) -> str:
    """Return a figure as it stands in a table."""
    decimals = dict.fromkeys(("ASA", "UE", "UE_NP", "ASA_FG"), 4)
    decimals |= {"components": 0, "K": 0}
    return f"{value:.{decimals.get(figure, 3)}f}"
