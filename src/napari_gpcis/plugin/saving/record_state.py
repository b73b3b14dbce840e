"""State of a record that has ended, for one that goes on with its labels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from napari_gpcis.plugin.saving.identity import (
    ImageIdentity,
    identity_of,
    is_opened_again,
)
from napari_gpcis.plugin.viewer.planes import Plane
from napari_gpcis.session.labels import digest_of

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_gpcis.plugin.annotation.annotation import Annotation
    from napari_gpcis.prompts import SavedAnnotation, SavedPlane


class RecordState(NamedTuple):
    """What is known of a record when it ends, for one that goes on with its labels.

    Attributes
    ----------
    saved
        All prompts.
    image_id, image
        The ``unique_id`` of the image, and by what else it is known again.
    digests
        Of the mask of each unfinished object that is drawn, see `digest_of`.
    active_class, version, settled, drawn
        See `Record`.
    """

    saved: SavedAnnotation
    image_id: str
    image: ImageIdentity
    digests: dict[Plane, str | None]
    active_class: str
    version: int
    settled: int
    drawn: bool

    def is_on(self, image: Image) -> bool:
        """Return whether it is of an image, or of the same that was opened again."""
        same = str(image.unique_id) == self.image_id
        return same or is_opened_again(self.image, identity_of(image))

    def going_on(self, annotation: Annotation) -> SavedAnnotation | None:
        """Return the prompts whose unfinished objects go on with an annotation.

        Where the pixels of one are not what they were, they stay as they are: it goes
        on as if it had not been drawn.

        Returns
        -------
        SavedAnnotation or None
            ``None`` if there are none, or image or shape are others.
        """
        labels = annotation.layers.labels.data
        if not self.saved.unfinished or labels.shape != self.saved.shape:
            return None
        if not self.is_on(annotation.image):
            return None

        def checked(plane: SavedPlane) -> SavedPlane:
            if not plane.running:
                return plane
            known = self.digests.get(Plane(plane.axes, plane.steps))
            now = digest_of(labels[plane.index], plane.running)
            return plane if now == known else replace(plane, running=0)

        planes = tuple(map(checked, self.saved.planes))
        return replace(self.saved, planes=planes)
