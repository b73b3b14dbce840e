"""Backends of the feature network, and the number of threads they use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from napari_gpcis.inference.engine import ClickModel

Backend: TypeAlias = Literal["auto", "torch", "openvino"]
VARIABLE = "NAPARI_GPCIS_BACKEND"
"""Environment variable that says what ``"auto"`` is."""
MIN_CORES = 4
"""With fewer cores than this, all of them compute."""


def chosen_backend(backend: str) -> str:
    """Return the backend asked for; the environment's where that is ``"auto"``."""
    return os.environ.get(VARIABLE, backend) if backend == "auto" else backend


def check_backend(backend: str, device: str, *, exact: bool) -> None:
    """Raise `InputError` unless these can be had together.

    Parameters
    ----------
    backend
        From `chosen_backend`.
    device
        Where the model runs.
    exact
        Whether it runs as it is.
    """
    accepted = get_args(Backend)
    if backend not in accepted:
        msg = f"backend must be one of {', '.join(accepted)}, got {backend!r}"
        raise InputError(msg)
    if backend != "openvino":
        return
    if exact or device != "cpu":
        msg = (
            "backend 'openvino' runs on the CPU and not exactly, got device "
            f"{device!r} and exact={exact}; 'torch' runs everywhere"
        )
        raise InputError(msg)
    from napari_gpcis.inference.openvino import available  # heavy: imports PyTorch

    if not available():
        msg = (
            "backend 'openvino' needs OpenVINO, which is not installed; "
            "pip install 'napari-gpcis[fast]' installs it, and 'auto' goes on without"
        )
        raise InputError(msg)


def accelerated(model: ClickModel, backend: str) -> ClickModel:
    """Return a GPCIS model on a faster backend; any other model as it is.

    Parameters
    ----------
    model
        On the CPU.
    backend
        ``"auto"`` takes OpenVINO if it is installed.
    """
    # heavy: only when a model is in use
    from napari_gpcis.inference import openvino
    from napari_gpcis.inference.torch_cpu import TorchCPUModel
    from napari_gpcis.model.gpcis import GPCIS

    if not isinstance(model, GPCIS):
        return model
    if backend == "openvino" or (backend == "auto" and openvino.available()):
        return openvino.OpenVINOModel(model)
    return TorchCPUModel(model)


def inference_thread_count(cores: int | None) -> int | None:
    """Return the number of inference threads that leaves a core to the GUI.

    Parameters
    ----------
    cores
        Number of cores; ``None`` if unknown.

    Returns
    -------
    int or None
        One less than there are, from four cores on. ``None``: PyTorch's default; with
        fewer cores, the GUI waits less for a short computation on all of them than for
        a long one on all but one.
    """
    return None if cores is None or cores < MIN_CORES else cores - 1


def reserve_gui_core() -> None:
    """Limit PyTorch, in this thread, to all cores but one for the GUI."""
    count = inference_thread_count(os.cpu_count())
    if count is not None:
        import torch  # heavy: only when a model is about to be used

        torch.set_num_threads(min(count, torch.get_num_threads()))
