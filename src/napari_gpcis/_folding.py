"""Networks rearranged for evaluation on a CPU; the same function, fewer passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

if TYPE_CHECKING:
    from collections.abc import Callable


def fold_batch_norm(network: nn.Module, run: Callable[[], object]) -> None:
    """Multiply batch norms into the convolutions before them, in place.

    Parameters
    ----------
    network
        In evaluation mode; not to be trained any more.
    run
        Runs the network once, on anything: what follows what is seen from that.
    """
    pairs = _followed(network, run)
    folded = {id(norm) for _, norm in pairs}
    fused = {id(conv): fuse_conv_bn_eval(conv, norm) for conv, norm in pairs}
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if id(child) in fused:
                setattr(module, name, fused[id(child)])
            elif id(child) in folded:
                setattr(module, name, nn.Identity())


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
        if type(part) is nn.Conv2d:
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
