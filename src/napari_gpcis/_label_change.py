"""What one step has changed in a label image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_gpcis.geometry import Box, Mask


@dataclass(frozen=True, eq=False)
class LabelChange:
    """The pixels that one step changed.

    Attributes
    ----------
    box
        Half-open box of the image.
    where
        Which of its pixels were changed, bool.
    before, after
        Their values, integers in the order of ``np.nonzero(where)``; or, without an
        axis, the one value of all of them.
    """

    box: Box
    where: Mask
    before: NDArray[Any]
    after: NDArray[Any]

    def stands(self, region: NDArray[Any]) -> Mask:
        """Return which of the pixels are still as they were left.

        Parameters
        ----------
        region
            What the box holds now.
        """
        if self.after.ndim == 0:
            alike: Mask = self.where & (region == self.after)
            return alike
        same = self.where.copy()
        same[self.where] = region[self.where] == self.after
        return same

    def before_at(self, pixels: Mask) -> NDArray[Any]:
        """Return what some of the pixels were before, one value if all were alike."""
        if self.before.ndim == 0:
            return self.before
        return self.before[pixels[self.where]]
