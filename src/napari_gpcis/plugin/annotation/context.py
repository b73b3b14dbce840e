"""Context of an annotation: all that the planes of one image share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Image

    from napari_gpcis.clicks import Click
    from napari_gpcis.plugin.annotation.click_layers import ClickLayers
    from napari_gpcis.plugin.annotation.events import AnnotationEvents
    from napari_gpcis.plugin.annotation.notes import ObjectNotes
    from napari_gpcis.plugin.annotation.undo.stack import UndoStack
    from napari_gpcis.plugin.background import BackgroundThread
    from napari_gpcis.plugin.labels.write_mode import WriteOptions
    from napari_gpcis.plugin.labels.writer import LabelsWriter
    from napari_gpcis.plugin.viewer.frames import Frames
    from napari_gpcis.plugin.viewer.layers import AnnotationLayers
    from napari_gpcis.plugin.viewer.planes import Plane
    from napari_gpcis.similar import Candidate


@dataclass(frozen=True)
class AnnotationContext:
    """Layers, events and helpers that all planes of an image share.

    Attributes
    ----------
    image, layers
        The image and the layers on it.
    click_layers, writer
        The clicks in the points layers and the writer of the labels layer.
    worker
        The inference thread.
    frames
        Tells when what is drawn is on the screen.
    events
        Where to report what others may want to hear.
    writing
        What the user has chosen about writing.
    undo_stack
        What was done to finished objects on all planes.
    is_tiled
        Returns whether a plane is read tile by tile.
    say
        Tells the user something.
    drawn
        Told when an answer for a plane has been drawn.
    offered
        Returns the candidate of a search that a first click on a plane corrects.
    notes
        Notes of how the objects came.
    """

    image: Image
    layers: AnnotationLayers
    click_layers: ClickLayers
    writer: LabelsWriter
    worker: BackgroundThread
    frames: Frames
    events: AnnotationEvents
    writing: WriteOptions
    undo_stack: UndoStack
    say: Callable[[str], None]
    is_tiled: Callable[[Plane], bool]
    drawn: Callable[[Plane], None]
    offered: Callable[[Plane, Click], Candidate | None]
    notes: ObjectNotes
