"""Batch segmentation: a CSV of clicks in, one label image per image out.

The model is loaded once in each process; a file that cannot be used is reported and the
others go on.
"""

from __future__ import annotations

import csv
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from napari_gpcis.clicks import Click
from napari_gpcis.errors import GPCISError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from distributed import Worker

    from napari_gpcis.inference.segmenter import Segmenter

__all__ = [
    "COLUMNS",
    "Settings",
    "Summary",
    "Task",
    "read_clicks",
    "segment_image",
    "segment_images",
]


COLUMNS = ("image", "row", "col", "positive", "object")
"""Columns of the table of clicks; ``positive`` may be missing (all are) and
``object`` too (then each row is an object of its own)."""
_TRUE = {"1", "true", "yes", "+", ""}
_FALSE = {"0", "false", "no", "-"}
_CONNECT_TIMEOUT = 30
"""Seconds in which a scheduler must answer."""


@dataclass(frozen=True)
class Task:
    """One image with the clicks of its objects.

    Attributes
    ----------
    image
        The file.
    objects
        The clicks of each object, in order.
    """

    image: Path
    objects: tuple[tuple[Click, ...], ...]


@dataclass(frozen=True)
class Settings:
    """Settings of a batch: where results go, and the way all images are segmented.

    Attributes
    ----------
    output
        Folder of the results.
    model, device
        See `Segmenter.from_pretrained`.
    plane, contrast, channels, view, threshold
        See `Session` and `read_image`.
    suffix
        Of the label images: ``".tif"``, ``".png"`` or ``".npy"``.
    prompts
        Whether the clicks are saved beside each label image.
    overwrite
        Whether results that exist are made again; else they are skipped.
    """

    output: Path
    model: str = "gpcis-mobilenet-v2"
    device: str = "auto"
    plane: tuple[int, ...] = ()
    contrast: tuple[float, ...] | None = None
    channels: tuple[int, ...] | None = None
    view: tuple[float, ...] | None = None
    threshold: float | None = None
    suffix: str = ".tif"
    prompts: bool = False
    overwrite: bool = False

    def target(self, image: Path) -> Path:
        """Return the label image that belongs to an image."""
        return self.output / f"{image.stem}{self.suffix}"

    def anywhere(self) -> Settings:
        """Return settings that hold in every working folder."""
        file = Path(self.model)
        model = str(file.absolute()) if file.is_file() else self.model
        return replace(self, output=self.output.absolute(), model=model)


@dataclass
class Summary:
    """Outcome of a batch: images done, skipped, and failed with the reason."""

    done: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)


def segment_images(
    tasks: Sequence[Task],
    settings: Settings,
    *,
    jobs: int = 1,
    cluster: str | None = None,
    report: Callable[[Summary], object] = lambda _: None,
) -> Summary:
    """Segment many images; one that cannot be segmented does not stop the others.

    Parameters
    ----------
    tasks
        The images and their clicks.
    settings
        How, and where to.
    jobs
        Number of processes; each loads the model.
    cluster
        Address of the scheduler of a dask cluster, whose workers do it instead. They
        must find images, output and model file under the same paths.
    report
        Called with what came of it so far after each image.

    Raises
    ------
    InputError
        If two images would have the same label image, a label image would replace an
        image, ``jobs`` is below 1, or the cluster cannot be used.
    """
    _check(tasks, settings, jobs)
    summary = Summary()
    waiting = []
    for task in tasks:
        if settings.target(task.image).exists() and not settings.overwrite:
            summary.skipped.append(task.image)
        else:
            waiting.append(task)
    report(summary)
    for task, problem in _outcomes(waiting, settings, WorkerPool(jobs, cluster)):
        if problem is None:
            summary.done.append(task.image)
        else:
            summary.failed[task.image] = problem
        report(summary)
    return summary


def segment_image(segmenter: Segmenter, task: Task, settings: Settings) -> Path:
    """Segment one image and write its labels; return their file.

    Raises
    ------
    InputError
        If the image or a click cannot be used.
    OSError
        If the disk refuses.
    """
    from napari_gpcis.imagefiles import read_image, write_labels
    from napari_gpcis.session.session import Session

    target = settings.target(task.image)
    session = Session(
        segmenter,
        read_image(task.image, settings.plane),
        contrast=settings.contrast,
        channels=settings.channels,
    )
    if settings.threshold is not None:
        session.threshold = settings.threshold
    for number, clicks in enumerate(task.objects, start=1):
        session.view = settings.view
        try:
            session.replace_clicks(clicks)
            session.accept(label=number)
        except InputError as error:
            msg = f"object {number}: {error}"
            raise InputError(msg) from error
    write_labels(target, session.labels)
    if settings.prompts:
        session.save(target.with_suffix(".json"))
    return target


def read_clicks(table: Path, images: Iterable[Path] = ()) -> list[Task]:
    """Read a table of clicks, see :data:`COLUMNS`.

    Parameters
    ----------
    table
        A CSV file. A path in it is relative to its folder.
    images
        Only these images are wanted; all of the table if there are none. A name in
        the table stands for the image of this name.

    Raises
    ------
    InputError
        If the table is damaged (the line is named), has no clicks, or lacks an image
        that is wanted.
    OSError
        If it cannot be read.
    """
    wanted = list(images)
    by_name = {path.name: path for path in wanted}
    found: dict[Path, dict[str, list[Click]]] = {}
    for line, row in _rows(table):
        name = Path(row["image"])
        image = by_name.get(name.name) if wanted else table.parent / name
        if image is None:
            continue
        objects = found.setdefault(image, {})
        number = row.get("object") or f"line {line}"
        objects.setdefault(number, []).append(_click(row, table, line))
    missing = [str(path) for path in wanted if path not in found]
    if missing:
        msg = f"table {table} has no clicks for {', '.join(missing)}"
        raise InputError(msg)
    if not found:
        msg = f"table {table} has no clicks"
        raise InputError(msg)
    return [
        Task(image, tuple(map(tuple, objects.values())))
        for image, objects in found.items()
    ]


