"""Classes of objects: names and colours, and which object is of which class."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_gpcis.errors import InputError, check_kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["DEFAULT_CLASS", "ClassedObjects", "ObjectClass", "check_classes"]

COLOURS = (
    "#9e9e9e",
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#cc79a7",
    "#0072b2",
    "#d55e00",
    "#ffffff",
)
"""Colours of new classes, in order; apart for colour-blind users as well."""
MOST_CLASSES = 1000
_COLOUR = re.compile("#[0-9a-fA-F]{6}")


class ObjectClass(NamedTuple):
    """Name and colour of a kind of objects; the colour is like ``"#e69f00"``."""

    name: str
    colour: str


DEFAULT_CLASS = ObjectClass("object", COLOURS[0])
"""Class of all objects that were given none."""


@dataclass(frozen=True)
class ClassedObjects:
    """Classes, and the objects of each; cannot be changed.

    Attributes
    ----------
    classes
        The classes; the first is that of objects that were given none.
    numbers
        Number of the class of an object, from 0, by the object's id; objects that are
        missing are of the first.
    """

    classes: tuple[ObjectClass, ...] = (DEFAULT_CLASS,)
    numbers: Mapping[int, int] = field(default_factory=dict)

    @property
    def used(self) -> bool:
        """True if there is more than one class."""
        return len(self.classes) > 1

    def of(self, label: int) -> ObjectClass:
        """Return the class of an object."""
        return self.classes[self.numbers.get(label, 0)]

    def number_of(self, name: str) -> int:
        """Return the number of a class.

        Raises
        ------
        InputError
            If no class has this name.
        """
        for number, one in enumerate(self.classes):
            if one.name == name:
                return number
        names = ", ".join(repr(one.name) for one in self.classes)
        msg = f"class must be one of {names}, got {name!r}"
        raise InputError(msg)

    def members(self, number: int, labels: Iterable[int]) -> list[int]:
        """Return those of some objects that are of a class, by its number."""
        return [label for label in labels if self.numbers.get(label, 0) == number]

    def with_class(self, number: int) -> ClassedObjects:
        """Return these with so many classes that one has this number.

        Raises
        ------
        InputError
            If the number is below 0, or there would be too many.
        """
        if not 0 <= number < MOST_CLASSES:
            msg = f"a class must be a number from 0 to {MOST_CLASSES - 1}, got {number}"
            raise InputError(msg)
        known = {one.name for one in self.classes}
        found = [*self.classes]
        while len(found) <= number:
            place = len(found)
            name = f"class {place + 1}"
            while name in known:
                name += "'"
            known.add(name)
            found.append(ObjectClass(name, COLOURS[place % len(COLOURS)]))
        return replace(self, classes=tuple(found))

    def with_classes(self, classes: Sequence[ObjectClass]) -> ClassedObjects:
        """Return these with further classes, of names that are not there yet.

        Parameters
        ----------
        classes
            The classes; the first is taken only where there is none yet.
        """
        if self == ClassedObjects():
            return replace(self, classes=tuple(classes) or self.classes)
        names = {one.name for one in self.classes}
        more = [one for one in classes[1:] if one.name not in names]
        return replace(self, classes=(*self.classes, *more))

    def named(
        self, number: int, name: str | None = None, colour: str | None = None
    ) -> ClassedObjects:
        """Return these with another name or colour of a class.

        Raises
        ------
        InputError
            If there is no such class, another one has the name, or the colour is none.
        """
        before = self.with_class(number).classes
        one = ObjectClass(
            before[number].name if name is None else str(name).strip(),
            before[number].colour if colour is None else colour,
        )
        others = [other.name for n, other in enumerate(before) if n != number]
        if not one.name or one.name in others:
            msg = f"a class must have a name of its own, got {one.name!r}"
            raise InputError(msg)
        if not _COLOUR.fullmatch(str(one.colour)):
            msg = f"a colour must be like '#e69f00', got {one.colour!r}"
            raise InputError(msg)
        return replace(self, classes=(*before[:number], one, *before[number + 1 :]))

    def assigned(self, labels: Mapping[int, int]) -> ClassedObjects:
        """Return these with other classes of some objects.

        Parameters
        ----------
        labels
            Number of the class by id.
        """
        known = self.with_class(max(labels.values(), default=0))
        numbers = {**self.numbers, **labels}
        return replace(known, numbers={k: n for k, n in numbers.items() if n})

    def without_unused(self, least: int) -> ClassedObjects:
        """Return these without the last classes that no object has, down to `least`."""
        last = max([0, *self.numbers.values()])
        return replace(self, classes=self.classes[: max(least, last + 1)])

    def to_list(self) -> list[dict[str, Any]]:
        """Return the JSON form; empty while there is one class, not renamed."""
        if self == ClassedObjects():
            return []
        ids: list[list[int]] = [[] for _ in self.classes]
        for label, number in sorted(self.numbers.items()):
            ids[number].append(label)
        return [
            {**one._asdict(), "ids": there}
            for one, there in zip(self.classes, ids, strict=True)
        ]

    @classmethod
    def from_list(cls, data: Any) -> ClassedObjects:
        """Return classes from their JSON form; `KeyError` or so if it is damaged."""
        found = cls()
        for number, one in enumerate(data):
            found = found.named(number, str(one["name"]), str(one["colour"]))
            found = found.assigned({int(label): number for label in one["ids"]})
        return found


def check_classes(classes: Any) -> None:
    """Raise `InputError` unless classes are those of objects, or ``None``."""
    if classes is not None:
        expected = "a ClassedObjects, as `session.classes`"
        check_kind(classes, ClassedObjects, "classes", expected)
