"""Weights of learned alternatives: a file beside the checkpoint that they belong to.

They were trained on the features of one network and mean nothing on those of another.
So their file names that network's fingerprint, and is used with no other.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_gpcis.checkpoints.info import ModelInfo, read_info
from napari_gpcis.checkpoints.registry import SUFFIX, find_checkpoint
from napari_gpcis.errors import CheckpointError

if TYPE_CHECKING:
    import os

    from napari_gpcis.model.proposal_head import ProposalHead

ARCHITECTURE = "proposal_head"
FOLDER_NAME = "alternatives"
"""Folder beside the checkpoints; a file has the name of its model's."""


def proposals_file(path_or_name: str | os.PathLike[str]) -> Path:
    """Return the file for the learned alternatives of a model; it need not exist.

    Parameters
    ----------
    path_or_name
        Of a model that is here.

    Raises
    ------
    UnknownModelError
        If no model has that name.
    CheckpointError
        If the model is not here.
    """
    file = find_checkpoint(path_or_name)
    return file.parent / FOLDER_NAME / f"{file.stem}{SUFFIX}"


def load_proposals(
    path: str | os.PathLike[str],
) -> tuple[ProposalHead, ModelInfo]:
    """Load learned alternatives; nothing in the file is executed.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    head : ProposalHead
        In evaluation mode, float32, on the CPU.
    info : ModelInfo
        What the file says about itself; its ``extra["model"]`` is the fingerprint of
        the network that it belongs to.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged or of another kind.
    """
    import torch  # heavy

    from napari_gpcis.checkpoints.weights import fill_network, read_weights
    from napari_gpcis.model.proposal_head import ProposalHead

    file = Path(path).expanduser()
    info = read_info(file)
    if info.architecture != ARCHITECTURE:
        msg = f"checkpoint {file} is a {info.architecture} network, no alternatives"
        raise CheckpointError(msg)
    try:
        with torch.random.fork_rng(devices=[]):
            head = ProposalHead(**info.options)
    except (TypeError, ValueError) as error:
        msg = f"checkpoint {file} needs a network that cannot be built: {error}"
        raise CheckpointError(msg) from error
    fill_network(head, read_weights(file), file)
    return head.eval(), info


def matching_proposals(
    path_or_name: str | os.PathLike[str], model: ModelInfo
) -> ProposalHead | None:
    """Load the learned alternatives of a model; ``None`` if there are none for it.

    Parameters
    ----------
    path_or_name
        The model, which is here.
    model
        What its checkpoint says about itself.

    Raises
    ------
    CheckpointError
        If there is a file, and it is damaged.
    """
    file = proposals_file(path_or_name)
    if not file.is_file():
        return None
    head, info = load_proposals(file)
    return head if belongs(info, model) else None


def belongs(info: ModelInfo, model: ModelInfo) -> bool:
    """Return whether learned alternatives were trained on the features of a model.

    Parameters
    ----------
    info
        Of the learned alternatives.
    model
        Of the model.
    """
    known = model.extra.get("fingerprint")
    return known is not None and info.extra.get("model") == known