def _rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of each line and its cells."""
    with table.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream, skipinitialspace=True)
        names = [name.strip().lower() for name in reader.fieldnames or ()]
        for needed in ("image", "row", "col"):
            if needed not in names:
                msg = f"table {table} must have a column {needed!r}, got {names}"
                raise InputError(msg)
        reader.fieldnames = names
        for row in reader:
            cells = {name: (row.get(name) or "").strip() for name in names}
            if any(cells.values()):
                yield reader.line_num, cells


def _click(row: dict[str, str], table: Path, line: int) -> Click:
    """Return the click of one row, or raise `InputError`."""
    sign = row.get("positive", "").lower()
    if sign not in _TRUE | _FALSE:
        msg = f"table {table}, line {line}: positive must be 1 or 0, got {sign!r}"
        raise InputError(msg)
    try:
        return Click(float(row["row"]), float(row["col"]), sign in _TRUE)
    except ValueError as error:
        place = row["row"], row["col"]
        msg = f"table {table}, line {line}: row and col must be numbers, got {place}"
        raise InputError(msg) from error


def _check(tasks: Sequence[Task], settings: Settings, jobs: int) -> None:
    """Raise `InputError` where results would replace images or each other."""
    if jobs < 1:
        msg = f"jobs must be 1 or more, got {jobs}"
        raise InputError(msg)
    targets: dict[Path, Path] = {}
    images = {task.image.resolve() for task in tasks}
    for task in tasks:
        target = settings.target(task.image)
        other = targets.setdefault(target, task.image)
        if other != task.image:
            msg = f"{other} and {task.image} would both be written to {target}"
            raise InputError(msg)
        if target.resolve() in images:
            msg = f"output {target} is one of the images; choose another folder"
            raise InputError(msg)


def _outcomes(
    tasks: Sequence[Task], settings: Settings, workers: WorkerPool
) -> Iterator[tuple[Task, str | None]]:
    """Yield each task as it ends, with what went wrong."""
    attempt = partial(_attempt, settings=settings.anywhere())
    if workers.in_process(len(tasks)):
        for task in tasks:
            yield task, attempt(task)
        return
    with workers.executor(len(tasks)) as pool:
        futures = {
            pool.submit(attempt, replace(task, image=task.image.absolute())): task
            for task in tasks
        }
        for future in as_completed(futures):
            error = future.exception()
            if error is not None:
                yield futures[future], f"its process ended: {error}"
            else:
                yield futures[future], future.result()


def _attempt(task: Task, settings: Settings) -> str | None:
    """Segment one image; return what went wrong, if anything did."""
    try:
        with _MODEL_LOCK:
            segment_image(_segmenter(settings.model, settings.device), task, settings)
    except (GPCISError, OSError, MemoryError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return None


@cache
def _segmenter(model: str, device: str) -> Segmenter:
    """Load a model once in a process."""
    from napari_gpcis.inference.segmenter import Segmenter

    return Segmenter.from_pretrained(model, device=device)


_MODEL_LOCK = Lock()
"""A worker of a cluster may have several threads; they share one model."""


class WorkerPool(NamedTuple):
    """Processes of this machine, or the workers of a cluster.

    Attributes
    ----------
    jobs
        Number of processes on this machine.
    cluster
        Address of a dask scheduler; then ``jobs`` does not matter.
    """

    jobs: int
    cluster: str | None = None

    def in_process(self, tasks: int) -> bool:
        """Return whether this process does so many tasks itself."""
        return self.cluster is None and min(self.jobs, tasks) <= 1

    @contextmanager
    def executor(self, most: int) -> Iterator[Executor]:
        """Open an executor with at most so many processes.

        Raises
        ------
        InputError
            If the cluster cannot be used.
        """
        if self.cluster is not None:
            with _dask_executor(self.cluster) as workers:
                yield workers
            return
        context = get_context("spawn")  # a forked PyTorch may hang
        with ProcessPoolExecutor(
            min(self.jobs, most), context, _use_one_thread
        ) as pool:
            yield pool


@contextmanager
def _dask_executor(address: str) -> Iterator[Executor]:
    """Open an executor on the workers of a dask cluster."""
    try:
        from distributed import Client
    except ImportError as error:
        msg = "a dask cluster needs: pip install 'napari-gpcis[cluster]'"
        raise InputError(msg) from error
    try:
        client = Client(address, timeout=_CONNECT_TIMEOUT)
    except (OSError, ValueError) as error:
        msg = f"no dask scheduler can be reached at {address!r}: {error}"
        raise InputError(msg) from error
    with client:
        client.run(_use_worker_threads)
        yield client.get_executor(pure=False)


def _use_one_thread() -> None:
    """Limit PyTorch to one core: the processes share them."""
    import torch

    torch.set_num_threads(1)


def _use_worker_threads(dask_worker: Worker) -> None:
    """Limit PyTorch to the cores that a worker was given."""
    import torch

    torch.set_num_threads(dask_worker.state.nthreads)
