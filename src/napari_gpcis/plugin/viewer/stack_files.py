"""Files of a stack: the one that each plane was read from, where each has its own.

napari opens several files as one stack by a lazy array, one block a file, and remembers
only the first of them. Their names stand in the array's graph of tasks.
"""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Index = tuple[int, ...]

MOST_BLOCKS = 1 << 17
"""Arrays of more blocks are not looked at: they are one file in many pieces."""


def plane_files(data: Any, ndim: int, axes: tuple[int, int]) -> dict[Index, str]:
    """Return the file that each plane was read from, as it is to be named.

    Parameters
    ----------
    data
        An array of any kind; only those of dask tell.
    ndim
        Number of its axes without that of colours.
    axes
        The two axes of the planes, ascending.

    Returns
    -------
    dict
        By the index on the other axes: the name of the file, with as much of its folder
        as tells it from the others. Empty unless the planes come from several files,
        each from one.
    """
    keys = getattr(data, "__dask_keys__", None)
    if keys is None:  # chunks of zarr and HDF5 are something else
        return {}
    chunks = data.chunks
    if not chunks or np.prod([len(sizes) for sizes in chunks]) > MOST_BLOCKS:
        return {}
    graph = dict(data.__dask_graph__())
    known: dict[Any, frozenset[str]] = {}
    others = [axis for axis in range(ndim) if axis not in axes]
    found: dict[Index, str] = {}
    for block in product(*(range(len(chunks[axis])) for axis in others)):
        place = dict(zip(others, block, strict=True))
        key = keys()
        for axis in range(len(chunks)):
            key = key[place.get(axis, 0)]
        files = _files(key, graph, known)
        if len(files) != 1:
            return {}
        (file,) = files
        for index in product(*(_range(chunks[a], place[a]) for a in others)):
            found[index] = file
    return _named(found)


def _range(sizes: tuple[int, ...], block: int) -> range:
    """Return the indices of a block along an axis."""
    start = sum(sizes[:block])
    return range(start, start + sizes[block])


def _files(
    key: Any, graph: Mapping[Any, Any], known: dict[Any, frozenset[str]]
) -> frozenset[str]:
    """Return the files that the tasks of a block name."""
    if key not in known:
        known[key] = frozenset()  # a graph has no circles; an odd one ends here
        found: set[str] = set()
        for value in _values(graph[key]):
            if _is_key(value, graph):
                found |= _files(value, graph, known)
            elif isinstance(value, (str, Path)) and _is_file(value):
                found.add(os.fspath(value))
        known[key] = frozenset(found)
    return known[key]


def _is_key(value: Any, graph: Mapping[Any, Any]) -> bool:
    """Return whether a value is the key of a task."""
    try:
        return value in graph
    except TypeError:  # it holds something that is no key at all
        return False


def _is_file(name: str | Path) -> bool:
    """Return whether a text is the name of a file."""
    try:
        return Path(name).is_file()
    except OSError:  # far too long for one
        return False


def _values(task: Any) -> Iterator[Any]:
    """Yield what a task works on: keys of other tasks, and arguments."""
    yield from getattr(task, "dependencies", ())
    arguments = [*getattr(task, "args", ()), *getattr(task, "kwargs", {}).values()]
    if isinstance(task, (list, tuple)):
        arguments += task
    for value in arguments:
        if isinstance(value, (str, Path)):
            yield value
        elif isinstance(value, list):
            yield from _values(value)
        elif isinstance(value, tuple):
            yield value
            yield from _values(value)


def _named(files: dict[Index, str]) -> dict[Index, str]:
    """Return names without the folder that all files share."""
    different = set(files.values())
    if len(different) < 2:
        return {}
    try:
        shared = os.path.commonpath([Path(file).parent for file in different])
    except ValueError:  # on several drives
        return files
    return {i: Path(file).relative_to(shared).as_posix() for i, file in files.items()}
