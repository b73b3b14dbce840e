"""Layers of the plugin: made, checked, and found again.

Layers are recognised by a mark in their metadata and kept as objects, never by name:
the user may rename and reorder them at will.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from napari.layers import Labels, Points

from napari_gpcis.errors import InputError
from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.viewer.palette import colormap_of, colours_for
from napari_gpcis.plugin.viewer.planes import layer_shape
from napari_gpcis.session.labels import MAX_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.components import ViewerModel
    from napari.layers import Image, Layer
    from numpy.typing import NDArray

_Layer = TypeVar("_Layer", Labels, Points)

MARK = "napari-gpcis"
"""Key in a layer's metadata under which its role is noted."""

RIGHT_BUTTON = 2


POSITIVE_COLOUR = "#56b4e9"
NEGATIVE_COLOUR = "#e69f00"
"""Sky blue and orange, distinct for any colour vision, on light and dark ground."""

OBJECT_OPACITY = 0.5
"""Opacity of masks: the image below is visible, to judge the boundary."""
CLICK_SIZE = 6.0
"""Diameter of a click in pixels of the image: small objects are still seen."""
EDGE_COLOUR, EDGE_WIDTH = "#202020", 0.1
"""Dark line around positive clicks: visible on masks of any colour."""
ON_SCREEN = (4, 16)
"""Least and largest size of a click, in pixels of the canvas.

The outline of a selected point is at least half the least size thick: with a larger
one it would hide the whole point, and with it the colour of its sign.
"""

_GEOMETRY = ("scale", "translate", "rotate", "shear", "units", "axis_labels")


class AnnotationLayers(NamedTuple):
    """Layers of one annotated image: positive clicks, negative clicks, labels."""

    positive: Points
    negative: Points
    labels: Labels


def geometry(image: Layer) -> dict[str, Any]:
    """Return the arguments that place a new layer exactly on ``image``."""
    placed = {name: getattr(image, name) for name in _GEOMETRY if hasattr(image, name)}
    return {**placed, "affine": np.asarray(image.affine)}


def lies_on(layer: Layer, image: Layer) -> bool:
    """Return whether pixels of both layers lie at the same place in the world."""
    if layer.ndim != image.ndim:
        return False
    corners = np.vstack([np.zeros(image.ndim), np.eye(image.ndim)])
    return all(
        np.allclose(layer.data_to_world(corner), image.data_to_world(corner))
        for corner in corners
    )


LAID = (
    "The masks in {!r} had no scale and place of their own: they were given those of "
    "{!r}."
)
COPIED = "{!r} was {}: its layer now holds a copy in memory."
NOT_IN_MEMORY, READ_ONLY = "not in memory", "read-only"
SHARED = "an array in which several pixels are one"
OTHER_ORDER = "stored in the byte order of other computers"
"""Why labels cannot be written into pixel by pixel."""
SEVERAL_SIZES = (
    "The labels layer {!r} has several resolutions, and such labels cannot be edited. "
    "In its controls choose resolution 0; then right-click it in the layer list: New "
    "layer from selected multiscale level. Or choose 'New layer'."
)
MOST_COPIED = 1 << 31
"""Labels that cannot be written into are copied up to this many bytes."""


def fit_labels(labels: Labels, image: Layer) -> str:
    """Make labels fit that can be annotated but for their place or their memory.

    Returns
    -------
    str
        What was done, for the user; empty if nothing.

    Raises
    ------
    InputError
        If they are locked, or cannot be made writable.
    """
    check_unlocked(labels)
    laid = lay_on(labels, image)
    notes = [LAID.format(labels.name, image.name)] * laid
    if layer_shape(labels) == layer_shape(image) and (why := make_writable(labels)):
        notes.append(COPIED.format(labels.name, why))
    return " ".join(notes)


def lay_on(labels: Labels, image: Layer) -> bool:
    """Lay masks that came without a pixel size on the image; return whether they did.

    Masks from a plain TIFF know no scale, while the reader of the image has set one:
    of the same shape, and never moved or scaled, they can lie nowhere else.
    """
    same = layer_shape(labels) == layer_shape(image)
    if not same or not is_unplaced(labels) or lies_on(labels, image):
        return False
    for name, value in geometry(image).items():
        setattr(labels, name, value)
    return True


