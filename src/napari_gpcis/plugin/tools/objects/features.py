"""Features of the labels layer: a row of measures for each finished object.

napari shows them under the mouse and in its own table.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari_gpcis.objects.measures import equivalent_diameter
from napari_gpcis.plugin.background import BackgroundThread
from napari_gpcis.plugin.debouncing import Debouncer
from napari_gpcis.plugin.tools.base import Tool

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from qtpy.QtCore import QObject

    from napari_gpcis.objects.classes import ClassedObjects
    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.background import Job
    from napari_gpcis.plugin.tools.objects.index import Found, ObjectIndex

DELAY = 500
"""Milliseconds of quiet before the features are made anew."""
NAMES = (
    "index",
    "class",
    "area",
    "equivalent_diameter",
    "mean_intensity",
    "origin",
    "clicks",
    "quality",
)
"""Columns; napari takes ``index`` for the label. Areas are in pixels."""


class LabelFeatures(Tool):
    """Keeps the features of the labels layer as the index of objects is.

    The table is made on a thread; other columns, of the user or of another plugin, stay
    for the objects that are still there.

    Parameters
    ----------
    controller
        Its annotations are followed.
    index
        The finished objects.
    parent
        Qt parent.
    """

    def __init__(
        self, controller: Controller, index: ObjectIndex, parent: QObject | None = None
    ) -> None:
        super().__init__(controller, parent)
        self._index = index
        self._thread = BackgroundThread(self, "features of objects")
        self._debouncer = Debouncer(self._make, DELAY, self)
        self._shown: pd.DataFrame | None = None
        index.looked_up.connect(self._on_change)
        index.ended.connect(self._on_ended)

    def close(self) -> None:
        """Let go of the annotation, and end the thread."""
        super().close()
        self._thread.close()

    def on_attached(self, annotation: Annotation) -> None:
        """Follow the classes."""
        self._shown = None
        self.follow(annotation.events.classes_changed, self._on_change)

    def on_detached(self, annotation: Annotation) -> None:  # noqa: ARG002
        """Leave the features to what the index finds last."""
        self._debouncer.cancel()
        self._thread.cancel("features")

    def _on_change(self, *_: Any) -> None:
        if self.annotation is not None:
            self._debouncer.throttle()

    def _make(self) -> None:
        """Have the table made of the objects as they are now."""
        annotation = self.annotation
        if annotation is None:
            return
        rows = self._index.objects()
        if rows or self._shown is not None:
            work = _job(annotation, rows)
            self._thread.submit("features", work, self._on_made)

    def _on_made(self, made: pd.DataFrame | None, _seconds: float) -> None:
        annotation = self.annotation
        if annotation is None or made is None:
            return
        if self._shown is None or not made.equals(self._shown):
            annotation.layers.labels.features = made
            self._shown = made

    def _on_ended(self, annotation: Annotation, rows: list[Found]) -> None:
        """Have the table made of all objects of an annotation that has ended."""
        labels = annotation.layers.labels

        def show(made: pd.DataFrame | None, _seconds: float) -> None:
            now = self.annotation
            again = now is not None and now.layers.labels == labels
            if made is not None and not again:
                labels.features = made

        if rows or "index" in labels.features:
            work = _job(annotation, rows)
            self._thread.submit(("last", id(annotation)), work, show)


def _job(annotation: Annotation, rows: list[Found]) -> Job:
    """Return what makes the table of some objects."""
    labels = annotation.layers.labels
    axes = rows[0].plane.axes if rows else (0, 0)
    pixel = tuple(abs(float(labels.scale[axis])) for axis in axes)
    return partial(features, rows, annotation.classes, pixel, labels.features)


def features(
    rows: list[Found],
    classes: ClassedObjects,
    pixel: tuple[float, ...],
    before: pd.DataFrame,
    _cancelled: Callable[[], bool],
) -> pd.DataFrame:
    """Return the table, one row for each object; of several planes the largest part.

    Parameters
    ----------
    rows
        The objects.
    classes
        Their classes.
    pixel
        Height and width of a pixel.
    before
        The table that there was, whose other columns stay.
    """
    import pandas as pd

    largest: dict[int, Found] = {}
    for one in rows:
        known = largest.get(one.label)
        if known is None or known.entry.area < one.entry.area:
            largest[one.label] = one
    objects = [largest[label] for label in sorted(largest)]
    notes = [one.note for one in objects]
    columns = (
        [one.label for one in objects],
        [classes.of(one.label).name for one in objects],
        [one.entry.area for one in objects],
        [equivalent_diameter(one.entry.area, *pixel) for one in objects],
        [float("nan") if one.mean is None else one.mean for one in objects],
        ["" if note is None else note.origin for note in notes],
        [0 if note is None else note.clicks for note in notes],
        [float("nan") if one.quality is None else one.quality for one in objects],
    )
    made = pd.DataFrame(dict(zip(NAMES, columns, strict=True)))
    others = [name for name in before.columns if name not in NAMES]
    if others and "index" in before.columns:
        kept = before[["index", *others]].drop_duplicates("index")
        made = made.merge(kept, on="index", how="left")
    return made
