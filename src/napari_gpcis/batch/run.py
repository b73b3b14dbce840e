"""Many images segmented, each as if alone.

The model is loaded once in each process; a file that cannot be used is reported and the
others go on.
"""

from __future__ import annotations

from concurrent.futures import as_completed
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from napari_gpcis.batch.workers import WorkerPool, interrupts_ignored
from napari_gpcis.checkpoints.registry import DEFAULT_MODEL
from napari_gpcis.errors import GPCISError, InputError, in_words
from napari_gpcis.files import ResultFiles
from napari_gpcis.inference.tidy import DEFAULT_TIDY

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from concurrent.futures import Future

    from napari_gpcis.batch.clicks_table import Task
    from napari_gpcis.inference.segmenter import Segmenter
    from napari_gpcis.inference.tidy import Tidy


_LARGEST_SHAPE = (1 << 31, 1 << 31)
"""A view that lies outside of it lies outside of every image."""


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
    tidy
        Rules by which masks are tidied; ``None``: they are not.
    suffix
        Of the label images: ``".tif"``, ``".png"``, ``".npy"`` or ``".ome.zarr"``.
    prompts
        Whether the clicks are saved beside each label image.
    overwrite
        Whether results that exist are made again; else they are skipped.
    root
        Folder of images below which the results keep the subfolders of the images, as
        `segment_images` sets it where names are equal; otherwise there are none.
    whole_names
        Images whose results are called by their whole names (``a.png.tif``), as
        `segment_images` sets it where they differ in their endings only.
    """

    output: Path
    model: str = DEFAULT_MODEL
    device: str = "auto"
    plane: tuple[int, ...] = ()
    contrast: tuple[float, ...] | None = None
    channels: tuple[int, ...] | None = None
    view: tuple[float, ...] | None = None
    threshold: float | None = None
    tidy: Tidy | None = DEFAULT_TIDY
    suffix: str = ".tif"
    prompts: bool = False
    overwrite: bool = False
    root: Path | None = None
    whole_names: frozenset[Path] = frozenset()

    def __post_init__(self) -> None:
        """Take text as a path."""
        object.__setattr__(self, "output", Path(self.output).expanduser())

    def target(self, image: Path) -> Path:
        """Return the label image that belongs to an image."""
        return self._files.of(image)

    def told_apart(self, images: Sequence[Path]) -> Settings:
        """Return settings with which no two images have the same label image.

        Raises
        ------
        InputError
            If two have it all the same, or it would replace an image.
        """
        found = self._files.told_apart(images)
        return replace(self, root=found.root, whole_names=found.whole_names)

    @property
    def _files(self) -> ResultFiles:
        return ResultFiles(self.output, self.suffix, self.root, self.whole_names)

    def anywhere(self) -> Settings:
        """Return settings that hold in every working folder."""
        file = Path(self.model)
        model = str(file.absolute()) if file.is_file() else self.model
        return replace(self, output=self.output.absolute(), model=model)


@dataclass
class Summary:
    """Outcome of a batch.

    Attributes
    ----------
    done, skipped
        Images that were segmented, and those whose results were there.
    failed
        Images that could not be segmented, with the reason.
    left_out
        Of images that are done: the objects that could not be made, with the reason.
    """

    done: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    left_out: dict[Path, tuple[str, ...]] = field(default_factory=dict)


class _Outcome(NamedTuple):
    """Outcome of one image: what went wrong, and the objects that it lacks."""

    problem: str | None
    left_out: tuple[str, ...] = ()


def segment_images(
    tasks: Sequence[Task],
    settings: Settings,
    *,
    jobs: int = 1,
    cluster: str | None = None,
    report: Callable[[Summary], object] = lambda _: None,
) -> Summary:
    """Segment many images; one that cannot be segmented does not stop the others.

    Images of the same name in several folders get their results in subfolders of the
    same names; those of one folder that differ in their endings only (``a.tif`` and
    ``a.png``) get them under their whole names (``a.tif.tif``, ``a.png.tif``). An
    object that cannot be made (it adds no pixel, a click is outside) is left out of
    its image and named.

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
        Called with what came of it so far after each image; after an interruption
        (Control-C) also for the images that other processes had begun, which are
        finished. The others are not begun, and `KeyboardInterrupt` goes on.

    Raises
    ------
    InputError
        If two images would have the same label image, a label image would replace an
        image, ``jobs`` is below 1, the cluster cannot be used, or settings suit no
        image; nothing is read or written then.
    CheckpointError
        If the model cannot be loaded.
    OSError
        If the folder of the results cannot be made.
    """
    if jobs < 1:
        msg = f"jobs must be 1 or more, got {jobs}"
        raise InputError(msg)
    settings = settings.told_apart([task.image for task in tasks])
    summary = Summary()
    waiting = []
    for task in tasks:
        target = settings.target(task.image)
        if not target.exists() or settings.overwrite:
            waiting.append(task)
        elif task.namesakes and settings.root is None:
            summary.failed[task.image] = (
                f"{target} is there, and may be that of {task.namesakes[0]}: choose "
                "another folder, or segment both images in one call"
            )
        else:
            summary.skipped.append(task.image)
    workers = WorkerPool(jobs, cluster)
    if waiting:
        _check_settings(settings, workers, len(waiting))
        settings.output.mkdir(parents=True, exist_ok=True)
    report(summary)
    with closing(_outcomes(waiting, settings, workers)) as outcomes:
        for task, outcome in outcomes:
            if outcome.problem is None:
                summary.done.append(task.image)
            else:
                summary.failed[task.image] = outcome.problem
            if outcome.left_out:
                summary.left_out[task.image] = outcome.left_out
            report(summary)
    return summary


def segment_image(
    segmenter: Segmenter,
    task: Task,
    settings: Settings,
    left_out: Callable[[str], object] = lambda _: None,
) -> Path:
    """Segment one image and write its labels; return their file.

    Parameters
    ----------
    segmenter, task, settings
        The model, the image with its clicks, and how.
    left_out
        Called for each object that could not be made, with its name and the reason.
        The others are written, under the numbers that they have in the task.

    Raises
    ------
    InputError
        If the image or the clicks of all objects cannot be used.
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
        tidy=settings.tidy,
    )
    if settings.threshold is not None:
        session.threshold = settings.threshold
    problems = []
    for number, clicks in enumerate(task.objects, start=1):
        session.view = settings.view
        try:
            session.replace_clicks(clicks)
            session.accept(label=number)
        except InputError as error:
            session.clear()
            problems.append(f"{task.name(number)}: {error}")
    if problems and len(problems) == len(task.objects):
        raise InputError("; ".join(problems))
    for problem in problems:
        left_out(problem)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_labels(target, session.labels, source=task.image)
    if settings.prompts:
        session.save(target.with_suffix(".json"))
    return target


