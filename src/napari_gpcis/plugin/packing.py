"""Planes of labels compressed for a file; unchanged ones are not compressed anew.

A stack is written after each accepted object, of which all but one plane are as they
were: to compress them again would keep a core busy for seconds. Nothing here needs Qt.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from numpy.typing import NDArray

    _Sums = tuple[int, int]

_FAST = 1
"""Level of zlib: labels shrink to less than a hundredth with the least effort too."""


class Packer:
    """Compresses planes, and remembers what came of those it has seen."""

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[_Sums, NDArray[np.uint8]]] = {}

    def pack(self, place: Hashable, plane: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the pixels of a plane in row-major order, compressed with zlib.

        Parameters
        ----------
        place
            Which plane it is; the latest of a place is remembered.
        plane
            Its pixels. Others may change them meanwhile.
        """
        copy = np.array(plane, order="C")
        sums = zlib.crc32(copy.data), zlib.adler32(copy.data)
        known = self._known.get(place)
        if known is None or known[0] != sums:
            packed = np.frombuffer(zlib.compress(copy.data, _FAST), np.uint8)
            known = self._known[place] = sums, packed
        return known[1]


def unpack(
    packed: NDArray[np.uint8], dtype: str, shape: tuple[int, ...]
) -> NDArray[Any]:
    """Return a plane that was packed.

    Raises
    ------
    InputError
        If that is not a plane of this dtype and shape.
    """
    kind = np.dtype(dtype)
    size = int(np.prod(shape)) * kind.itemsize
    try:
        found = zlib.decompressobj().decompress(packed.tobytes(), size + 1)
    except zlib.error as error:
        msg = f"a packed plane is damaged: {error}"
        raise InputError(msg) from error
    if len(found) != size:
        msg = f"a packed plane does not hold {size} bytes, as {shape} {kind} must"
        raise InputError(msg)
    return np.frombuffer(found, kind).reshape(shape)
