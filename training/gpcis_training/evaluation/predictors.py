"""What the robot can drive: a session of this package, or a classical method."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from gpcis_training.evaluation.peers import create_peer
from napari_gpcis.checkpoints import find_checkpoint, read_info
from napari_gpcis.session import Session

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gpcis_training.evaluation.robot import Predictor
    from napari_gpcis.segmenter import Segmenter

PEER_PREFIX = "peer:"
"""``peer:watershed`` and so on stand for classical methods."""


class SessionPredictor:
    """Drive a :class:`napari_gpcis.Session`, as a person would.

    Parameters
    ----------
    segmenter
        The model.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._session: Session | None = None

    def start(
        self, image: NDArray[np.generic], first_view: tuple[int, int, int, int] | None
    ) -> None:
        """Open the image in a new session and look at ``first_view``."""
        self._session = Session(self._segmenter, image)
        self._session.view = first_view

    def click(self, row: int, col: int, positive: bool) -> NDArray[np.bool_]:
        """Add a click and return the mask."""
        if self._session is None:
            msg = "start must be called before click"
            raise RuntimeError(msg)
        return self._session.add_click(row, col, positive).mask


def create_predictor(method: str, device: str = "cpu") -> Predictor:
    """Return the predictor of a method.

    Parameters
    ----------
    method
        Name of a model, path of a checkpoint, or ``"peer:NAME"``.
    device
        Where a model runs.
    """
    if method.startswith(PEER_PREFIX):
        return create_peer(method.removeprefix(PEER_PREFIX))
    from napari_gpcis.segmenter import Segmenter

    return SessionPredictor(Segmenter.from_pretrained(method, device))


def describe(method: str) -> dict[str, str]:
    """Return what a method is, in full: settings of a peer, identity of a checkpoint.

    The result is kept with the figures, and decides whether figures of an interrupted
    evaluation still hold.
    """
    if method.startswith(PEER_PREFIX):
        return {"method": method, "settings": repr(create_predictor(method))}
    path = find_checkpoint(method)
    info = read_info(path)
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return {
        "method": info.name,
        "settings": repr(info.inference),
        "training_data": info.training_data,
        "sha256": digest,
    }
