"""Who does the work of a batch: this process, several, or a dask cluster."""

from __future__ import annotations

from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TYPE_CHECKING, NamedTuple

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Worker

_PATIENCE = 30
"""Seconds in which a scheduler must answer."""


class Crew(NamedTuple):
    """Who does the work.

    Attributes
    ----------
    jobs
        Number of processes on this machine.
    cluster
        Address of a dask scheduler; then ``jobs`` does not matter.
    """

    jobs: int
    cluster: str | None = None

    def alone(self, tasks: int) -> bool:
        """Return whether this process does so many tasks itself."""
        return self.cluster is None and min(self.jobs, tasks) <= 1

    @contextmanager
    def executor(self, most: int) -> Iterator[Executor]:
        """Give what takes the work, in at most so many processes.

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
        with ProcessPoolExecutor(min(self.jobs, most), context, _one_thread) as pool:
            yield pool


@contextmanager
def _dask_executor(address: str) -> Iterator[Executor]:
    """Give the workers of a cluster."""
    try:
        from distributed import Client
    except ImportError as error:
        msg = "a dask cluster needs: pip install 'napari-gpcis[cluster]'"
        raise InputError(msg) from error
    try:
        client = Client(address, timeout=_PATIENCE)
    except (OSError, ValueError) as error:
        msg = f"no dask scheduler can be reached at {address!r}: {error}"
        raise InputError(msg) from error
    with client:
        client.run(_as_many_threads_as_the_worker)
        yield client.get_executor(pure=False)


def _one_thread() -> None:
    """Compute on one core: the processes share them."""
    import torch

    torch.set_num_threads(1)


def _as_many_threads_as_the_worker(dask_worker: Worker) -> None:
    """Compute on the cores that a worker was given."""
    import torch

    torch.set_num_threads(dask_worker.state.nthreads)
