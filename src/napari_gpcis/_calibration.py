"""Label images of any number of axes: their planes, and what a pixel is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    Labels = NDArray[np.integer[Any]]

PlaneIndex: TypeAlias = tuple[int, ...]
"""Index on the axes that are not those of the picture, in their order."""

_OTHERS = "TZCRQ"
"""Letters of axes that are not those of the picture; a single one is depth."""


@dataclass(frozen=True)
class Calibration:
    """What a pixel is in the world.

    Attributes
    ----------
    scale
        Size of a pixel along each axis of the labels, at least 0.
    units
        Unit along each axis, such as ``"micrometer"``; ``"pixel"`` where unknown.
    axes
        The two axes of the picture: rows, columns.
    letters
        A letter for each axis, as TIFF names them: ``"TYX"``, ``"ZYX"``.

    Raises
    ------
    InputError
        If these do not belong together.
    """

    scale: tuple[float, ...]
    units: tuple[str, ...]
    axes: tuple[int, int]
    letters: str

    def __post_init__(self) -> None:
        """Check the lengths."""
        count = len(self.scale)
        if not count == len(self.units) == len(self.letters) or count < 2:
            msg = (
                "scale, units and letters must have one entry for each axis, got "
                f"{self.scale}, {self.units} and {self.letters!r}"
            )
            raise InputError(msg)
        if not all(np.isfinite(size) and size > 0 for size in self.scale):
            msg = f"scale must be positive, got {self.scale}"
            raise InputError(msg)

    @classmethod
    def of(
        cls,
        ndim: int,
        scale: Sequence[float] | None = None,
        units: Sequence[str] | str = "pixel",
        axes: tuple[int, int] | None = None,
    ) -> Calibration:
        """Return a calibration with what is usual where nothing is given.

        Parameters
        ----------
        ndim
            Number of axes of the labels.
        scale, units, axes
            As above; the sign of a scale is dropped, one unit counts for all axes.
        """
        if ndim < 2:
            msg = f"labels must have rows and columns, got {ndim} axes"
            raise InputError(msg)
        rows, cols = (ndim - 2, ndim - 1) if axes is None else axes
        if ndim > len(_OTHERS) + 2:
            msg = f"labels may have up to {len(_OTHERS) + 2} axes, got {ndim}"
            raise InputError(msg)
        if not 0 <= rows < cols < ndim:
            msg = f"axes must be two of the {ndim} axes, ascending, got {axes}"
            raise InputError(msg)
        named = (units,) * ndim if isinstance(units, str) else tuple(units)
        others = iter(_OTHERS[: ndim - 2] if ndim != 3 else "Z")
        found = {rows: "Y", cols: "X"}
        name = "".join(found.get(axis) or next(others) for axis in range(ndim))
        sizes = (1.0,) * ndim if scale is None else tuple(abs(float(s)) for s in scale)
        return cls(sizes, named, (rows, cols), name)


def planes(
    labels: ArrayLike, calibration: Calibration | None = None
) -> Iterator[tuple[PlaneIndex, Labels]]:
    """Yield each plane of a label image: its index, and its pixels.

    Raises
    ------
    InputError
        If the labels are no integers, or have less than two axes.
    """
    array = checked(labels)
    known = calibration or Calibration.of(array.ndim)
    moved = np.moveaxis(array, known.axes, (-2, -1))
    for index in np.ndindex(moved.shape[:-2]):
        yield index, moved[index]


def checked(labels: ArrayLike) -> Labels:
    """Return labels as an array of integers.

    Raises
    ------
    InputError
        If they are none, are negative, or have less than two axes.
    """
    array = np.asarray(labels)
    if array.ndim < 2 or array.dtype.kind not in "bui":
        msg = (
            "labels must be integers with at least two axes, got shape "
            f"{array.shape}, dtype {array.dtype}"
        )
        raise InputError(msg)
    if array.size and int(array.min()) < 0:
        msg = f"labels must be 0 or more, got {int(array.min())}"
        raise InputError(msg)
    return array
