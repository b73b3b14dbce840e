"""Samples, loaded ahead by other processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.utils.data import DataLoader

from gpcis_training.samples import Sample, SampleStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpcis_training.config import FitConfig
    from gpcis_training.data import DataFolder
    from gpcis_training.roster import ComingSamples


def open_loader(
    folders: Sequence[DataFolder], config: FitConfig, coming: ComingSamples
) -> DataLoader[Sample]:
    """Return the samples that are to come, loaded ahead.

    Parameters
    ----------
    folders
        Data sets.
    config
        The run, with the number of loading processes.
    coming
        Which samples.
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
        sampler=coming,
        num_workers=config.workers,
        prefetch_factor=32 if config.workers else None,
        persistent_workers=config.workers > 0,
        worker_init_fn=_one_thread,
    )


def _one_thread(worker: int) -> None:
    """Keep data workers from competing with the network for cores."""
    del worker
    torch.set_num_threads(1)
