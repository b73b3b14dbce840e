"""Data loader: samples made ahead of time by other processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from threading import Thread
from typing import TYPE_CHECKING

import torch
from torch.utils.data import DataLoader

from gpcis_training.data.samples import Sample, SampleStream

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.context import BaseContext

    from gpcis_training.config import FitConfig
    from gpcis_training.data.folders import DataFolder
    from gpcis_training.engine.slots import SlotSampler


def open_loader(
    folders: Sequence[DataFolder], config: FitConfig, sampler: SlotSampler
) -> DataLoader[Sample]:
    """Return a loader of the samples to come.

    Parameters
    ----------
    folders
        Data sets.
    config
        The run, with the number of loading processes.
    sampler
        Indices of the samples.
    """
    stream = SampleStream(
        folders,
        config.seed * 1000,
        config.augment,
        config.clicks,
        in_order=config.in_order,
    )
    return DataLoader(
        stream,
        batch_size=None,
        sampler=sampler,
        num_workers=config.workers,
        prefetch_factor=32 if config.workers else None,
        persistent_workers=config.workers > 0,
        worker_init_fn=_start_worker,
        multiprocessing_context=_process_context() if config.workers else None,
    )


def _process_context() -> BaseContext:
    """Return a start method that copies no running threads.

    A copy of a process with threads (PyTorch's, a window's) may stop for ever or end
    in a segmentation fault; a server without threads, or a new process, may not.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gpcis_training.engine.loading"])
    return context


def _start_worker(worker: int) -> None:
    """Keep data workers from competing with the network for cores; end with the run.

    The parent of a process that a server started is the server, so that PyTorch's own
    watch does not see a run that was killed. Control-C, which a terminal sends to all
    processes, is for the run to answer: it still needs its samples to end well.
    """
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    Thread(target=_exit_with_run, daemon=True).start()


def _exit_with_run() -> None:
    run = multiprocessing.parent_process()
    if run is not None:
        run.join()
        os._exit(1)
