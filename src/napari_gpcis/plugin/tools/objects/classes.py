"""Classes of objects: a key or the list gives one to objects, or to those to come."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from qtpy.QtCore import Signal

from napari_gpcis.objects.classes import ClassedObjects, ObjectClass
from napari_gpcis.plugin.settings.commands import CLASS_KEYS
from napari_gpcis.plugin.tools.base import Tool
from napari_gpcis.wording import counted_are

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from qtpy.QtCore import QObject

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.annotation.plane import PlaneAnnotation
    from napari_gpcis.plugin.annotation.undo.edits import ObjectEdit

FROM_NOW_ON = "Objects are of the class {!r} from now on."


class _Given(NamedTuple):
    """Classes of objects before and after an edit, and all classes with those it made.

    Of these there were ``known`` before it.
    """

    before: dict[int, int]
    after: dict[int, int]
    classes: tuple[ObjectClass, ...]
    known: int


class ObjectClasses(Tool):
    """Gives classes to objects, each time as one step of undo.

    The classes of one image, without its objects, go along to the next.

    Parameters
    ----------
    controller
        Its annotations are followed.
    chosen
        Returns the ids of the objects that a class is given to; without any, objects
        get it that are accepted from then on.
    parent
        Qt parent.
    """

    changed = Signal()
    """Emitted when classes, their members, or the active one are others."""

    def __init__(
        self,
        controller: Controller,
        chosen: Callable[[], list[int]],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(controller, parent)
        self._chosen = chosen
        self._edits: WeakKeyDictionary[ObjectEdit, _Given] = WeakKeyDictionary()
        self._undone: WeakKeyDictionary[ObjectEdit, dict[int, int]] = (
            WeakKeyDictionary()
        )
        self._before: tuple[tuple[ObjectClass, ...], str] | None = None
        for number in range(CLASS_KEYS):
            controller.register(f"class_{number + 1}", partial(self.choose, number))

    @property
    def known(self) -> ClassedObjects:
        """The classes of the annotation."""
        annotation = self.annotation
        return ClassedObjects() if annotation is None else annotation.classes

    @property
    def active(self) -> int:
        """Number of the class of objects that are accepted from now on."""
        annotation = self.annotation
        return 0 if annotation is None else annotation.active_class

    def on_attached(self, annotation: Annotation) -> None:
        """Follow what is accepted, undone and redone."""
        events = annotation.events
        self.follow(events.accepted, self._on_accepted)
        self.follow(events.edit_undone, self._on_undone)
        self.follow(events.edit_redone, self._on_redone)
        self.follow(events.classes_changed, self._on_classes)
        if self._before is not None:
            classes, active = self._before
            known = annotation.classes.with_classes(classes)
            annotation.take_classes(known, active)
        self.changed.emit()

    def on_detached(self, annotation: Annotation) -> None:
        """Know of no class any more; the next image begins with the same ones."""
        classes = annotation.classes.classes
        self._before = classes, classes[annotation.active_class].name
        self._edits.clear()
        self._undone.clear()
        self.changed.emit()

    def choose(self, number: int) -> None:
        """Give a class, by its number, to what is chosen, or to all from now on."""
        if self.annotation is None:
            return
        labels = self._chosen()
        if labels:
            self.assign(labels, number)
        else:
            self.activate(number)

    def activate(self, number: int) -> None:
        """Give a class to objects that are accepted from now on."""
        annotation = self.annotation
        if annotation is None:
            return
        annotation.active_class = number
        self._set(annotation.classes.with_class(number))
        self.say(FROM_NOW_ON.format(self.known.classes[number].name))

    def assign(self, labels: Iterable[int], number: int) -> None:
        """Give a class to objects, as one step of undo."""
        annotation, chosen = self.annotation, [*dict.fromkeys(labels)]
        if annotation is None or not chosen:
            return
        classes = annotation.classes
        before = {label: classes.numbers.get(label, 0) for label in chosen}
        after = dict.fromkeys(chosen, number)
        assigned = classes.assigned(after)
        given = _Given(before, after, assigned.classes, len(classes.classes))
        self._set(assigned)
        name, count = annotation.classes.classes[number].name, len(chosen)
        objects = counted_are(count, "object")
        edit = annotation.undo_stack.add_note(
            f"{objects} of the class before again.", f"{objects} of {name!r} again."
        )
        self._edits[edit] = given
        self.say(f"{objects} of the class {name!r} now.")

    def rename(self, number: int, name: str | None, colour: str | None = None) -> None:
        """Give a class another name or colour.

        Raises
        ------
        InputError
            If another class has the name.
        """
        if self.annotation is not None:
            self._set(self.annotation.classes.named(number, name, colour))

    def _set(self, classes: ClassedObjects) -> None:
        annotation = self.annotation
        if annotation is not None:
            annotation.classes = classes
            annotation.events.classes_changed.emit()

    def _on_classes(self) -> None:
        self.changed.emit()

    def _on_accepted(self, plane: PlaneAnnotation, label: int) -> None:
        """Give a new object the class that was active when the user accepted it."""
        session, annotation = plane.session, self.annotation
        if annotation is None or session is None:
            return
        number = None
        if plane.finished is not None:
            number = plane.objects.class_numbers.pop(plane.finished, None)
        if session.steps[-1].how == "add":
            annotation.classify_accepted(label, number)

    def _on_undone(self, edit: ObjectEdit) -> None:
        """Take back the classes of an edit; keep those that its objects have had."""
        numbers = self.known.numbers
        labels = (part.label for part in edit.parts)
        self._undone[edit] = {label: numbers.get(label, 0) for label in labels}
        given = self._edits.get(edit)
        if given is not None:
            known = self.known.assigned(given.before)
            made = given.classes[given.known :]
            if known.classes[given.known :] == made:  # none was made or renamed since
                known = known.without_unused(max(given.known, self.active + 1))
            self._set(known)

    def _on_redone(self, edit: ObjectEdit) -> None:
        """Give objects the classes again that they have had."""
        if self.annotation is not None:
            self.annotation.classify(self._undone.pop(edit, {}))
        given = self._edits.get(edit)
        if given is not None:
            self._set(self.known.assigned(given.after))
