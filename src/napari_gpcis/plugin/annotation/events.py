"""Signals of one annotation, for other parts of the plugin."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal


class AnnotationEvents(QObject):
    """Signals of one annotation; all are emitted in the GUI thread."""

    plane_entered = Signal()
    """Another plane is displayed (or the same one anew)."""
    plane_changed = Signal()
    """The displayed plane is another one, or none, or its session has been opened."""
    clicking_changed = Signal(bool)
    """True if from now on a click on the canvas is a click on an object."""
    current_changed = Signal()
    """The current object of a plane has changed, or how far its mask is."""
    clicks_changed = Signal(object)
    """Clicks of a plane (:class:`.PlaneAnnotation`) are not what they were."""
    waiting_changed = Signal(object)
    """An object of a plane (:class:`.PlaneAnnotation`) was accepted before its mask is
    there, or is not accepted any more."""
    ending = Signal()
    """The annotation may end now: what is being clicked is as it will be left."""
    predicted = Signal(object)
    """A plane (:class:`.PlaneAnnotation`) has a new mask, or none any more."""
    whole = Signal()
    """A large mask, which was drawn in portions, is drawn, or taken away."""
    seen = Signal()
    """The mask of a plane that was found last is on the screen."""
    accepted = Signal(object, int)
    """A plane's current object was finished under this id."""
    objects_changed = Signal(object)
    """Finished objects of these planes (of :class:`.Plane`) were added, reopened,
    changed or deleted, by whatever it was."""
    drawn_by_others = Signal(object)
    """Pixels of these planes were changed in place, not by the plugin: by the brush."""
    planes_written = Signal(object)
    """Finished objects of these planes were changed at once, which may have closed
    their sessions."""
    step_made = Signal(object, object)
    """On a :class:`.Plane` that is not open a step was made: a `SavedSession` of it."""
    object_changed = Signal(object, object)
    """On a :class:`.Plane` that is not open a step was made: a `SavedObject` of it."""
    object_deleted = Signal(object, int)
    """On a :class:`.Plane` that is not open the object of this id was deleted."""
    step_withdrawn = Signal(object, int)
    """The last step of a :class:`.Plane` that is not open, on this id, was undone."""
    classes_changed = Signal()
    """Classes, or which objects are of them, are not what they were."""
    rejections_changed = Signal()
    """Candidates of a search were rejected, or are not any more."""
    edit_redone = Signal(object)
    """An edit of finished objects (a :class:`.ObjectEdit`) was redone."""
    edit_undone = Signal(object)
    """An edit of finished objects (a :class:`.ObjectEdit`) was undone."""
