"""Predictors for the robot: a session of this package, or a classical method."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpcis_training.evaluation.peers import create_peer
from napari_gpcis.checkpoints import find_checkpoint, read_info
from napari_gpcis.errors import InputError
from napari_gpcis.inference.tidy import DEFAULT_TIDY
from napari_gpcis.session.session import Session

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gpcis_training.evaluation.robot import Predictor
    from napari_gpcis.checkpoints import ModelInfo
    from napari_gpcis.inference.segmenter import Segmenter

PEER_PREFIX = "peer:"
"""``peer:watershed`` and so on name classical methods."""
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Overrides:
    """Settings that replace those of a checkpoint; by default none.

    Parameters
    ----------
    epsilon2
        Noise variance of the Gaussian process at the clicks.
    infer_size
        Side of the square that the network sees.
    fine_size, fine_clicks
        The same after many clicks, see
        :class:`napari_gpcis.checkpoints.InferenceSettings`.
    gp_stride
        Network pixels per pixel of the Gaussian process.
    mirror
        Whether the logits of the mirror image are averaged in.
    raw_mask
        The robot sees where the probability exceeds the threshold, as published,
        without the last step that makes the mask obey every click.
    fast
        Run the copy of the model that the plugin uses on a CPU, rather than the model
        itself.
    tidy
        The mask is tidied as for users: pieces without a click go, small holes are
        filled. Published figures are made without.
    """

    epsilon2: float | None = None
    infer_size: int | None = None
    fine_size: int | None = None
    fine_clicks: int | None = None
    gp_stride: int | None = None
    mirror: bool | None = None
    raw_mask: bool = False
    fast: bool = False
    tidy: bool = False

    def apply(self, info: ModelInfo) -> ModelInfo:
        """Return the notes of a model with the settings in force.

        Raises
        ------
        InputError
            If a value is outside its range.
        """
        settings = {field.name for field in fields(info.inference)}
        given: dict[str, Any] = {
            name: value
            for name, value in asdict(self).items()
            if name in settings and value is not None
        }
        return replace(info, inference=replace(info.inference, **given))

    def __str__(self) -> str:
        """Return the differences for a table; empty if there are none."""
        parts = []
        if self.epsilon2 is not None:
            parts.append(f"ε²={self.epsilon2:g}")
        if self.infer_size is not None:
            parts.append(f"input {self.infer_size}")
        if self.fine_size is not None:
            parts.append(f"later {self.fine_size}" if self.fine_size else "one size")
        if self.fine_clicks is not None:
            parts.append(f"from click {self.fine_clicks}")
        if self.gp_stride is not None:
            parts.append(f"stride {self.gp_stride}")
        if self.mirror is not None:
            parts.append("mirrored too" if self.mirror else "not mirrored")
        if self.fast:
            parts.append("fast")
        if self.tidy:
            parts.append("tidy")
        return ", ".join(parts)


class SessionPredictor:
    """Predictor that drives a :class:`napari_gpcis.Session`, as a user would.

    Parameters
    ----------
    segmenter
        The model.
    raw_mask, tidy
        See :class:`Overrides`.
    """

    def __init__(
        self, segmenter: Segmenter, *, raw_mask: bool = False, tidy: bool = False
    ) -> None:
        self._segmenter = segmenter
        self._raw_mask = raw_mask
        self._tidy = DEFAULT_TIDY if tidy else None
        self._session: Session | None = None

    def start(
        self, image: NDArray[np.generic], first_view: tuple[int, int, int, int] | None
    ) -> None:
        """Open the image in a new session and look at ``first_view``."""
        self._session = Session(self._segmenter, image, tidy=self._tidy)
        self._session.view = first_view

    def click(self, row: int, col: int, positive: bool) -> NDArray[np.bool_]:
        """Add a click and return the mask."""
        if self._session is None:
            msg = "start must be called before click"
            raise RuntimeError(msg)
        found = self._session.add_click(row, col, positive)
        return found.probability > found.threshold if self._raw_mask else found.mask


def create_predictor(
    method: str, device: str = "cpu", overrides: Overrides | None = None
) -> Predictor:
    """Return the predictor of a method.

    Parameters
    ----------
    method
        Name of a model, path of a checkpoint, or ``"peer:NAME"``.
    device
        Device of a model.
    overrides
        Settings that replace those of the checkpoint. Classical methods always obey
        the clicks.

    Raises
    ------
    InputError
        If the overrides are no settings of the method.
    """
    given = overrides or Overrides()
    if method.startswith(PEER_PREFIX):
        if str(given):
            msg = f"overrides ({given}) must be for a model, got {method!r}"
            raise InputError(msg)
        return create_peer(method.removeprefix(PEER_PREFIX))
    from napari_gpcis.checkpoints import load_checkpoint
    from napari_gpcis.inference.segmenter import Segmenter

    model, info = load_checkpoint(method)
    segmenter = Segmenter(model, given.apply(info), device, exact=not given.fast)
    return SessionPredictor(segmenter, raw_mask=given.raw_mask, tidy=given.tidy)


def describe(method: str, overrides: Overrides | None = None) -> dict[str, Any]:
    """Return the full identity of a method: checkpoint, or settings of a peer.

    The result is kept with the figures, and decides whether figures of an interrupted
    evaluation still hold.
    """
    given = overrides or Overrides()
    if method.startswith(PEER_PREFIX):
        predictor = create_predictor(method, overrides=given)
        return {"method": method, "settings": repr(predictor)}
    path = find_checkpoint(method)
    info = read_info(path)
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return {
        **describe_model(info, given),
        "sha256": digest,
        "parameters": count_parameters(path),
    }


def describe_model(info: ModelInfo, overrides: Overrides) -> dict[str, Any]:
    """Return the identity of a model and its settings."""
    settings = overrides.apply(info).inference
    return {
        "method": info.name,
        "architecture": info.architecture,
        "options": info.options,
        "settings": repr(settings),
        "inference": asdict(settings),
        "variant": str(overrides),
        "raw_mask": overrides.raw_mask,
        "training_data": info.training_data,
    }


def count_parameters(checkpoint: Path) -> int:
    """Return the number of trained parameters in a checkpoint (no batch statistics)."""
    from safetensors import safe_open

    count = 0
    with safe_open(checkpoint, framework="numpy") as file:
        names = file.keys()
        for name in names:
            if not name.endswith(_BUFFERS):
                size = 1
                for length in file.get_slice(name).get_shape():
                    size *= length
                count += size
    return count
