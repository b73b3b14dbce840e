"""Result of a propagation on one plane: the mask, and how far it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_gpcis.errors import InputError
from napari_gpcis.session.saved import SavedObject

if TYPE_CHECKING:
    from napari_gpcis.clicks import Click
    from napari_gpcis.geometry import Box, Mask
    from napari_gpcis.propagation.pattern import Pattern
    from napari_gpcis.session.saved import SavedSession


@dataclass(frozen=True, eq=False)
class PlaneResult:
    """Mask of an object on one plane, with agreement, certainty and contrast.

    Attributes
    ----------
    box, mask
        Half-open box of the plane, and the mask on it; both empty if there is none.
    clicks
        The clicks that were placed.
    agreement
        IoU with the mask that it began with: that of the plane before, moved with it.
    certainty
        Agreement with the object that the model expects, see
        :func:`~napari_gpcis.next_click.expected_agreement`.
    distinct
        Contrast-to-noise ratio to its surroundings, see :func:`contrast_to_noise`.
    saved
        The clicks and the mask that it began with, as they are saved; ``None`` where
        the user has clicked it.
    brightness, contrast
        Of the channel in which it stands out most: its mean value, and how much that
        is above the mean around it (below: negative). Values in [0, 1].
    doubt
        Reason, in words, for which the user should look at it; empty for none.
    pattern
        The pixels around it, to find it again on the next plane.
    """

    box: Box
    mask: Mask
    clicks: tuple[Click, ...]
    agreement: float
    certainty: float
    distinct: float
    saved: SavedSession | None = None
    brightness: float = 0.0
    contrast: float = 0.0
    doubt: str = ""
    pattern: Pattern | None = None

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.mask))

    def accepted(self, label: int, *, overwrite: bool = False) -> SavedSession:
        """Return what is saved once the object was accepted, to be replayed.

        Parameters
        ----------
        label
            Its id.
        overwrite
            Whether it took pixels of other objects.

        Raises
        ------
        InputError
            If the user has clicked it: then its session has it.
        """
        if self.saved is None:
            msg = "only an object that was carried to its plane can be accepted so"
            raise InputError(msg)
        done = replace(self.saved.current, id=label, overwrite=overwrite)
        nothing = SavedObject((), None, done.threshold)
        return replace(self.saved, objects=(done,), current=nothing)