def is_unplaced(layer: Layer) -> bool:
    """Return whether a layer was never moved, scaled or turned."""
    corners = np.vstack([np.zeros(layer.ndim), np.eye(layer.ndim)])
    return all(np.allclose(layer.data_to_world(corner), corner) for corner in corners)


def make_writable(labels: Labels) -> str:
    """Give labels pixels of their own if theirs cannot be written one by one.

    Arrays of an image library, and files that are mapped for reading, are read-only;
    those of zarr and dask are not in memory; of a broadcast array one write would
    change several pixels; and integers of the other byte order are not all drawn by
    napari.

    Returns
    -------
    str
        Why they were copied; empty if they were not.

    Raises
    ------
    InputError
        If that would take more than 2 GiB.
    """
    why = "" if labels.multiscale else _why_not_writable(labels.data)
    if why:
        check_size_of_copy(labels)
        data = np.asarray(labels.data)
        labels.data = np.array(data, dtype=data.dtype.newbyteorder("="), order="C")
    return why


def check_size_of_copy(labels: Labels) -> None:
    """Check that labels can be written into, or be copied into memory.

    Raises
    ------
    InputError
        If that would take more than 2 GiB.
    """
    data = labels.data
    size = math.prod(data.shape) * data.dtype.itemsize
    if size > MOST_COPIED and (why := _why_not_writable(data)):
        instead = "Open it for writing, or choose" if why == READ_ONLY else "Choose"
        msg = (
            f"The labels layer {labels.name!r} is {why}, and its "
            f"{size / 2**30:.1f} GiB are too many to copy. {instead} 'New layer'."
        )
        raise InputError(msg)


def _why_not_writable(data: Any) -> str:
    """Return why pixels of labels cannot be written one by one; empty if they can."""
    if not isinstance(data, np.ndarray):
        return NOT_IN_MEMORY
    if not data.flags.writeable:
        return READ_ONLY
    shared = any(
        stride == 0 and size > 1
        for stride, size in zip(data.strides, data.shape, strict=True)
    )
    if shared:
        return SHARED
    return "" if data.dtype.isnative else OTHER_ORDER


def check_unlocked(labels: Labels) -> None:
    """Check that nobody has locked a labels layer, by ``editable = False``.

    Raises
    ------
    InputError
        If it is locked.
    """
    if not labels.editable and not labels.multiscale:  # those are never editable
        msg = (
            f"The labels layer {labels.name!r} is locked (editable=False): no mask is "
            "written into it. Set its 'editable' to True, or choose another layer."
        )
        raise InputError(msg)


def obstacle(labels: Labels, image: Layer) -> str:
    """Return why labels cannot be annotated, even by `fit_labels`, or an empty text."""
    try:
        check_labels(labels, image, may_lay=True)
    except InputError as error:
        return str(error)
    return ""


def check_labels(labels: Labels, image: Layer, *, may_lay: bool = False) -> None:
    """Check that masks of ``image`` can be written into a labels layer.

    Parameters
    ----------
    labels, image
        The layers.
    may_lay
        Whether `fit_labels` comes yet: labels that were never placed may be laid on the
        image, and those that are not in memory be copied.

    Raises
    ------
    InputError
        If the shape or place differs, or the layer cannot be edited.
    """
    check_unlocked(labels)
    want, got = layer_shape(image), layer_shape(labels)
    if got != want:
        msg = (
            f"The labels layer {labels.name!r} has the shape {got}, but the image "
            f"{image.name!r} has {want}. Choose a labels layer of the same shape, "
            "or 'New layer'."
        )
        raise InputError(msg)
    if not (may_lay and is_unplaced(labels)) and not lies_on(labels, image):
        msg = (
            f"The labels layer {labels.name!r} lies elsewhere than the image "
            f"{image.name!r} (another scale or position). Give it the image's scale "
            "and position, or choose 'New layer'."
        )
        raise InputError(msg)
    if labels.multiscale:
        raise InputError(SEVERAL_SIZES.format(labels.name))
    if may_lay:
        check_size_of_copy(labels)
    elif not isinstance(labels.data, np.ndarray):
        msg = (
            f"The labels layer {labels.name!r} cannot be edited "
            f"({type(labels.data).__name__}); it must hold a NumPy array in memory. "
            "Choose 'New layer'."
        )
        raise InputError(msg)


