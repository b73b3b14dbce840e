"""Sections "Channels" and "Contrast": the picture that the model sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from napari.layers import Image
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QPushButton

from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.dock.base import explain_labels
from napari_gpcis.plugin.dock.pages import SETTINGS
from napari_gpcis.plugin.dock.panels.base import Panel
from napari_gpcis.plugin.viewer.axes import axis_name, channel_axis
from napari_gpcis.plugin.viewer.channels import (
    blend,
    channel_axes,
    channel_limits,
    choose_contrast,
    chosen_contrast,
    show_without,
)
from napari_gpcis.plugin.viewer.overlays import is_display
from napari_gpcis.plugin.viewer.planes import layer_shape

if TYPE_CHECKING:
    from napari_gpcis.plugin.annotation.controller import Controller


AXIS_HELP = "The axis of the image along which its channels lie, called as its slider."
CHANNEL_HELP = (
    "Up to three channels: one is shown grey, two red and green, three red, green and "
    "blue. The model sees the same picture."
)
CONTRAST_HELP = (
    "From the values: the 0.1 and 99.9 percentiles of each channel on the plane shown "
    "become black and full colour. As the layer: its contrast limits do."
)
USE_HELP = (
    "Make a picture of these channels, as a layer of its own, and annotate it. The "
    "objects lie on all channels."
)
USE = "Annotate these channels"
ALONG, CONTRAST = "Along", "Contrast"
FROM_VALUES, AS_LAYER = "from the values", "as the layer shows them"
AS_LAYER_NOW = "as the layer shows it now"
COLOURS = ("Red or grey", "Green", "Blue")
_NARROW = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon

MODEL_CONTRAST_HELP = (
    "What the model sees as black and white.\n"
    "From the values: 8-bit colour as it is, anything else between its 0.1 and 99.9 "
    "percentiles on each plane; the contrast sliders do not change masks.\n"
    "As the layer shows it now: its contrast limits, as they are when you choose this."
)
BLACK_AND_WHITE = "{:g} is black, {:g} is white"
IN_USE = "For the model, {}."


class ChannelsPanel(Panel):
    """Choices of axis, channels and contrast; hidden for images without channels.

    Parameters
    ----------
    controller
        The annotation shown and commanded.
    """

    title: ClassVar[str] = "Channels"
    page: ClassVar[str] = SETTINGS

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self.axis, self.contrast = QComboBox(), QComboBox()
        self.channels = tuple(QComboBox() for _ in COLOURS)
        self.use = QPushButton(USE)
        self.message = QLabel()
        self._image: Image | None = None
        self._picture: Image | None = None
        self._lay_out()
        self.axis.activated.connect(self._show_channels)
        self.use.clicked.connect(self._on_use)
        layers = controller.viewer.layers
        self._connections = Connections()
        self._connections.connect(layers.selection.events.active, self._on_active)
        self._connections.connect(layers.events.removed, self._on_removed)
        names = controller.viewer.dims.events.axis_labels
        self._connections.connect(names, self._name_axes)
        self.show_on(controller.started, controller.stopped)
        self.show_state()

    def close_links(self) -> None:
        """Disconnect from the viewer."""
        self._connections.end()

    @property
    def image(self) -> Image | None:
        """The image that is annotated, or else the active one.

        A picture that was made here stands for the image of its channels, so that
        other channels can be tried.
        """
        annotation, layers = self.controller.annotation, self.controller.viewer.layers
        active = layers.selection.active
        if annotation is not None:
            active = annotation.image
        if active is not None and active == self._picture and self._image in layers:
            return self._image
        if annotation is not None:
            return annotation.image
        picture = isinstance(active, Image) and not is_display(active)
        return active if picture else None

    def show_state(self) -> None:
        """List the axes of the image; hide the section if it has no channels."""
        image = self.image
        axes = () if image is None else channel_axes(image)
        self.wanted.emit(bool(axes))
        if image is None or not axes or image == self._image:
            return
        self._image = image
        viewer = self.controller.viewer
        with QSignalBlocker(self.axis):
            self.axis.clear()
            for axis in axes:
                self.axis.addItem("", axis)
            self.axis.setCurrentIndex(axes.index(channel_axis(viewer, image, axes)))
        self._name_axes()
        self._show_channels()

    def _lay_out(self) -> None:
        form = QFormLayout()
        for combo in (self.axis, self.contrast, *self.channels):
            combo.setSizeAdjustPolicy(_NARROW)
            combo.setMinimumContentsLength(10)
        form.addRow(ALONG, self.axis)
        for colour, combo in zip(COLOURS, self.channels, strict=True):
            combo.setToolTip(CHANNEL_HELP)
            form.addRow(colour, combo)
        self.contrast.addItem(FROM_VALUES, "values")
        self.contrast.addItem(AS_LAYER, "layer")
        form.addRow(CONTRAST, self.contrast)
        self.axis.setToolTip(AXIS_HELP)
        self.contrast.setToolTip(CONTRAST_HELP)
        self.use.setToolTip(USE_HELP)
        self.message.setWordWrap(True)
        self.message.setToolTip(CONTRAST_HELP)
        self.message.hide()
        explain_labels(form)
        self.column.addLayout(form)
        self.column.addWidget(self.use)
        self.column.addWidget(self.message)

    def _name_axes(self, *_: object) -> None:
        """Show the names of the axes, which may change."""
        image = self._image
        if image is None:
            return
        for place in range(self.axis.count()):
            axis = self.axis.itemData(place)
            name = axis_name(self.controller.viewer, image, axis)
            count = layer_shape(image)[axis]
            self.axis.setItemText(place, f"{name}: {count} channels")

    def _show_channels(self, *_: object) -> None:
        """List the channels of the chosen axis; at first, as many as there are."""
        if self._image is None:
            return
        count = layer_shape(self._image)[self.axis.currentData()]
        for place, combo in enumerate(self.channels):
            combo.clear()
            if place > 0:
                combo.addItem("none", None)
            for channel in range(count):
                combo.addItem(f"channel {channel}", channel)
            combo.setCurrentIndex(place + 1 if 0 < place < count else 0)

    def _on_active(self) -> None:
        self.show_state()

    def _on_removed(self, event: Any) -> None:
        """Forget a layer that was removed, and free its memory."""
        if event.value == self._image:
            self._image = None
        if event.value == self._picture:
            self._picture = None

    def _on_use(self) -> None:
        """Add the picture, hide the image, and annotate the picture."""
        image, axis = self._image, self.axis.currentData()
        viewer = self.controller.viewer
        if image is None or image not in viewer.layers:
            return
        asked = [combo.currentData() for combo in self.channels]
        chosen = [channel for channel in asked if channel is not None]
        if self.contrast.currentData() == "layer":
            low, high = image.contrast_limits
            limits = [(float(low), float(high))] * len(chosen)
        else:
            point = image.world_to_data(viewer.dims.point[-image.ndim :])
            plane = [max(0, int(place + 0.5)) for place in point]
            limits = channel_limits(image, axis, chosen, plane)
        picture = blend(image, axis, chosen, limits)
        viewer.layers.insert(viewer.layers.index(image) + 1, picture)
        for other in (image, self._picture):
            if other is not None:
                other.visible = False
        self._picture = picture
        self._say(chosen, limits)
        show_without(viewer, image, axis)
        self.controller.start(picture)

    def _say(self, channels: list[int], limits: list[tuple[float, float]]) -> None:
        """Show the contrast that was used."""
        pairs = zip(channels, limits, strict=True)
        parts = [f"channel {c}: {low:g} to {high:g}" for c, (low, high) in pairs]
        self.message.setText("Contrast: " + "; ".join(parts) + ".")
        self.message.show()


class ContrastPanel(Panel):
    """Choice of the contrast for the model, and the limits in use.

    Parameters
    ----------
    controller
        The annotation shown and commanded.
    """

    title: ClassVar[str] = "Contrast"
    page: ClassVar[str] = SETTINGS
    unfolded: ClassVar[bool] = True

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self.choice = QComboBox()
        self.choice.addItem(FROM_VALUES, False)
        self.choice.addItem(AS_LAYER_NOW, True)
        self.choice.setToolTip(MODEL_CONTRAST_HELP)
        self.choice.setSizeAdjustPolicy(_NARROW)
        self.choice.setMinimumContentsLength(10)
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setToolTip(MODEL_CONTRAST_HELP)
        form = QFormLayout()
        form.addRow(CONTRAST, self.choice)
        explain_labels(form)
        self.column.addLayout(form)
        self.column.addWidget(self.message)
        self.choice.activated.connect(self._on_choice)
        self.show_on(controller.started, controller.stopped, controller.plane_changed)
        self.show_state()

    def show_state(self) -> None:
        """Show the choice, and the contrast of the displayed plane."""
        annotation, session = self.controller.annotation, self.controller.session
        image = None if annotation is None else annotation.image
        self.choice.setEnabled(image is not None and not image.rgb)
        fixed = image is not None and chosen_contrast(image) is not None
        with QSignalBlocker(self.choice):
            self.choice.setCurrentIndex(int(fixed))
        if session is None:
            self.message.setText("")
            return
        pairs = [BLACK_AND_WHITE.format(*limits) for limits in session.limits]
        self.message.setText(IN_USE.format("; ".join(dict.fromkeys(pairs))))

    def _on_choice(self, _place: int) -> None:
        annotation = self.controller.annotation
        if annotation is not None:
            choose_contrast(annotation.image, fixed=self.choice.currentData())
            annotation.reopen()
