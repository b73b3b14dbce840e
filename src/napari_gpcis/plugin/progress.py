"""How far the running object is, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_gpcis.plugin.annotation.plane import PlaneAnnotation


def progress(current: PlaneAnnotation | None) -> str:
    """Say in one line how far the running object is."""
    if current is None:
        return ""
    if current.session is None:
        return "Loading the model and the image ..."
    count = len(current.clicks)
    if not count:
        return "Ready: click on an object."
    parts = [f"{count} click{'s' if count > 1 else ''}"]
    if current.held.label:
        parts.append(_OBJECT[current.held.how].format(current.held.label))
    if current.busy:
        parts.append("computing ...")
    elif current.seconds is not None:
        parts.append(_time(current.seconds))
    return " \u00b7 ".join(parts)


def _time(seconds: float) -> str:
    """Say how long a click took."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


_OBJECT = {
    "add": "object {}",
    "cut": "cutting from object {}",
    "replace": "correcting object {}",
}
