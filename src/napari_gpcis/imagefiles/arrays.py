"""NumPy files, and the masks in those that Cellpose's window writes."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from napari_gpcis.imagefiles.planes import plane_index

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

MASKS = "masks"
"""Entry of a Cellpose file that holds its label image."""


def read_numpy(path: Path, plane: Sequence[int] | None) -> tuple[NDArray[Any], str]:
    """Read a NumPy file; the meaning of its axes is not known.

    Of a ``_seg.npy`` file of Cellpose the masks are read. No code in it is run.
    """
    if is_pickled(path):
        array = _cellpose_masks(path)
    else:
        array = np.asarray(np.load(path, allow_pickle=False))
    return (array if plane is None else array[plane_index(array.shape, "", plane)]), ""


def is_pickled(path: Path) -> bool:
    """Return whether a NumPy file holds Python objects in place of numbers.

    Raises
    ------
    ValueError, OSError
        If it is no NumPy file.
    """
    with path.open("rb") as stream:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        return read is not None and bool(read(stream)[2].hasobject)


def _cellpose_masks(path: Path) -> NDArray[Any]:
    """Return the masks of a Cellpose file."""
    with path.open("rb") as stream:
        np.lib.format.read_magic(stream)
        np.lib.format.read_array_header_1_0(stream)
        try:
            content = _NumbersOnly(stream).load().item()
            return np.asarray(content[MASKS])
        except (
            pickle.UnpicklingError,
            AttributeError,
            EOFError,
            IndexError,
            KeyError,
            TypeError,
            ValueError,
        ) as error:
            msg = f"it holds Python objects, and no masks of Cellpose ({error})"
            raise ValueError(msg) from error


class _NumbersOnly(pickle.Unpickler):
    """Unpickler that makes arrays, numbers and plain containers, and nothing else."""

    _ACCEPTED: ClassVar[tuple[tuple[str, str], ...]] = (
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy.core.numeric", "_frombuffer"),
    )

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the few functions that rebuild arrays."""
        if (module.replace("numpy._core", "numpy.core"), name) not in self._ACCEPTED:
            msg = f"{module}.{name} is not accepted"
            raise pickle.UnpicklingError(msg)
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)
