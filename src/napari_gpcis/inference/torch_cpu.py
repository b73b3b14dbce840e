"""PyTorch on a CPU: folded batch norms, channels last, low precision."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_gpcis.model.base import Encoded
    from napari_gpcis.model.click_posterior import ClickPosterior
    from napari_gpcis.model.gpcis import GPCIS
    from napari_gpcis.model.grid import GPScores

_TRIAL = 64
_BFLOAT16 = ("avx512_bf16", "amx_bf16")


class AcceleratedModel(ABC):
    """A GPCIS model whose feature network runs on another backend.

    It serves a segmenter as `GPCIS` does; the Gaussian process is the model's own.

    Parameters
    ----------
    model
        Its Gaussian process is used.
    """

    def __init__(self, model: GPCIS) -> None:
        self._model = model

    @property
    def epsilon2(self) -> float:
        """Noise added to ``K_nn``."""
        return self._model.epsilon2

    @epsilon2.setter
    def epsilon2(self, value: float) -> None:
        self._model.epsilon2 = value

    @property
    def gp_stride(self) -> int:
        """Network pixels per pixel of the Gaussian process."""
        return self._model.gp_stride

    @gp_stride.setter
    def gp_stride(self, value: int) -> None:
        self._model.gp_stride = value

    def to(self, device: Any) -> AcceleratedModel:
        """Move the weights to a device, in place."""
        self._model.to(device)
        return self

    def eval(self) -> AcceleratedModel:
        """Switch training behaviour off."""
        self._model.eval()
        return self

    @abstractmethod
    def encode(self, rgb: Tensor) -> Encoded:
        """See :meth:`GPCIS.encode`."""

    @abstractmethod
    def features(self, encoded: Encoded, points: Tensor, previous: Tensor) -> Tensor:
        """See :meth:`GPCIS.features`; float32."""

    def keys(self, encoded: Encoded) -> Tensor | None:
        """See :meth:`GPCIS.keys`."""
        return self._model.keys(encoded)

    def click_posterior(self, encoded: Encoded, raw: Tensor) -> ClickPosterior:
        """See :meth:`GPCIS.click_posterior`."""
        return self._model.click_posterior(encoded, raw)

    def predict(
        self,
        encoded: Encoded,
        points: Tensor,
        previous: Tensor,
        variance: bool = False,
    ) -> tuple[GPScores, Tensor | None]:
        """See :meth:`GPCIS.predict`."""
        raw = self.features(encoded, points, previous)
        return self.click_posterior(encoded, raw).scores(points, variance)


class TorchCPUModel(AcceleratedModel):
    """The feature network with its batch norms folded, channels last.

    In float32 its features differ from those of the model by 1e-6.

    Parameters
    ----------
    model
        Not changed, but copied.
    dtype
        Precision of the convolutions. bfloat16 halves the time again on a CPU that
        has it, but masks then differ visibly (see ``docs/speed.md``). Kernel, prior
        and posterior stay in float32 and float64.
    """

    def __init__(self, model: GPCIS, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(copy.deepcopy(model).eval().requires_grad_(False))
        self._dtype = dtype
        with torch.no_grad():
            fold_batch_norm(self._model.model, self._trial)
        for part in (self._model.model, self._model.maps_transform):
            lay_channels_last(part)
            if self._dtype != torch.float32:
                lower_precision(part, self._dtype)

    def _trial(self) -> Tensor:
        """Run the feature network on a black image."""
        empty = torch.zeros(1, 3, _TRIAL, _TRIAL)
        points = torch.full((1, 2, 3), -1.0)
        return self._model.features(self._model.encode(empty), points, empty[:, :1])

    def encode(self, rgb: Tensor) -> Encoded:
        """See :meth:`GPCIS.encode`."""
        with self._precision():
            return self._model.encode(rgb.to(memory_format=torch.channels_last))

    def features(self, encoded: Encoded, points: Tensor, previous: Tensor) -> Tensor:
        """See :meth:`GPCIS.features`; float32."""
        with self._precision():
            return self._model.features(encoded, points, previous).float()

    def _precision(self) -> torch.autocast:
        low = self._dtype != torch.float32
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=low)


def fold_batch_norm(network: nn.Module, run: Callable[[], object]) -> None:
    """Multiply batch norms into the convolutions before them, in place.

    Parameters
    ----------
    network
        In evaluation mode; not to be trained any more.
    run
        Runs the network once, on anything: what follows what is seen from that.
    """
    for part in list(network.modules()):
        if isinstance(part, _Folding):
            part.fold()
    pairs = _followed(network, run)
    folded = {id(norm) for _, norm in pairs}
    fused = {id(conv): fuse_conv_bn_eval(conv, norm) for conv, norm in pairs}
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if id(child) in fused:
                setattr(module, name, fused[id(child)])
            elif id(child) in folded:
                setattr(module, name, nn.Identity())


@runtime_checkable
class _Folding(Protocol):
    """A part of a network that knows what its batch norms follow."""

    def fold(self) -> None:
        """Multiply them into the convolutions."""


def _followed(
    network: nn.Module, run: Callable[[], object]
) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Return the convolutions whose output a batch norm takes, with that."""
    made: list[tuple[torch.Tensor, nn.Conv2d]] = []
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def after(module: nn.Conv2d, _: Any, output: torch.Tensor) -> None:
        made.append((output, module))

    def before(module: nn.BatchNorm2d, inputs: tuple[torch.Tensor]) -> None:
        pairs.extend((conv, module) for out, conv in made if out is inputs[0])

    handles = []
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            handles.append(part.register_forward_hook(after))
        elif isinstance(part, nn.BatchNorm2d):
            handles.append(part.register_forward_pre_hook(before))
    run()
    for handle in handles:
        handle.remove()
    return pairs


def lay_channels_last(network: nn.Module) -> None:
    """Store the kernels of convolutions channels last, in place."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            part.weight.data = part.weight.data.contiguous(
                memory_format=torch.channels_last
            )


def lower_precision(network: nn.Module, dtype: torch.dtype) -> None:
    """Store the weights of convolutions and linear layers in ``dtype``, in place.

    Everything else stays as it is; what runs the network casts activations
    (:class:`torch.autocast`).
    """
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.to(dtype)


def has_bfloat16() -> bool:
    """Return whether this CPU computes with bfloat16."""
    ask = getattr(torch.cpu, "get_capabilities", None)  # older PyTorch has none
    found: dict[str, bool] = {} if ask is None else ask()
    return any(found.get(name, False) for name in _BFLOAT16)
