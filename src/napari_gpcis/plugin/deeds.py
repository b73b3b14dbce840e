"""What was done to finished objects: the changes of one deed, plane by plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weakref import ReferenceType

    from napari_gpcis.geometry import Mask
    from napari_gpcis.plugin.viewer.planes import Plane
    from napari_gpcis.session.labels import FinishedObject, LabelChange
    from napari_gpcis.session.session import Session


@dataclass(frozen=True, eq=False)
class Part:
    """What a deed has changed on one plane.

    Attributes
    ----------
    plane, label
        Where, and which object.
    change
        The pixels.
    session, step
        The session that has it as a step; ``None`` if none was open.
    left
        The object's pixels in the box of the change, where a run has written them.
    """

    plane: Plane
    label: int
    change: LabelChange
    session: ReferenceType[Session] | None = None
    step: FinishedObject | None = None
    left: Mask | None = None


@dataclass(frozen=True, eq=False)
class Deed:
    """What was done at once.

    Attributes
    ----------
    parts
        The changes, plane by plane; none for an object that was accepted: its
        session knows them.
    planes
        All planes concerned.
    words
        What to say once it is undone.
    alone
        Whether it can only be undone as long as nothing was accepted after it.
    accepted
        The step of an object that was accepted, and the session that has it.
    """

    parts: tuple[Part, ...]
    planes: frozenset[Plane]
    words: str = ""
    alone: bool = False
    accepted: tuple[FinishedObject, ReferenceType[Session]] | None = None
