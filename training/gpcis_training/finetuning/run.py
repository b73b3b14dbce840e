"""Fine-tuning from images to a model: :func:`gpcis_training.finetune`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpcis_training.finetuning.options import make_options
from gpcis_training.finetuning.output import open_work_folder, output_files
from gpcis_training.finetuning.plan import StoppedError, make_plan, read_plan
from gpcis_training.finetuning.report import EventLog
from gpcis_training.finetuning.training import FinetuneResult, train

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpcis_training.finetuning.report import Event


def finetune(
    model: str | os.PathLike[str],
    images: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    resume: bool = False,
    overwrite: bool = False,
    listener: Callable[[Event], None] | None = None,
    stop: Callable[[], bool] | None = None,
    **options: Any,
) -> FinetuneResult:
    """Fine-tune a model on labelled images.

    Images are normalised as predicting does. Part of them is kept for validation,
    where a robot user counts clicks before, during and after training; the state that
    needs the fewest is kept. Beside the checkpoint ``my_model.safetensors`` lie the
    model card ``my_model.md``, the curves ``my_model.png`` and the record
    ``my_model.json`` with the split. Until it is finished, everything is in the folder
    ``my_model.unfinished``. If training did not lower the clicks, nothing is written,
    and that folder goes; it stays if ``stop`` has ended the training.

    Parameters
    ----------
    model
        Name or file of the model to start from.
    images, labels
        Folders of TIFF, PNG, JPEG or NumPy files. Label files have the names of their
        images; other names need the option ``pairs``. Stacks count as many planes.
    output
        A file ending in ``.safetensors``, or the name of a new model of the user.
    resume
        Go on with an unfinished run of this output; options are those it began with.
    overwrite
        Replace a model, or an unfinished run, of this output.
    listener
        Called with what happens, as dictionaries with the entry ``event``.
    stop
        Asked between steps; when it returns true training ends, and the best state so
        far is kept if it needs fewer clicks than the start.
    **options
        See :class:`FinetuneOptions`.

    Returns
    -------
    FinetuneResult

    Raises
    ------
    StoppedError
        If ``stop`` returned true before training began: nothing is left.
    GPCISError
        If model, images, labels, output or an option cannot be used; with
        ``on_error="refuse"`` also if a single file cannot.
    """
    chosen = make_options(options)
    files = output_files(output)
    resumed = open_work_folder(files, resume=resume, overwrite=overwrite)
    log = EventLog(files.run / "events.jsonl", listener)
    stop = stop or _never
    if resumed:
        plan = read_plan(files)
        log.replay()
    else:
        folders = Path(images).expanduser(), Path(labels).expanduser()
        try:
            plan = make_plan(os.fspath(model), *folders, chosen, files, log, stop)
        except StoppedError:
            shutil.rmtree(files.work, ignore_errors=True)
            raise
    return train(plan, files, log, stop)


def _never() -> bool:
    return False
