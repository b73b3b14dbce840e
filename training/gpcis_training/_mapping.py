"""From mappings, as YAML has them, to dataclasses; what does not fit is named."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from napari_gpcis.errors import InputError


def build(kind: Any, content: Any, where: str) -> Any:
    """Turn a mapping into a dataclass.

    Parameters
    ----------
    kind
        The dataclass; its fields may be dataclasses, or tuples of one.
    content
        The mapping.
    where
        What it is called in errors.

    Raises
    ------
    InputError
        If an entry is unknown, missing or ill-typed.
    """
    if not isinstance(content, dict):
        msg = f"{where}: expected a mapping, got {content!r}"
        raise InputError(msg)
    known = {entry.name for entry in fields(kind)}
    unknown = sorted(set(content) - known)
    if unknown:
        msg = f"{where}: unknown entries {unknown}; known: {sorted(known)}"
        raise InputError(msg)
    hints = get_type_hints(kind)
    values = {
        key: _convert(hints[key], value, f"{where}: {key}")
        for key, value in content.items()
    }
    try:
        return kind(**values)
    except TypeError as error:
        msg = f"{where}: {error}"
        raise InputError(msg) from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    if is_dataclass(hint):
        return build(hint, value, where)
    if get_origin(hint) is tuple and is_dataclass(get_args(hint)[0]):
        return tuple(build(get_args(hint)[0], entry, where) for entry in value)
    if isinstance(value, list):
        return tuple(value)
    if hint in (float, float | None) and isinstance(value, int | str):
        try:
            return float(value)
        except ValueError as error:
            msg = f"{where} must be a number, got {value!r}"
            raise InputError(msg) from error
    if hint in (int, str, bool) and not isinstance(value, hint):
        msg = f"{where} must be of type {hint.__name__}, got {value!r}"
        raise InputError(msg)
    return value


def set_entry(content: dict[str, Any], assignment: str) -> None:
    """Change one entry of a mapping, in place.

    Parameters
    ----------
    content
        The mapping.
    assignment
        ``KEY=VALUE``; dots lead into mappings (``optimiser.lr=1e-3``), the value is
        YAML (``data=[{path: cells}]``).

    Raises
    ------
    InputError
        If it is no assignment, or a dot leads into something else than a mapping.
    """
    key, sign, text = assignment.partition("=")
    *path, last = key.split(".")
    if not sign or not last:
        msg = f"set must be KEY=VALUE, got {assignment!r}"
        raise InputError(msg)
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        msg = f"set: the value of {key} is not valid YAML: {error}"
        raise InputError(msg) from error
    for name in path:
        content = content.setdefault(name, {})
        if not isinstance(content, dict):
            msg = f"set: {name} in {key!r} is no mapping"
            raise InputError(msg)
    content[last] = value
