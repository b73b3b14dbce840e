"""Random initialisation of layers for training."""

from __future__ import annotations

import math

from torch import nn

_NORMS = (nn.BatchNorm2d, nn.LayerNorm)


def initialise(module: nn.Module) -> None:
    """Draw the weights of all layers of a module, in place, as published.

    Weights of convolutions and linear layers are normal with variance
    ``2 / ((fan_in + fan_out) / 2)`` (Gaussian Xavier of magnitude 2), their biases 0;
    norm layers start as the identity. Other parameters are left as they are.

    Parameters
    ----------
    module
        A network or a part of one; itself and all modules in it are visited.
    """
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_normal_(layer.weight, gain=math.sqrt(2))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, _NORMS):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