def check_room(labels: Labels, highest: int) -> None:
    """Check that an id above ``highest`` fits into a labels layer.

    Raises
    ------
    InputError
        If it does not.
    """
    kind = labels.data.dtype
    limit = min(int(np.iinfo(kind).max), MAX_ID)
    if highest > MAX_ID:
        msg = (
            f"The labels layer {labels.name!r} has the id {highest}; ids up to "
            f"{MAX_ID} can be annotated. Choose 'New layer', or give its objects "
            "smaller ids (skimage.segmentation.relabel_sequential)."
        )
        raise InputError(msg)
    if highest >= limit:
        msg = (
            f"The labels layer {labels.name!r} has no id left: {kind} holds ids up to "
            f"{limit}, and {highest} is in use. Choose 'New layer', or right-click it "
            "in the layer list: Convert data type > Convert to int32."
        )
        raise InputError(msg)


def claim_layers(
    viewer: ViewerModel, image: Image, labels: Labels | None, *, anew: bool = False
) -> AnnotationLayers:
    """Return the layers for clicks and masks on ``image``: own earlier or new ones.

    Parameters
    ----------
    viewer
        The viewer that shows the image.
    image
        The image to annotate.
    labels
        The labels layer to write into; ``None`` takes this image's earlier one, or
        makes a new one if there is none or it is locked.
    anew
        Whether ``None`` makes a new one in any case.

    Raises
    ------
    InputError
        If the given labels layer does not fit the image, is locked, or has no id left.
    """
    labels = labels or (None if anew else open_labels(viewer, image))
    if labels is None:
        labels = new_labels(viewer, image)
    else:
        check_labels(labels, image)
        check_room(labels, int(labels.data.max(initial=0)))
    negative = _own_points(viewer, "negative", image)
    positive = _own_points(viewer, "positive", image)
    return AnnotationLayers(
        positive or _new_points(viewer, image, True),
        negative or _new_points(viewer, image, False),
        unwrapped(labels),
    )


def unwrapped(layer: Any) -> Any:
    """Return a layer or viewer without the proxy through which plugins get it.

    A script that puts a proxy back into the layer list, after its layer was removed,
    makes Qt crash. So proxies are not handed on.
    """
    return getattr(layer, "__wrapped__", layer)


def annotated_labels(viewer: ViewerModel, image: Layer) -> Labels | None:
    """Return the labels layer that was made for an image; ``None`` without one."""
    found: Labels | None = _own(viewer, "labels", image)
    return found


def open_labels(viewer: ViewerModel, image: Layer) -> Labels | None:
    """Return the labels layer that was made for an image, unless it is locked."""
    own = annotated_labels(viewer, image)
    return own if own is not None and own.editable else None


NAMES = {
    "labels": "{} objects",
    "positive": "positive clicks on {}",
    "negative": "negative clicks on {}",
    "curves": "outlines on {}",
    "display": ".+ on {}",
    "channels": "{}, channels [0-9, ]+",
}
"""Names that layers get here, by their role: patterns with the name of the image."""
_NUMBERED = r"( \[\d+\])?"
"""What napari appends to a name that another layer has."""


class NameFollower:
    """Names the layers that were made for an image anew when it is renamed.

    Those that the user has named keep their names.

    Parameters
    ----------
    viewer
        The viewer.
    image
        The image.
    """

    def __init__(self, viewer: ViewerModel, image: Layer) -> None:
        self._viewer, self._image, self._name = viewer, image, image.name
        self._connections = Connections()
        self._connections.connect(image.events.name, self._on_renamed)

    def close(self) -> None:
        """Follow the name no more."""
        self._connections.end()

    def _on_renamed(self, _event: Any = None) -> None:
        before, self._name = self._name, self._image.name
        for layer in self._viewer.layers:
            if not is_made_for(layer, self._image):
                continue
            pattern = NAMES.get(layer.metadata[MARK]["role"])
            if pattern is None:
                continue
            # the name in the middle: words around it may contain it, too
            begin, end = pattern.split("{}")
            found = re.fullmatch(
                f"({begin}){re.escape(before)}({end}){_NUMBERED}", layer.name
            )
            if found:
                layer.name = f"{found[1]}{self._name}{found[2]}"


def replace_layer(viewer: ViewerModel, old: Labels, new: Labels) -> None:
    """Show a labels layer instead of another one.

    Parameters
    ----------
    viewer
        The viewer.
    old
        Removed if it was made here; a layer of the user's is hidden.
    new
        Moved to its place.
    """
    if old not in viewer.layers:
        return
    if MARK not in old.metadata:
        old.visible = False
        return
    place = viewer.layers.index(old)
    viewer.layers.move(viewer.layers.index(new), place)
    active = viewer.layers.selection.active
    name = old.name
    viewer.layers.remove(old)
    new.name = name
    if active is not None and active in viewer.layers:
        viewer.layers.selection.active = active


