"""The session of the displayed plane for scripts; changes are drawn at once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_gpcis.errors import InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_gpcis.clicks import Click
    from napari_gpcis.inference.prediction import Prediction
    from napari_gpcis.inference.tidy import Tidy
    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.annotation.plane import PlaneAnnotation
    from napari_gpcis.session.labels import WriteMode
    from napari_gpcis.session.session import Session


class ViewerSession:
    """A `Session` whose viewer follows: points, mask and objects are drawn.

    It is that of the plane that is displayed when a method is called. Methods predict
    in place, so the window waits for them; what is not listed here is that of
    `Session`.

    Parameters
    ----------
    controller
        The widget's controller.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._view: tuple[Session, Any] | None = None

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the session."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._session, name)

    def __repr__(self) -> str:
        """Say which session it is."""
        annotation = self._controller.annotation
        if annotation is None or annotation.current is None:
            return "<a session that has ended: press Start>"
        return f"<the session of {annotation.image.name!r}, {annotation.current.plane}>"

    # -- state -----------------------------------------------------------------

    @property
    def labels(self) -> NDArray[np.int32]:
        """The objects of the plane as the labels layer shows them, a copy (H, W)."""
        labels = self._annotation.layers.labels.data
        return np.array(self._plane.plane.take(labels), dtype=np.int32)

    @property
    def view(self) -> Any:
        """View that the next first click is zoomed to, see `Session.view`; may be set.

        Otherwise it is the part of the plane that is seen, as for a click of the mouse.
        """
        return self._session.view

    @view.setter
    def view(self, view: Sequence[float] | None) -> None:
        session = self._session
        session.view = view
        self._view = session, session.view

    @property
    def expected_size(self) -> float | None:
        """Diameter that objects of the plane are expected to have; may be set."""
        return self._session.expected_size

    @expected_size.setter
    def expected_size(self, size: float | None) -> None:
        self._session.expected_size = size

    @property
    def threshold(self) -> float:
        """Probability above which a pixel is object; the mask is drawn anew if set."""
        return float(self._session.threshold)

    @threshold.setter
    def threshold(self, threshold: float) -> None:
        self._session.threshold = threshold
        self._controller.writing.threshold = self._session.threshold
        self._plane.show_session()

    @property
    def tidy(self) -> Tidy | None:
        """Rules by which the mask is tidied, see `Session.tidy`; drawn anew if set.

        For the object being clicked; those after it follow the preferences.
        """
        return self._session.tidy

    @tidy.setter
    def tidy(self, tidy: Tidy | None) -> None:
        with self._changing() as session:
            session.current.tidy = tidy

    # -- clicks ----------------------------------------------------------------

    def add_click(self, row: float, col: float, positive: bool = True) -> Prediction:
        """Add a click and predict, see `Session.add_click`."""
        with self._changing() as session:
            return session.add_click(row, col, positive)

    def replace_clicks(self, clicks: Iterable[Click]) -> Prediction | None:
        """Make these the clicks of the object, see `Session.replace_clicks`."""
        with self._changing() as session:
            return session.replace_clicks(clicks)

    def choose(self, index: int) -> Prediction | None:
        """Make an alternative the mask of the object, see `Session.choose`."""
        with self._changing() as session:
            return session.choose(index)

    def undo(self) -> Prediction | None:
        """Take the last change of the clicks back, see `Session.undo`."""
        session = self._settled()
        possible, found = session.can_undo, session.undo()
        if possible:
            self._annotation.undo_stack.note_undone_click(self._plane)
        return self._shown(found)

    def redo(self) -> Prediction | None:
        """Repeat what was undone, see `Session.redo`."""
        session = self._settled()
        possible, found = session.can_redo, session.redo()
        if possible:
            self._annotation.undo_stack.note_redone_click(self._plane)
        return self._shown(found)

    def clear(self) -> Prediction | None:
        """Remove all clicks, see `Session.clear`."""
        with self._changing() as session:
            return session.clear()

    # -- objects ---------------------------------------------------------------

    def accept(
        self,
        *,
        label: int | None = None,
        overwrite: bool | None = None,
        how: WriteMode | None = None,
    ) -> int:
        """Finish the object, see `Session.accept`; one undo step of the layer.

        Parameters
        ----------
        label, how
            As there; by default what the button would do.
        overwrite
            As there; by default the user's preference.
        """
        session, plane = self._settled(), self._plane
        if session.prediction is None:
            session.accept()  # raises what is missing
        if (label, overwrite, how) != (None, None, None):
            plane.drawn.write_as(label, how, overwrite)
        before = len(session.steps)
        plane.show_session()
        plane.accept()
        if len(session.steps) == before:
            raise InputError(self._annotation.message)
        self._view = None
        return int(session.steps[-1].id)

    def undo_accept(self) -> Prediction | None:
        """Take the last `accept` (or `delete`) back, see `Session.undo_accept`."""
        session = self._settled()
        if session.clicks or not session.steps:
            session.reopen()  # raises why not
        annotation = self._annotation
        annotation.say(annotation.undo_stack.undo(self._plane))
        return self._shown(session.replace_clicks(session.clicks))

    def refine(self, label: int) -> None:
        """Make a finished object the current one, to correct it by clicks."""
        annotation, plane = self._annotation, self._plane
        plane.finish_waiting()
        mask = self.labels == label
        if not mask.any():
            msg = f"label must be the id of an object in the labels, got {label!r}"
            raise InputError(msg)
        rows, cols = np.nonzero(mask)
        row, col = int(rows.min()), int(cols.min())
        part = mask[row : rows.max() + 1, col : cols.max() + 1]
        if not plane.begin_with(part, (row, col), label=int(label)):
            raise InputError(annotation.message)
        session = self._session
        self._shown(session.replace_clicks(session.clicks))

    def delete(self, label: int) -> None:
        """Delete an object, see `Session.delete`."""
        if not self._annotation.delete([(self._plane.plane, int(label))]):
            msg = f"label must be the id of a finished object, got {label!r}"
            raise InputError(msg)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the prompts of this plane, see `Session.save`."""
        self._session.save(path)

    # -- steps -----------------------------------------------------------------

    @property
    def _annotation(self) -> Annotation:
        annotation = self._controller.annotation
        if self._controller.closed:
            msg = "napari or the widget was closed: the session has ended"
            raise InputError(msg)
        if annotation is None:
            msg = "nothing is annotated: call start() first"
            raise InputError(msg)
        return annotation

    @property
    def _plane(self) -> PlaneAnnotation:
        plane = self._annotation.current
        if plane is None:
            raise InputError(self._annotation.message)
        return plane

    @property
    def _session(self) -> Session:
        session = self._plane.session
        if session is None:
            msg = "the plane is not open yet: wait until widget.session is not None"
            raise InputError(msg)
        return session

    def _settled(self) -> Session:
        """Return the session, once no object waits to be accepted any more."""
        session = self._session
        self._plane.finish_waiting()
        return session

    @contextmanager
    def _changing(self) -> Iterator[Session]:
        """Give the session, and draw what has become of it."""
        session, plane = self._ready(), self._plane
        before = session.clicks, session.current.steps
        try:
            yield session
        finally:
            if (session.clicks, session.current.steps) != before:
                self._annotation.undo_stack.forget_undone()
                if not before[0]:  # nothing of clicks that were undone before
                    plane.drawn.forget_before(session.current)
            plane.show_session()

    def _ready(self) -> Session:
        """Return the session, with the view that the user has for a first click."""
        session = self._settled()
        if not session.clicks:
            asked = self._view
            known = asked is not None and asked[0] is session
            session.view = asked[1] if asked and known else self._plane.view
        return session

    def _shown(self, prediction: Prediction | None) -> Prediction | None:
        self._plane.show_session()
        return prediction
