"""Workers of a batch: processes of this machine, or a dask cluster."""

from __future__ import annotations

import signal
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, NamedTuple

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Worker

_CONNECT_TIMEOUT = 30
"""Seconds in which a scheduler must answer."""


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
            min(self.jobs, most), context, _prepare_process
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


@contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Ignore Control-C for a moment: processes that begin now inherit it.

    The terminal sends it to all of them; the first process alone decides what ends.
    """
    if current_thread() is not main_thread():  # which alone gets it
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)


def _prepare_process() -> None:
    """Limit PyTorch to one core, since the processes share them; ignore Control-C."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _use_worker_threads(dask_worker: Worker) -> None:
    """Limit PyTorch to the cores that a worker was given."""
    import torch

    torch.set_num_threads(dask_worker.state.nthreads)
