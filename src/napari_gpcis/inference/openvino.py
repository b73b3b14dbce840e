"""The feature network compiled by OpenVINO; an optional extra.

The compiled network computes the same function in float32 (features differ by 1e-6),
about twice as fast as PyTorch on a CPU. Converting takes some seconds; what comes of
it is kept in the user's folder of models and read the next time.
"""

from __future__ import annotations

import hashlib
import logging
import sys
import warnings
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from napari_gpcis.checkpoints.cache import cache_folder, writing
from napari_gpcis.clicks import disk_maps
from napari_gpcis.errors import CheckpointError
from napari_gpcis.inference.torch_cpu import AcceleratedModel
from napari_gpcis.model.base import Encoded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

    from napari_gpcis.model.gpcis import GPCIS

_logger = logging.getLogger(__name__)
_FOLDER = "openvino"
_TELEMETRY = "openvino_telemetry"
_FORM = 2  # counts what the halves of a network take and return, for the same weights


def available() -> bool:
    """Return whether OpenVINO is installed."""
    return find_spec("openvino") is not None


@cache
def _openvino() -> Any:
    """Import OpenVINO without its usage statistics, which it sends by default."""
    modules = cast("dict[str, Any]", sys.modules)  # None keeps one from being imported
    before = modules.get(_TELEMETRY)
    modules[_TELEMETRY] = None
    try:
        return import_module("openvino")
    finally:
        if before is None:
            del modules[_TELEMETRY]
        else:
            modules[_TELEMETRY] = before


@cache
def _core() -> Any:
    """Return the one core of this process, which is never given up.

    Its CPU plugin gives the thread that compiles first another stack for signals, and
    frees it with itself. In another thread that leaves the first one with a stack that
    is gone, and the next signal ends the process.
    """
    return _openvino().Core()


class OpenVINOModel(AcceleratedModel):
    """A model whose feature network is compiled, each size of input once.

    Parameters
    ----------
    model
        On the CPU; not to be changed any more. PyTorch runs what OpenVINO cannot.
    """

    def __init__(self, model: GPCIS) -> None:
        super().__init__(model.eval())
        self._stages = {"encode": _Encoding(model), "fuse": _Fusing(model)}
        self._compiled: dict[tuple[str, tuple[int, ...]], Any] = {}
        self._identity = _digest(model)

    def encode(self, rgb: Tensor) -> Encoded:
        """See :meth:`GPCIS.encode`."""
        return Encoded(self._model.normalise(rgb), self._run("encode", rgb))

    def features(self, encoded: Encoded, points: Tensor, previous: Tensor) -> Tensor:
        """See :meth:`GPCIS.features`."""
        disks = disk_maps(points, (encoded.rgb.shape[-2], encoded.rgb.shape[-1]))
        maps = torch.cat([previous, disks], dim=1)
        attended = self._model.model.attend(encoded.features, points)
        return self._run("fuse", maps, *attended)[0]

    def _run(self, stage: str, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run one half of the network. One thread at a time."""
        key = stage, tuple(inputs[0].shape)
        if key not in self._compiled:
            self._compiled[key] = self._compile(stage, inputs)
        request = self._compiled[key]
        if request is None:
            found = self._stages[stage](*inputs)
            return found if isinstance(found, tuple) else (found,)
        arrays = [value.contiguous().numpy() for value in inputs]
        outputs = request.infer(arrays, share_inputs=True)
        return tuple(torch.from_numpy(array.copy()) for array in outputs.to_tuple())

    def _compile(self, stage: str, inputs: tuple[Tensor, ...]) -> Any | None:
        """Return what runs one half of the network; ``None`` if that is PyTorch."""
        try:
            return self._request(stage, inputs)
        except Exception as error:  # whatever it raises, PyTorch does without it
            _logger.warning("OpenVINO cannot run the network: %s", error)
            return None

    def _request(self, stage: str, inputs: tuple[Tensor, ...]) -> Any:
        """Return the compiled half of the network, from disk or converted."""
        size = "x".join(map(str, inputs[0].shape))
        name = f"{self._identity}-{stage}-{size}"
        core = _core()
        network = _read(core, name)
        if network is None:
            network = _convert(self._stages[stage], inputs)
            _store(network, name)
            # what is read rounds otherwise than what was converted: always use that
            network = _read(core, name) or network
        hints = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        return core.compile_model(network, "CPU", hints).create_infer_request()


class _Encoding(nn.Module):
    """The part of the network that depends on the image alone."""

    def __init__(self, model: GPCIS) -> None:
        super().__init__()
        self.backbone = model.model

    def forward(self, rgb: Tensor) -> tuple[Tensor, ...]:
        return self.backbone.encode(rgb)


class _Fusing(nn.Module):
    """The part of the network that depends on clicks and previous mask."""

    def __init__(self, model: GPCIS) -> None:
        super().__init__()
        self.backbone, self.transform = model.model, model.maps_transform

    def forward(self, maps: Tensor, *features: Tensor) -> Tensor:
        return self.backbone.fuse(features, self.transform(maps))


def _digest(model: GPCIS) -> str:
    """Return a digest of the weights and of the versions that convert them."""
    versions = f"{_openvino().__version__} {torch.__version__} {_FORM}"
    found = hashlib.sha256(versions.encode())
    for part in (model.model, model.maps_transform):
        found.update(type(part).__name__.encode())
        for name, value in part.state_dict().items():
            found.update(name.encode())
            found.update(value.contiguous().numpy().tobytes())
    return found.hexdigest()[:24]


def _convert(stage: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
    """Trace a network for inputs of these shapes."""
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing: shapes are constants, wanted so
        examples = tuple(torch.rand(value.shape) for value in inputs)
        network = _openvino().convert_model(stage, example_input=examples)
    network.reshape({i: list(value.shape) for i, value in enumerate(inputs)})
    return network


def _read(core: Any, name: str) -> Any | None:
    """Return a network that was converted before, if it is there and whole."""
    path = cache_folder() / _FOLDER / f"{name}.xml"
    if not path.exists():
        return None
    try:
        return core.read_model(path)
    except RuntimeError as error:
        _logger.warning("%s is damaged and will be made anew: %s", path, error)
        return None


def _store(network: Any, name: str) -> None:
    """Keep a converted network; go on without if the folder cannot be written."""
    try:
        with _writing_below() as folder:
            _openvino().save_model(
                network, folder / f"{name}.new.xml", compress_to_fp16=False
            )
            for suffix in (".bin", ".xml"):  # what is looked for comes last
                (folder / f"{name}.new{suffix}").replace(folder / f"{name}{suffix}")
    except (CheckpointError, OSError, RuntimeError) as error:
        _logger.warning("The converted network cannot be stored: %s", error)


@contextmanager
def _writing_below() -> Iterator[Path]:
    """Lock the folder of converted networks for this process."""
    with writing(_FOLDER) as folder:
        below = folder / _FOLDER
        below.mkdir(exist_ok=True)
        yield below
