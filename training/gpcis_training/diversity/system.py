"""Both networks and the hypercolumn they read, in memory and as a file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from gpcis_training.config import build
from gpcis_training.diversity.network import Proposals, Selector
from gpcis_training.diversity.options import DiversityConfig
from gpcis_training.diversity.vgg19 import check_same
from napari_gpcis.errors import CheckpointError, InputError
from napari_gpcis.files import replacing

if TYPE_CHECKING:
    import os

    from torch import Tensor

    from gpcis_training.diversity.vgg19 import VGG19

_KEY = "gpcis_diversity"


@dataclass(frozen=True)
class System:
    """Proposals, selector and hypercolumn.

    Parameters
    ----------
    config
        How they were trained.
    proposals
        Network f.
    selector
        Network g; ``None``: the first mask is shown.
    vgg
        The frozen network of the hypercolumn; ``None`` if none is used.
    """

    config: DiversityConfig
    proposals: Proposals
    selector: Selector | None
    vgg: VGG19 | None

    @classmethod
    def create(cls, config: DiversityConfig, vgg: VGG19 | None) -> System:
        """Return untrained networks; the seed of the configuration decides them.

        Raises
        ------
        InputError
            If the hypercolumn is asked for and missing.
        """
        if config.features and vgg is None:
            msg = (
                "VGG-19 must be given by its file (or as 'random'), or features=false "
                "be set: the configuration asks for the hypercolumn"
            )
            raise InputError(msg)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            proposals = Proposals(
                config.masks,
                features=config.features,
                distances=config.distances,
                clicks=config.click_maps,
                output=config.output,
                dilations=config.dilations,
            )
            selector = Selector(config.masks, dilations=config.dilations)
        used = vgg if config.features else None
        return cls(config, proposals, selector if config.selects else None, used)

    def to(self, device: str | torch.device) -> System:
        """Move all networks to a device, and return the system."""
        for network in (self.proposals, self.selector, self.vgg):
            if isinstance(network, nn.Module):
                network.to(device)
        return self

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.proposals.first.weight.device

    def encode(self, image: Tensor) -> Tensor:
        """Return what is the same for all clicks, see :meth:`.Proposals.encode`."""
        maps = () if self.vgg is None else self.vgg(image)
        return self.proposals.encode(image, maps)

    def chosen(self, image: Tensor, guidance: Tensor, masks: Tensor) -> int:
        """Return the index of the mask that is shown."""
        if self.selector is None:
            return 0
        return int(self.selector(image, guidance, masks)[0].argmax())

    def save(self, path: Path) -> None:
        """Write both networks as safetensors, without the VGG-19.

        Raises
        ------
        OSError
            If the disk refuses; an older file is then kept.
        """
        tensors = {
            name: value.cpu().contiguous()
            for name, value in _networks(self).state_dict().items()
        }
        source = None if self.vgg is None else self.vgg.source
        head = {"config": asdict(self.config), "vgg19": source}
        with replacing(path) as draft:
            save_file(tensors, draft, {_KEY: json.dumps(head)})


def load_system(path: str | os.PathLike[str], vgg: VGG19 | None = None) -> System:
    """Read a trained system.

    Parameters
    ----------
    path
        From :meth:`System.save`.
    vgg
        The network of the hypercolumn, with the weights of the training.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged or another one.
    InputError
        If the hypercolumn is needed and missing, or other than in the training.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        msg = f"latent diversity: no file {str(path)!r}"
        raise CheckpointError(msg)
    try:
        with safe_open(path, "pt") as stream:
            text = (stream.metadata() or {}).get(_KEY)
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        msg = f"{path.name} is no readable safetensors file: {error}"
        raise CheckpointError(msg) from error
    head = _head(path, text)
    config: DiversityConfig = build(DiversityConfig, head.get("config"), path.name)
    system = System.create(config, vgg)
    if system.vgg is not None:
        check_same(system.vgg, str(head.get("vgg19")))
    try:
        _networks(system).load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        msg = f"{path.name} does not hold the networks it describes: {reason[:200]}"
        raise CheckpointError(msg) from error
    return system


def _head(path: Path, text: str | None) -> dict[str, Any]:
    try:
        head = json.loads(text or "")
    except ValueError:
        head = None
    if not isinstance(head, dict):
        msg = f"{path.name} holds no networks of latent diversity"
        raise CheckpointError(msg)
    return head


def _networks(system: System) -> nn.ModuleDict:
    parts: dict[str, nn.Module] = {"proposals": system.proposals}
    if system.selector is not None:
        parts["selector"] = system.selector
    return nn.ModuleDict(parts)