def is_made_here(layer: Layer) -> bool:
    """Return whether a layer was made by the plugin, for whichever image."""
    return MARK in layer.metadata


def is_made_for(layer: Layer, image: Layer) -> bool:
    """Return whether a layer of labels or clicks was made here for an image."""
    mark = layer.metadata.get(MARK)
    return isinstance(mark, dict) and mark.get("image") == str(image.unique_id)


def adopt_layers(viewer: ViewerModel, before: str, image: Layer) -> None:
    """Let layers that were made for an image that is gone belong to another one.

    Parameters
    ----------
    viewer
        The viewer.
    before
        The ``unique_id`` of the image that they were made for; if it is there, they
        stay its own.
    image
        The image that was opened in its place.
    """
    if any(str(layer.unique_id) == before for layer in viewer.layers):
        return
    for layer in viewer.layers:
        mark = layer.metadata.get(MARK)
        if isinstance(mark, dict) and mark.get("image") == before:
            layer.metadata[MARK] = {**mark, "image": str(image.unique_id)}


def _own(viewer: ViewerModel, role: str, image: Layer) -> Any:
    """Return the layer made earlier for this role on this image, if it still fits."""
    made = _made_for(viewer, role, image)
    return next((layer for layer in made if lies_on(layer, image)), None)


def _own_points(viewer: ViewerModel, role: str, image: Layer) -> Any:
    """Return the image's points layer of a sign; an empty one is laid on it."""
    own = _own(viewer, role, image)
    if own is not None:
        return own
    for layer in _made_for(viewer, role, image):
        if layer.ndim == image.ndim and not len(layer.data):  # the image was moved
            for name, value in geometry(image).items():
                setattr(layer, name, value)
            return layer
    return None


def _made_for(viewer: ViewerModel, role: str, image: Layer) -> Iterator[Any]:
    """Return the layers made earlier for this role on this image."""
    mark = _mark(role, image)[MARK]
    return (layer for layer in viewer.layers if layer.metadata.get(MARK) == mark)


def _mark(role: str, image: Layer) -> dict[str, Any]:
    return {MARK: {"role": role, "image": str(image.unique_id)}}


def new_labels(
    viewer: ViewerModel, image: Layer, data: NDArray[np.int32] | None = None
) -> Labels:
    """Add an int32 labels layer of the image's shape (never its world extent).

    It takes over ``data``, without copying it, or is empty. It lies below the clicks on
    the image, which it would hide.
    """
    layer = Labels(
        np.zeros(layer_shape(image), dtype=np.int32) if data is None else data,
        name=f"{image.name} objects",
        metadata=_mark("labels", image),
        colormap=colormap_of(colours_for(viewer, image)),
        opacity=OBJECT_OPACITY,
        **geometry(image),
    )
    return _added(viewer, layer, ("positive", "negative"), image)


def _new_points(viewer: ViewerModel, image: Layer, positive: bool) -> Points:
    """Add an empty points layer; its points keep their size on the screen."""
    sign = "positive" if positive else "negative"
    colour = POSITIVE_COLOUR if positive else NEGATIVE_COLOUR
    layer = Points(
        np.empty((0, image.ndim)),
        ndim=image.ndim,
        name=f"{sign} clicks on {image.name}",
        metadata=_mark(sign, image),
        symbol="disc" if positive else "cross",
        face_color=colour,
        border_color=EDGE_COLOUR if positive else colour,
        border_width=EDGE_WIDTH if positive else EDGE_WIDTH / 2,
        size=CLICK_SIZE,
        canvas_size_limits=ON_SCREEN,
        **geometry(image),
    )
    return _added(viewer, layer, () if positive else ("positive",), image)


def _added(
    viewer: ViewerModel, layer: _Layer, above: tuple[str, ...], image: Layer
) -> _Layer:
    """Add a layer on top of all, but below the image's layers of some roles."""
    others = [other for role in above if (other := _own(viewer, role, image))]
    places = [viewer.layers.index(other) for other in others]
    viewer.layers.insert(min(places, default=len(viewer.layers)), layer)
    return layer