def _check_settings(settings: Settings, workers: WorkerPool, tasks: int) -> None:
    """Raise an error about what would fail in the same way for every image.

    The model and the device of a cluster are those of its workers.
    """
    from napari_gpcis.geometry import clip_box
    from napari_gpcis.inference.image import checked_contrast
    from napari_gpcis.inference.prediction import check_threshold

    if settings.output.exists() and not settings.output.is_dir():
        msg = f"output {settings.output} is no folder"
        raise InputError(msg)
    if settings.threshold is not None:
        check_threshold(settings.threshold)
    if settings.contrast is not None:
        checked_contrast(settings.contrast)
    if settings.view is not None:
        clip_box(settings.view, _LARGEST_SHAPE)
    if workers.in_process(tasks):
        with _MODEL_LOCK:
            _segmenter(settings.model, settings.device)
    elif workers.cluster is None:
        _load(settings.model, settings.device)  # each process loads its own


def _outcomes(
    tasks: Sequence[Task], settings: Settings, workers: WorkerPool
) -> Generator[tuple[Task, _Outcome]]:
    """Yield each task as it ends, with what went wrong."""
    attempt = partial(_attempt, settings=settings.anywhere())
    if workers.in_process(len(tasks)):
        for task in tasks:
            yield task, attempt(task)
        return
    futures: dict[Future[_Outcome], Task] = {}
    with workers.executor(len(tasks)) as pool:
        try:
            with interrupts_ignored():  # by the processes that begin
                for task in tasks:
                    wanted = replace(task, image=task.image.absolute())
                    futures[pool.submit(attempt, wanted)] = task
            for future in as_completed(futures):
                yield futures.pop(future), _outcome(future)
        except BaseException as error:
            for future in futures:
                future.cancel()
            if isinstance(error, KeyboardInterrupt):
                pool.shutdown()  # images in work are finished
                for future, task in futures.items():
                    if not future.cancelled():
                        yield task, _outcome(future)
            raise


def _outcome(future: Future[_Outcome]) -> _Outcome:
    """Return the outcome of a task that has ended."""
    error = future.exception()
    return _Outcome(f"its process ended: {error}") if error else future.result()


def _attempt(task: Task, settings: Settings) -> _Outcome:
    """Segment one image; return what went wrong, if anything did."""
    left_out: list[str] = []
    try:
        with _MODEL_LOCK:
            segmenter = _segmenter(settings.model, settings.device)
            segment_image(segmenter, task, settings, left_out.append)
    except (GPCISError, OSError, MemoryError) as error:
        return _Outcome(in_words(error))
    return _Outcome(None, tuple(left_out))


def _load(model: str, device: str) -> Segmenter:
    """Load a model."""
    from napari_gpcis.inference.segmenter import Segmenter

    return Segmenter.from_pretrained(model, device=device)


_segmenter = cache(_load)
"""A model, loaded once in a process."""
_MODEL_LOCK = Lock()
"""A worker of a cluster may have several threads; they share one model."""
