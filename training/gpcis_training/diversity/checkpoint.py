"""Files of trained networks: safetensors with their configuration."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from gpcis_training.config import build
from gpcis_training.diversity.network import Design, Proposals, Selector
from gpcis_training.diversity.vgg19 import Source
from napari_gpcis.errors import CheckpointError, InputError
from napari_gpcis.files import replacing

if TYPE_CHECKING:
    import os

    from torch import Tensor

    from gpcis_training.diversity.config import DiversityConfig

_FORMAT = "gpcis-diversity-1"
_PROPOSALS, _SELECTOR = "proposals.", "selector."


@dataclass(frozen=True)
class TrainedDiversity:
    """Both networks with their notes.

    Parameters
    ----------
    name
        Of the model.
    proposals, selector
        The networks; without a selector the first mask is shown.
    vgg
        Origin of the weights of VGG-19 that they were trained with; ``None`` for
        networks that see no features.
    recipe
        Entries of the configuration.
    ablation
        Name of the row of the published Table 4, empty for none.
    """

    name: str
    proposals: Proposals
    selector: Selector | None
    vgg: Source | None
    recipe: dict[str, Any]
    ablation: str = ""

    @property
    def size(self) -> int:
        """Longer side of the images it was trained with, pixels; 0: any."""
        return int(self.recipe.get("size", 0))


def save_diversity(
    path: Path,
    config: DiversityConfig,
    proposals: Proposals,
    selector: Selector | None,
    vgg: Source | None,
) -> None:
    """Write both networks; an older file is replaced only by a complete one."""
    tensors = {_PROPOSALS + k: v for k, v in proposals.state_dict().items()}
    if selector is not None:
        tensors |= {_SELECTOR + k: v for k, v in selector.state_dict().items()}
    notes = {
        "format": _FORMAT,
        "recipe": json.dumps(config.recipe()),
        "vgg": json.dumps(vgg),
        "ablation": config.ablation,
    }
    plain = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    with replacing(path) as draft:
        save_file(plain, draft, metadata=notes)


def load_diversity(path: str | os.PathLike[str]) -> TrainedDiversity:
    """Read both networks.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged or of another kind.
    """
    file = Path(path).expanduser()
    notes, tensors = _read(file)
    if notes.get("format") != _FORMAT:
        msg = f"{file.name} holds no networks of gpcis-train diversity"
        raise CheckpointError(msg)
    try:
        recipe = json.loads(notes["recipe"])
        design: Design = build(Design, recipe["design"], file.name)
        source = json.loads(notes["vgg"])
        proposals = Proposals(design)
        proposals.load_state_dict(_part(tensors, _PROPOSALS))
        selector = Selector(design) if _part(tensors, _SELECTOR) else None
        if selector is not None:
            selector.load_state_dict(_part(tensors, _SELECTOR))
        vgg = None if source is None else Source(*source)
    except (KeyError, TypeError, ValueError, RuntimeError, InputError) as error:
        reason = str(error).partition("\n")[0]
        msg = f"{file.name} is damaged: {reason}"
        raise CheckpointError(msg) from error
    return TrainedDiversity(
        str(recipe["name"]), proposals, selector, vgg, recipe, notes["ablation"]
    )


def _read(file: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return notes and tensors of a file."""
    if not file.is_file():
        msg = f"no file {str(file)!r} of trained networks"
        raise CheckpointError(msg)
    try:
        with safe_open(file, framework="pt") as content:
            names = content.keys()
            tensors = {name: content.get_tensor(name) for name in names}
            return content.metadata() or {}, tensors
    except (OSError, SafetensorError) as error:
        msg = f"{file.name} is no readable safetensors file: {error}"
        raise CheckpointError(msg) from error


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)
    }
