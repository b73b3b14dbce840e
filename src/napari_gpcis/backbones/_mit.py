"""The encoder of SegFormer-B0: the mix transformer MiT-B0 (Xie et al. 2021).

Four stages at strides 4, 8, 16 and 32. Inside a stage, pixels are tokens
``(B, h * w, C)``; between stages they are maps ``(B, C, h, w)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK_EPS = 1e-6
_DROP_PATH = 0.1
_MLP_RATIO = 4


class _Stage(NamedTuple):
    """Sizes of one stage; all of them have two blocks."""

    width: int
    heads: int
    reduction: int


STAGES = (
    _Stage(width=32, heads=1, reduction=8),
    _Stage(width=64, heads=2, reduction=4),
    _Stage(width=160, heads=5, reduction=2),
    _Stage(width=256, heads=8, reduction=1),
)
_DEPTH = 2


def _to_tokens(maps: Tensor) -> Tensor:
    """Return maps ``(B, C, h, w)`` as tokens ``(B, h * w, C)``."""
    return maps.flatten(2).transpose(1, 2)


def _to_maps(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """Return tokens ``(B, h * w, C)`` as maps ``(B, C, h, w)``."""
    return tokens.transpose(1, 2).reshape(len(tokens), -1, *size)


class PatchEmbedding(nn.Module):
    """Overlapping patches: a strided convolution and a norm over channels.

    Parameters
    ----------
    inputs, outputs
        Channels.
    kernel
        Odd side of a patch.
    stride
        Pixels between patches.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, maps: Tensor) -> Tensor:
        """Return shape ``(B, outputs, ceil(H/stride), ceil(W/stride))``."""
        patches: Tensor = self.proj(maps)
        tokens: Tensor = self.norm(_to_tokens(patches))
        return _to_maps(tokens, (patches.shape[-2], patches.shape[-1]))


class _Attention(nn.Module):
    """Self-attention whose keys and values are on a grid ``reduction`` times coarser.

    ``kv`` gives the keys, then the values.
    """

    def __init__(self, stage: _Stage) -> None:
        super().__init__()
        width, self.heads, self.reduction = stage
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)
        if self.reduction > 1:
            self.sr = nn.Conv2d(width, width, self.reduction, self.reduction)
            self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """Return shape ``(B, h * w, width)``."""
        query = self._split(self.q(tokens))
        key, value = self.kv(self._reduce(tokens, size)).chunk(2, dim=-1)
        attended = functional.scaled_dot_product_attention(
            query, self._split(key), self._split(value)
        )
        mixed: Tensor = self.proj(attended.transpose(1, 2).flatten(2))
        return mixed

    def _split(self, tokens: Tensor) -> Tensor:
        """Return shape ``(B, heads, tokens, width / heads)``."""
        split = tokens.reshape(*tokens.shape[:2], self.heads, -1)
        return split.transpose(1, 2)

    def _reduce(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """Return one token for each whole square of the reduced grid.

        As published, rows and columns beyond the last whole square are left out. A
        grid smaller than one square, which has no published form, is filled up with
        zeros.
        """
        if self.reduction == 1:
            return tokens
        missing = [max(self.reduction - side, 0) for side in size]
        maps = functional.pad(_to_maps(tokens, size), (0, missing[1], 0, missing[0]))
        reduced: Tensor = self.norm(_to_tokens(self.sr(maps)))
        return reduced


class _MixFFN(nn.Module):
    """Linear, depthwise 3x3 (encodes position), GELU, linear."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = _MLP_RATIO * width
        self.fc1 = nn.Linear(width, hidden)
        self.dwconv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """Return shape ``(B, h * w, width)``."""
        hidden = _to_tokens(self.dwconv(_to_maps(self.fc1(tokens), size)))
        mixed: Tensor = self.fc2(functional.gelu(hidden))
        return mixed


class _Block(nn.Module):
    """Attention and mix-FFN, each normalised before and added to its input.

    In training mode either addition is left out for whole images at rate
    ``drop_path`` (stochastic depth).
    """

    def __init__(self, stage: _Stage, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(stage.width, eps=_BLOCK_EPS)
        self.attn = _Attention(stage)
        self.norm2 = nn.LayerNorm(stage.width, eps=_BLOCK_EPS)
        self.mlp = _MixFFN(stage.width)
        self.drop_path = drop_path

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """Return shape ``(B, h * w, width)``."""
        tokens = tokens + self._thin(self.attn(self.norm1(tokens), size))
        return tokens + self._thin(self.mlp(self.norm2(tokens), size))

    def _thin(self, branch: Tensor) -> Tensor:
        if not (self.training and self.drop_path > 0):
            return branch
        kept = functional.dropout(branch.new_ones(len(branch), 1, 1), self.drop_path)
        return branch * kept


class MiTStage(nn.Module):
    """Patch embedding, two blocks and a norm.

    Parameters
    ----------
    inputs
        Channels of the input.
    index
        Which of the four stages, from 0.
    """

    def __init__(self, inputs: int, index: int) -> None:
        super().__init__()
        stage = STAGES[index]
        kernel, stride = (7, 4) if index == 0 else (3, 2)
        self.embed = PatchEmbedding(inputs, stage.width, kernel, stride)
        last = len(STAGES) * _DEPTH - 1
        rates = [_DROP_PATH * (index * _DEPTH + j) / last for j in range(_DEPTH)]
        self.blocks = nn.ModuleList(_Block(stage, rate) for rate in rates)
        self.norm = nn.LayerNorm(stage.width, eps=_BLOCK_EPS)

    def forward(self, maps: Tensor) -> Tensor:
        """Return shape ``(B, width, h, w)``."""
        embedded: Tensor = self.embed(maps)
        size = (embedded.shape[-2], embedded.shape[-1])
        tokens = _to_tokens(embedded)
        for block in self.blocks:
            tokens = block(tokens, size)
        return _to_maps(self.norm(tokens), size)


class MiTB0(nn.Module):
    """The four stages; the caller runs them, since clicks enter between them."""

    def __init__(self) -> None:
        super().__init__()
        inputs = [3, *(stage.width for stage in STAGES)]
        self.stages = nn.ModuleList(
            MiTStage(inputs[index], index) for index in range(len(STAGES))
        )


def initialise(module: nn.Module) -> None:
    """Draw the weights of all layers of a module, in place, as SegFormer does.

    Linear layers: normal of standard deviation 0.02, truncated. Convolutions: normal
    of variance ``2 / fan_out`` (He), ``fan_out`` counted for one group. Biases are 0
    and norms start as the identity.

    Parameters
    ----------
    module
        A network or a part of one; itself and all modules in it are visited.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02)
        elif isinstance(layer, nn.Conv2d):
            fan_out = layer.weight[:, 0].numel() // layer.groups
            nn.init.normal_(layer.weight, std=(2.0 / fan_out) ** 0.5)
        elif isinstance(layer, nn.BatchNorm2d | nn.LayerNorm):
            nn.init.ones_(layer.weight)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
