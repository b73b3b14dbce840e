"""A model made ready to run fast on a CPU."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from napari_gpcis._folding import (
    fold_batch_norm,
    lay_channels_last,
    lower_precision,
)

if TYPE_CHECKING:
    from torch import Tensor

    from napari_gpcis._network import Encoded
    from napari_gpcis._surface import Surface
    from napari_gpcis.grid import GPScores
    from napari_gpcis.model import GPCIS

_TRIAL = 64
_BFLOAT16 = ("avx512_bf16", "amx_bf16")


def fast_dtype() -> torch.dtype:
    """Return the precision in which this CPU convolves fastest.

    bfloat16 where it has instructions for it, otherwise float32.
    """
    ask = getattr(torch.cpu, "get_capabilities", None)  # older PyTorch has none
    found: dict[str, bool] = {} if ask is None else ask()
    low = any(found.get(name, False) for name in _BFLOAT16)
    return torch.bfloat16 if low else torch.float32


class FastModel:
    """The feature network folded, channels last, in low precision; the GP as it is.

    It serves a segmenter as `GPCIS` does. Masks agree with those of the model but are
    not the same bit for bit: features are rounded to 8 bits if the CPU computes with
    bfloat16. Kernel, prior and posterior stay in float32 and float64.

    Parameters
    ----------
    model
        Not changed, but copied.
    dtype
        Precision of the convolutions; by default what suits this CPU.
    """

    def __init__(self, model: GPCIS, dtype: torch.dtype | None = None) -> None:
        self._dtype = dtype or fast_dtype()
        self._model = copy.deepcopy(model).eval().requires_grad_(False)
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
        return self._model.pixels(self._model.encode(empty), points, empty[:, :1])

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

    def to(self, device: Any) -> FastModel:
        """Move the weights to a device, in place."""
        self._model.to(device)
        return self

    def eval(self) -> FastModel:
        """Do nothing: it is never trained."""
        return self

    def encode(self, rgb: Tensor) -> Encoded:
        """See :meth:`GPCIS.encode`."""
        with self._precision():
            return self._model.encode(rgb.to(memory_format=torch.channels_last))

    def pixels(self, encoded: Encoded, points: Tensor, previous: Tensor) -> Tensor:
        """See :meth:`GPCIS.pixels`; float32."""
        with self._precision():
            return self._model.pixels(encoded, points, previous).float()

    def surface(self, encoded: Encoded, raw: Tensor) -> Surface:
        """See :meth:`GPCIS.surface`."""
        return self._model.surface(encoded, raw)

    def predict(
        self,
        encoded: Encoded,
        points: Tensor,
        previous: Tensor,
        variance: bool = False,
    ) -> tuple[GPScores, Tensor | None]:
        """See :meth:`GPCIS.predict`."""
        raw = self.pixels(encoded, points, previous)
        return self.surface(encoded, raw).scores(points, variance)

    def _precision(self) -> torch.autocast:
        low = self._dtype != torch.float32
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=low)
