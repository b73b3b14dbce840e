"""Many images at once: a CSV of clicks in, a label image for each image out.

The model is loaded once in each process; a file that cannot be used is reported and the
others go on.
"""

from __future__ import annotations

from concurrent.futures import as_completed
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from napari_gpcis._click_table import COLUMNS, Task, read_clicks
from napari_gpcis._workers import Crew
from napari_gpcis.errors import GPCISError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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


@dataclass(frozen=True)
class Settings:
    """How all images of a batch are segmented.

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
    """What came of a batch: images done, skipped, and failed with the reason."""

    done: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)


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
    for task, problem in _outcomes(waiting, settings, Crew(jobs, cluster)):
        if problem is None:
            summary.done.append(task.image)
        else:
            summary.failed[task.image] = problem
        report(summary)
    return summary


def _outcomes(
    tasks: Sequence[Task], settings: Settings, crew: Crew
) -> Iterator[tuple[Task, str | None]]:
    """Yield each task as it ends, with what went wrong."""
    attempt = partial(_attempt, settings=settings.anywhere())
    if crew.alone(len(tasks)):
        for task in tasks:
            yield task, attempt(task)
        return
    with crew.executor(len(tasks)) as pool:
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
        with _ONE_AT_A_TIME:
            segment_image(_segmenter(settings.model, settings.device), task, settings)
    except (GPCISError, OSError, MemoryError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return None


@cache
def _segmenter(model: str, device: str) -> Segmenter:
    """Load a model once in a process."""
    from napari_gpcis.inference.segmenter import Segmenter

    return Segmenter.from_pretrained(model, device=device)


_ONE_AT_A_TIME = Lock()
"""A worker of a cluster may have several threads; they share one model."""


def _check(tasks: Sequence[Task], settings: Settings, jobs: int) -> None:
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
