"""Jobs of an evaluation: image by image, in processes, resumable, distributed.

Of several processes, perhaps on several machines, each evaluates every n-th image; then
all of them know all runs. ``torchrun`` starts them, or anything else that sets ``RANK``
and ``WORLD_SIZE``.
"""

from __future__ import annotations

import glob
import hashlib
import json
import multiprocessing
import os
from collections import defaultdict
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from gpcis_training.evaluation.datasets import (
    FORMS,
    EvaluationObject,
    ObjectSet,
    first_view,
    ground_truth,
    view_shift,
)
from gpcis_training.evaluation.predictors import Overrides, create_predictor
from gpcis_training.evaluation.results import run_from_json, run_to_json
from gpcis_training.evaluation.robot import CENTRE, make_clicker, run_robot
from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator, Sequence

    from gpcis_training.evaluation.metrics import ClickRun
    from gpcis_training.evaluation.robot import Predictor

Key = TypeVar("Key")
Value = TypeVar("Value")
_PATIENCE = timedelta(days=7)


@dataclass(frozen=True)
class Protocol:
    """Protocol of the robot; see :func:`run_robot` and :func:`make_clicker`.

    The first view is a window of ``window`` pixels, moved by up to ``jitter`` of it;
    see :func:`first_view`.
    """

    max_clicks: int = 20
    target: float | None = 0.9
    min_clicks: int = 5
    window: int | None = None
    jitter: float = 0.0
    clicks: str = CENTRE
    seed: int = 0
    repeat: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; as in older files, no shift is not written."""
        data = asdict(self)
        if not self.jitter:
            del data["jitter"]
        return data


class Method(NamedTuple):
    """Method to evaluate, in a form from which another process makes it."""

    method: str | Predictor
    device: str = "cpu"
    overrides: Overrides = Overrides()

    def create(self) -> Predictor:
        """Return the predictor."""
        if isinstance(self.method, str):
            return create_predictor(self.method, self.device, self.overrides)
        return self.method


class Job(NamedTuple):
    """Objects of one image."""

    folder: Path
    form: str
    items: tuple[EvaluationObject, ...]


def image_jobs(
    chosen: ObjectSet, root: Path, shard: tuple[int, int] = (0, 1)
) -> list[Job]:
    """Return the jobs of a set, one an image.

    Parameters
    ----------
    chosen
        The objects.
    root
        Folder that holds the set.
    shard
        ``(k, n)``: image k, k + n, k + 2 n and so on only.
    """
    images: defaultdict[str, list[EvaluationObject]] = defaultdict(list)
    for item in chosen.objects:
        images[item.image].append(item)
    number, count = shard
    folder = root / chosen.folder
    every = [Job(folder, chosen.form, tuple(items)) for items in images.values()]
    return every[number::count]


def remaining_jobs(
    jobs: Sequence[Job], done: Collection[EvaluationObject]
) -> list[Job]:
    """Return the jobs without objects that are done."""
    left = [
        job._replace(items=tuple(item for item in job.items if item not in done))
        for job in jobs
    ]
    return [job for job in left if job.items]


def run_jobs(
    method: Method, jobs: Sequence[Job], protocol: Protocol, workers: int
) -> Generator[list[tuple[EvaluationObject, ClickRun]]]:
    """Yield runs as they are made.

    One object at a time in this process; image by image in several others.
    """
    if workers == 1 or len(jobs) <= 1:
        with one_thread():
            predictor = method.create()
            for job in jobs:
                for made in evaluate_image(predictor, job, protocol):
                    yield [made]
        return
    context = multiprocessing.get_context("spawn")  # PyTorch's threads forbid fork
    processes = min(workers, len(jobs))
    with context.Pool(processes, _Worker.begin, (method, protocol)) as pool:
        yield from pool.imap_unordered(_Worker.work, jobs)


def evaluate_image(
    predictor: Predictor, job: Job, protocol: Protocol
) -> Iterator[tuple[EvaluationObject, ClickRun]]:
    """Let the robot segment objects of one image, each from scratch.

    The image is read once. Each object is yielded with its run as soon as that is done.

    Raises
    ------
    InputError
        If an object is not in its label image, or that has another size.
    """
    form = FORMS[job.form]
    image = form.load(job.folder / form.images / job.items[0].image)
    for item in job.items:
        gt = ground_truth(job.folder, item, job.form)
        if image.shape[:2] != gt.shape:
            msg = (
                f"{item.label} must have the size of {item.image}, "
                f"{image.shape[:2]}, got {gt.shape}"
            )
            raise InputError(msg)
        law = (protocol.clicks, item, protocol.seed, protocol.repeat)
        nothing = np.zeros(gt.shape, dtype=bool)
        click = make_clicker(*law)(gt, nothing, ~nothing)
        if click is None:
            what = f"ids {item.ids}" if item.ids else "an object"
            msg = f"{what} of {item.label} must be in the label image"
            raise InputError(msg)
        shift = view_shift(item, protocol.jitter, protocol.seed)
        view = first_view(gt.shape, click.pixel, protocol.window, shift)
        predictor.start(image, view)
        run = run_robot(
            predictor,
            gt,
            protocol.max_clicks,
            protocol.target,
            protocol.min_clicks,
            make_clicker(*law),
        )
        yield item, run


class PartialFile:
    """File of finished runs, one a line; a line cut off is skipped.

    Parameters
    ----------
    path
        The file; ``None``: nothing is kept.
    settings
        Settings that decide the figures. Runs made under other settings are not used.
    rank
        Number of this process among several. Each but the first writes a file of its
        own, beside `path`, and all read all.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        settings: dict[str, Any],
        rank: int = 0,
    ) -> None:
        text = json.dumps(settings, sort_keys=True)
        self._digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._main = None if path is None else Path(path)
        self._path = self._main
        if self._main is not None and rank:
            self._path = self._main.with_name(f"{self._main.name}.{rank}")

    def read(self) -> dict[EvaluationObject, ClickRun]:
        """Return the runs that were finished under the same settings."""
        runs = {}
        for line in self._lines():
            with suppress(ValueError, KeyError, TypeError):
                data = json.loads(line)
                if data["settings"] == self._digest:
                    item = EvaluationObject.from_list(data["object"])
                    runs[item] = run_from_json(data["run"])
        return runs

    def _lines(self) -> Iterator[str]:
        """Yield the lines of all files."""
        if self._main is not None:
            for path in partial_files(self._main):
                yield from path.read_text(encoding="utf-8").splitlines()

    def add(self, item: EvaluationObject, run: ClickRun) -> None:
        """Keep a finished run."""
        if self._path is None:
            return
        data = {
            "settings": self._digest,
            "object": item.to_list(),
            "run": run_to_json(run),
        }
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write("\n" + json.dumps(data))


