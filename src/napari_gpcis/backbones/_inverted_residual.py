"""Inverted residual blocks of mobile networks, as TensorFlow pads them.

Sandler et al. 2018 (MobileNetV2). The convolutions have biases and no batch norm:
published weights are taken with it folded into them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.grad import conv2d_weight

if TYPE_CHECKING:
    from torch import Tensor


class SameConv(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding (more at the bottom and right)."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return shape ``(B, C, ceil(H/stride), ceil(W/stride))``."""
        pads: list[int] = []
        for axis in (1, 0):  # functional.pad starts with the last axis
            size, stride = maps.shape[2 + axis], self.stride[axis]
            span = (self.kernel_size[axis] - 1) * self.dilation[axis] + 1
            total = max((-(-size // stride) - 1) * stride + span - size, 0)
            pads += [total // 2, total - total // 2]
        if pads[0] == pads[1] and pads[2] == pads[3]:
            return functional.conv2d(
                maps,
                self.weight,
                self.bias,
                self.stride,
                (pads[2], pads[0]),
                self.dilation,
                self.groups,
            )
        return super().forward(functional.pad(maps, pads))


class Depthwise5x5(torch.autograd.Function):
    """Depthwise 5x5 convolution of stride 1, with a faster gradient of its weights.

    PyTorch's takes up to forty times as long as the convolution in bfloat16 on a CPU,
    unless the kernel is 3x3. A 5x5 kernel is covered by four of these, which share
    their middle row and column.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor) -> Tensor:
        """Return shape ``(B, C, H, W)``, of maps of that shape, zero beyond them."""
        ctx.save_for_backward(maps, weight)
        return functional.conv2d(maps, weight, padding=2, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients of maps and weight."""
        maps, weight = ctx.saved_tensors
        of_maps = of_weight = None
        if ctx.needs_input_grad[0]:
            turned = weight.flip(2, 3)
            of_maps = functional.conv2d(grad, turned, padding=2, groups=len(weight))
        if ctx.needs_input_grad[1]:
            of_weight = Depthwise5x5._weight_gradient(maps, grad, weight)
        return of_maps, of_weight

    @staticmethod
    def _weight_gradient(maps: Tensor, grad: Tensor, weight: Tensor) -> Tensor:
        """Return the gradient of the weight by four 3x3 convolutions."""
        height, width = maps.shape[2:]
        padded = functional.pad(maps, (2, 2, 2, 2))
        grad = grad.contiguous(memory_format=torch.channels_last)
        found = torch.empty_like(weight)
        for top in (0, 2):
            for left in (0, 2):
                part = padded[..., top : top + height + 2, left : left + width + 2]
                share = conv2d_weight(  # type: ignore[no-untyped-call]
                    part.contiguous(memory_format=torch.channels_last),
                    (len(weight), 1, 3, 3),
                    grad,
                    groups=len(weight),
                )
                found[..., top : top + 3, left : left + 3] = share
        return found


class DepthwiseConv(SameConv):
    """Depthwise convolution with three ways round slow CPU kernels of training.

    A dilated convolution is the plain one on ``d x d`` interleaved sub-images, a
    strided one runs in float32, and a 5x5 one has its own gradient; all of them give
    the same values.

    Parameters
    ----------
    channels
        Number of channels.
    stride, dilation
        Of the convolution.
    kernel
        Side of the kernel, odd.
    """

    def __init__(
        self, channels: int, stride: int, dilation: int, kernel: int = 3
    ) -> None:
        super().__init__(
            channels, channels, kernel, stride, dilation=dilation, groups=channels
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return shape ``(B, C, ceil(H/stride), ceil(W/stride))``."""
        if not (torch.is_grad_enabled() and maps.device.type == "cpu"):
            return super().forward(maps)
        if self.dilation[0] > 1:
            return self._interleaved(maps, self.dilation[0])
        if self.stride[0] > 1:
            with torch.autocast("cpu", enabled=False):
                return super().forward(maps.float())
        return self._plain(maps)

    def _plain(self, maps: Tensor) -> Tensor:
        """Return the convolution of stride and dilation 1."""
        if self.kernel_size != (5, 5):
            padding = self.kernel_size[0] // 2
            return functional.conv2d(
                maps, self.weight, self.bias, padding=padding, groups=self.groups
            )
        weight, bias = self.weight, self.bias
        if torch.is_autocast_enabled("cpu"):
            low = torch.get_autocast_dtype("cpu")
            maps, weight = maps.to(low), weight.to(low)
            bias = None if bias is None else bias.to(low)
        found: Tensor = Depthwise5x5.apply(  # type: ignore[no-untyped-call]
            maps, weight
        )
        return found if bias is None else found + bias[:, None, None]

    def _interleaved(self, maps: Tensor, step: int) -> Tensor:
        height, width = maps.shape[-2:]
        maps = functional.pad(maps, (0, -width % step, 0, -height % step))
        shape = (*maps.shape[:2], maps.shape[2] // step, step, -1, step)
        parts = maps.reshape(shape).permute(3, 5, 0, 1, 2, 4)
        parts = self._plain(parts.flatten(0, 2))
        parts = parts.reshape(step, step, -1, *parts.shape[1:])
        joined = parts.permute(2, 3, 4, 0, 5, 1).flatten(4, 5).flatten(2, 3)
        return joined[..., :height, :width]


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise, project 1x1; identity where shapes allow.

    Parameters
    ----------
    inputs, outputs
        Numbers of channels.
    expansion
        Width of the depthwise convolution, as a multiple of ``inputs``.
    stride, dilation, kernel
        Of the depthwise convolution.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        expansion: int,
        stride: int,
        dilation: int = 1,
        kernel: int = 3,
    ) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = nn.Conv2d(inputs, hidden, 1) if expansion > 1 else None
        self.depthwise = DepthwiseConv(hidden, stride, dilation, kernel)
        self.project = nn.Conv2d(hidden, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        """Return shape ``(B, outputs, ceil(H/stride), ceil(W/stride))``."""
        hidden = maps
        if self.expand is not None:
            hidden = functional.relu6(self.expand(hidden))
        projected: Tensor = self.project(functional.relu6(self.depthwise(hidden)))
        return maps + projected if self.residual else projected
