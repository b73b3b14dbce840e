"""Decoded files in memory, up to a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

Array = TypeVar("Array", bound=np.ndarray[Any, Any])


class ArrayCache(Generic[Array]):
    """The arrays used last. Each data loading process has its own.

    Parameters
    ----------
    limit
        Bytes of all arrays together.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[Hashable, Array] = OrderedDict()
        self._lock = Lock()
        self.size = 0

    def get(self, key: Hashable, make: Callable[[], Array]) -> Array:
        """Return the array of a key, made now if it is not there.

        Nobody may write to it.
        """
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        array = make()
        array.flags.writeable = False
        with self._lock:
            self._keep(key, array)
        return array

    def _keep(self, key: Hashable, array: Array) -> None:
        if key in self._held or array.nbytes > self._limit:
            return
        self._held[key] = array
        self.size += array.nbytes
        while self.size > self._limit:
            self.size -= self._held.popitem(last=False)[1].nbytes