def partial_files(path: Path) -> list[Path]:
    """Return the partial files that exist, those of other processes too."""
    others = path.parent.glob(f"{glob.escape(path.name)}.*")
    mine = [path] if path.exists() else []
    return mine + sorted(p for p in others if p.suffix[1:].isdigit())


@dataclass(frozen=True)
class Ranks:
    """One process among those that share the work.

    Parameters
    ----------
    rank
        Its number, from 0.
    size
        Number of processes. With more than one, the default process group of
        PyTorch must have been made.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """``True`` for the process that writes and prints."""
        return self.rank == 0

    def union(self, part: dict[Key, Value]) -> dict[Key, Value]:
        """Return the runs of all processes; each must call this."""
        if self.size == 1:
            return part
        from torch import distributed

        parts: list[dict[Key, Value]] = [{} for _ in range(self.size)]
        distributed.all_gather_object(parts, part)
        return {key: value for each in parts for key, value in each.items()}


@contextmanager
def process_group() -> Iterator[Ranks]:
    """Join the process group of the environment for the time of a block.

    Yields
    ------
    Ranks
        The only one if ``WORLD_SIZE`` is not set.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Ranks()
        return
    from torch import distributed

    distributed.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield Ranks(distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()


def local_device(device: str) -> str:
    """Return the device of this process: ``cuda`` becomes the GPU of its local rank."""
    local = os.environ.get("LOCAL_RANK")
    return f"cuda:{local}" if device == "cuda" and local is not None else device


class _Worker:
    """The predictor of a worker process, made once."""

    predictor: Predictor
    protocol: Protocol

    @classmethod
    def begin(cls, method: Method, protocol: Protocol) -> None:
        """Make the predictor; each worker computes on one thread."""
        import torch

        torch.set_num_threads(1)
        cls.predictor = method.create()
        cls.protocol = protocol

    @classmethod
    def work(cls, job: Job) -> list[tuple[EvaluationObject, ClickRun]]:
        """Evaluate one image."""
        return list(evaluate_image(cls.predictor, job, cls.protocol))


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, so that figures do not depend on the machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
