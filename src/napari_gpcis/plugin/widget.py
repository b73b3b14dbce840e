"""Dock widget "GPCIS": layout and wiring; the annotation does the work."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from napari.utils.colormaps.standardize_color import transform_color
from qtpy.QtCore import QCoreApplication, Qt, QTimer
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
)

from napari_gpcis.errors import InputError
from napari_gpcis.plugin.annotation.controller import Controller
from napari_gpcis.plugin.annotation.jobs import load_segmenter
from napari_gpcis.plugin.dock.base import (
    Docked,
    Lines,
    Section,
    Spinner,
    Tabs,
    WheelFilter,
    explain_labels,
)
from napari_gpcis.plugin.dock.closing import CloseGuard, guard_dock
from napari_gpcis.plugin.dock.icons import ThemeIcons
from napari_gpcis.plugin.dock.layer_combo import LayerCombo
from napari_gpcis.plugin.dock.model_choice import ModelChoice
from napari_gpcis.plugin.dock.notices import Notices
from napari_gpcis.plugin.dock.pages import HELP_PAGE, PAGES, Pages
from napari_gpcis.plugin.dock.panels import PANELS
from napari_gpcis.plugin.dock.panels.folder import FolderPanel
from napari_gpcis.plugin.dock.panels.model import ModelPanel
from napari_gpcis.plugin.dock.panels.objects import ObjectsPanel
from napari_gpcis.plugin.dock.panels.stack import StackPanel
from napari_gpcis.plugin.dock.panels.superpixels import SuperpixelsPanel
from napari_gpcis.plugin.dock.recovery import RecoveryManager
from napari_gpcis.plugin.dock.settling import Settling
from napari_gpcis.plugin.dock.typed_preferences import TypedPreferences
from napari_gpcis.plugin.settings.commands import COMMANDS
from napari_gpcis.plugin.settings.preferences import (
    PREFERENCES,
    click_colour,
    follow,
    link_to_napari,
)
from napari_gpcis.plugin.settings.shortcuts import key_of, table
from napari_gpcis.plugin.tools.active_layer import (
    Brush,
    OverlaysGiveWay,
    ReturnToClicks,
)
from napari_gpcis.plugin.tools.display.outlines import CurrentOutline, MaskView
from napari_gpcis.plugin.tools.early_encoding import (
    EarlyEncoding,
    EarlyLoading,
    MouseEncoding,
)
from napari_gpcis.plugin.tools.image_changes import ImageChangeWatcher
from napari_gpcis.plugin.tools.scripting import ViewerSession
from napari_gpcis.plugin.viewer.gl_context import ContextKeeper
from napari_gpcis.plugin.viewer.layers import (
    NEGATIVE_COLOUR,
    POSITIVE_COLOUR,
    is_made_for,
    is_made_here,
    obstacle,
    open_labels,
)
from napari_gpcis.plugin.viewer.overlays import is_display

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from napari.layers import Layer, Points
    from qtpy.QtGui import QShowEvent

    from napari_gpcis.plugin.annotation.jobs import SegmenterFactory
    from napari_gpcis.plugin.dock.panels.base import Panel

HELP = (
    "<b><span style='color:{}'>\u25cf</span> Left click</b> on the object.<br>"
    "<b><span style='color:{}'>\u271a</span> Right click</b> (or "
    "Control-click) outside it.<br>"
    "The model looks at what you see, and at small objects closer by itself: zoom in "
    "if the first mask is far too large.<br>"
    "Points can be dragged and deleted. Finished objects are protected.<br>"
    "A click on a finished object chooses it, a <b>double click</b> corrects it.<br>"
    "<b>Shift-drag</b> a box to begin an object. <b>Escape</b> cancels."
)
IMAGE_HELP = (
    "The image to annotate. Stacks are annotated plane by plane. The contrast "
    "for the model is set from the image's own values: napari's contrast sliders do "
    "not change masks."
)
START_HELP = (
    "Start: makes layers for clicks and objects on the image, ready to click.\n"
    "Stop: ends clicking; all masks are kept, and the one being clicked is accepted."
)
STATUS_HELP = (
    "What goes on and what to do next. While you click: how many clicks, the label "
    "of the object, and the time from the last click to its mask on the screen."
)
SPINNER_HELP = "The model or the image is being loaded, or a mask computed."
LABELS_HELP = (
    "Where objects are written. An existing layer of the same shape goes on: its "
    "objects are kept and new ones are added. Layers that do not lie on the image are "
    "grey.\nNew layer, chosen during work, begins another one beside it: for nuclei "
    "inside of cells."
)
IMAGE, LABELS, MODEL = "Image", "Labels layer", "Model"
NEW_LAYER = "New layer"
START, STOP = "Start", "Stop"
CLICKING = "How to click"
BACK_TO_CLICKING = "<b>{}</b>: back to clicking from any layer."
KEYS = "{}\nKey: {}"
NO_IMAGE = "Open an image first, by the menu File: your own, or one of Open Sample."
NOT_STARTED = "Press Start, then click on an object."
NEW_SOON = (
    "Press Enter, or go on clicking, to begin a new labels layer; Escape goes back."
)
STOPPED = "Stopped. All masks are kept in the labels layer."


class GPCISWidget(Docked):
    """Dock widget to segment objects by clicks.

    Parameters
    ----------
    viewer
        The viewer, given by napari.
    segmenter_factory
        Makes a segmenter of a model's name; by default ``Segmenter.from_pretrained``.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        segmenter_factory: SegmenterFactory = load_segmenter,
    ) -> None:
        super().__init__()
        self.viewer = viewer
        self._closed = False
        self._guard: CloseGuard | None = None
        link_to_napari()
        self.model_choice = ModelChoice()
        self.controller = Controller(
            viewer, segmenter_factory, self.model_choice.model, self
        )
        self._preferences = PreferenceFollower(self.controller, self._show_keys)
        self._typed = TypedPreferences(self)
        self._settling = Settling(self.controller, self)
        self.image_changes = ImageChangeWatcher(self.controller)
        self.early_encoding = EarlyEncoding(self.controller)
        self._early_loading = EarlyLoading(self.controller, self._has_model, self)
        self.mouse_encoding = MouseEncoding(self.controller)
        self.outline = CurrentOutline(self.controller)
        self.mask_view = MaskView(self.controller)
        self.return_to_clicks = ReturnToClicks(self.controller)
        self.overlays = OverlaysGiveWay(self.controller)
        self.brush = Brush(self.controller)
        self.image_combo = LayerCombo(viewer, _is_image)
        self.labels_combo = LayerCombo(viewer, _is_labels, NEW_LAYER, self._obstacle)
        self.start_button = QPushButton(START)
        self.buttons = {command.name: QPushButton() for command in _BUTTONS}
        self._about = dict.fromkeys(self.buttons, "")
        self._scripted = ViewerSession(self.controller)
        self.recovery = RecoveryManager(viewer, self.controller, self)
        self.panels = tuple(panel(self.controller) for panel in PANELS)
        self.recovery.serve(self.panels, lambda: self.image_combo.layer)
        objects = next(
            panel for panel in self.panels if isinstance(panel, ObjectsPanel)
        )
        for panel in self.panels:
            if isinstance(panel, SuperpixelsPanel):
                panel.painting.picking = objects.picking
            elif isinstance(panel, StackPanel):
                panel.propagation.picking = objects.picking
        self.notices = Notices(
            self.controller, objects.picking, objects.regrouping, self._annotate, self
        )
        for panel in self.panels:
            if isinstance(panel, SuperpixelsPanel):
                self.notices.follow(panel.superpixels)
        self.status, self.spinner = Lines(2), Spinner()
        self.help = _help_text()
        self._lay_out()
        self._icons = ThemeIcons(self, viewer)
        self._wheel_filter = WheelFilter(self)
        self._tabs = Tabs(self, "annotate")
        self._gl_context = ContextKeeper(viewer, self)
        self._connect()
        active = viewer.layers.selection.active
        if active is not None and _is_image(active):
            self.image_combo.layer = active
        self._propose_labels()
        self._show_keys()
        self._show_state()

    @property
    def session(self) -> ViewerSession | None:
        """Session of the displayed plane, for scripts: the viewer shows its results.

        ``None`` until it is open.
        """
        if self.controller.closed or self.controller.session is None:
            return None
        return self._scripted

    def start(self) -> bool:
        """Annotate the chosen image; return true if that was possible.

        Masks go into the chosen labels layer, or into a new one if none is chosen.

        Raises
        ------
        InputError
            If the widget, or napari, was closed.
        """
        if self._closed:
            msg = "the widget was closed: open it again in napari"
            raise InputError(msg)
        image = self.image_combo.layer
        started = image is not None and self.controller.start(
            image, self.labels_combo.layer, anew=True
        )
        self._show_layers()
        return started

    def shut_down(self) -> None:
        """End threads and key bindings; the widget cannot be used afterwards."""
        if self._closed:
            return
        self._closed = True
        self.image_combo.close_links()
        self.labels_combo.close_links()
        self.model_choice.close_links()
        self._preferences.close()
        for panel in self.panels:
            panel.close_links()
        self.outline.close()
        self.notices.close()
        self._icons.close()
        self.controller.close()
        self.recovery.end()
        self._gl_context.close()
        if self._guard is not None:
            self._guard.end()

    def showEvent(self, event: QShowEvent) -> None:
        """Ask from now on before unsaved work is closed; load the model."""
        super().showEvent(event)
        if self._guard is None and not self._closed:
            QTimer.singleShot(0, self, self._guard_dock)  # it is placed by then
            self._early_loading.begin()

    def _has_model(self) -> bool:
        """Return whether the model in use has not to be downloaded first."""
        choice = self.model_choice.choice
        return choice is not None and choice.is_here

    def _guard_dock(self) -> None:
        recovery = self.recovery
        if self._guard is None:
            self._guard = guard_dock(self, lambda: recovery.unsaved, recovery.may_close)

    # Layout -----------------------------------------------------------------------

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        for combo in (self.image_combo, self.labels_combo):
            combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        form.addRow(IMAGE, self.image_combo)
        form.addRow(LABELS, self.labels_combo)
        form.addRow(MODEL, self.model_choice)
        self.image_combo.setToolTip(IMAGE_HELP)
        self.labels_combo.setToolTip(LABELS_HELP)
        self.model_choice.setToolTip(self.model_choice.combo.toolTip())
        explain_labels(form)
        layout.addLayout(form)
        self.start_button.setToolTip(START_HELP)
        layout.addWidget(self.start_button)
        self.status.setToolTip(STATUS_HELP)
        self.spinner.setToolTip(SPINNER_HELP)
        row = QHBoxLayout()
        row.addWidget(self.status, stretch=1)
        row.addWidget(self.spinner, alignment=Qt.AlignmentFlag.AlignTop)
        layout.addLayout(row)
        layout.addWidget(self.notices.banner)
        layout.addWidget(self.recovery.banner)
        layout.addLayout(self._button_grid())
        how_to = Section(CLICKING, self.help, unfolded=True)
        pages: dict[str, list[Section]] = {title: [] for title in PAGES}
        pages[HELP_PAGE].append(how_to)
        for panel in self.panels:
            pages[panel.page].append(_section(panel))
        self.sections = tuple(one for page in pages.values() for one in page)
        self.pages = Pages(pages)
        layout.addWidget(self.pages, stretch=1)

    def _button_grid(self) -> QGridLayout:
        """Return the buttons: accept over the whole width, the others in a row."""
        grid = QGridLayout()
        for place, command in enumerate(_BUTTONS):
            button = self.buttons[command.name]
            row, column, span = (0, 0, 3) if place == 0 else (1, place - 1, 1)
            grid.addWidget(button, row, column, 1, span)
        return grid

    def _connect(self) -> None:
        self.start_button.clicked.connect(self._on_start)
        self.image_combo.picked.connect(self._on_layer_picked)
        self.labels_combo.picked.connect(self._on_layer_picked)
        self.labels_combo.passing.connect(self._on_passing)
        self.image_combo.changed.connect(self._propose_labels)
        self.image_combo.changed.connect(partial(self.recovery.banner.say, ""))
        self.image_combo.refreshed.connect(self._on_layers)
        self.model_choice.picked.connect(self._on_model)
        for panel in self.panels:
            if isinstance(panel, ModelPanel):
                panel.follow(self.model_choice)
        self.controller.started.connect(self._show_layers)
        self.controller.started.connect(self._show_buttons)
        self.controller.plane_changed.connect(self._show_buttons)
        self.controller.stopped.connect(self._show_buttons)
        self.controller.status_changed.connect(self._show_status)
        self.controller.worker.late_changed.connect(self.spinner.spin)
        self.destroyed.connect(partial(self._on_destroyed, self.recovery.end))
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.shut_down)
        for name, button in self.buttons.items():
            button.clicked.connect(partial(self._on_button, name))

    # Reactions --------------------------------------------------------------------

    def _on_button(self, name: str) -> None:
        self.controller.use_keys()
        self.controller.command(name)

    def _on_start(self) -> None:
        annotation = self.controller.annotation
        if annotation is None:
            self.start()
        else:
            self._stay_in_folder()
            self._settling.once_settled("stop", self._stop, ends=True)

    def _stay_in_folder(self) -> None:
        """Let a folder that waits to go on to another image not do it.

        Something else was asked later.
        """
        for panel in self.panels:
            if isinstance(panel, FolderPanel):
                panel.stay()

    def _stop(self) -> None:
        annotation = self.controller.annotation
        if annotation is not None:
            words = annotation.leave()  # else its mask would stay without its clicks
            self.controller.stop(f"{STOPPED} {words}".rstrip())

    def _annotate(self, image: Image) -> None:
        """Go over to another image."""
        self.image_combo.layer = image
        self._go_over()

    def _go_over(self) -> None:
        """Go over to the chosen layers, see `start`."""
        self._stay_in_folder()
        chosen = self.image_combo.layer, self.labels_combo.layer
        wanted = f"start {[one and one.unique_id for one in chosen]}"
        self._settling.once_settled(wanted, self.start, ends=True)

    def _obstacle(self, labels: Layer) -> str:
        """Return why masks of the chosen image cannot go into a labels layer."""
        image = self.image_combo.layer
        return "" if image is None else obstacle(labels, image)

    def _propose_labels(self) -> None:
        """Show where masks of another image go: where they went before, or anew."""
        image, chosen = self.image_combo.layer, self.labels_combo.layer
        if image is None:
            return
        if chosen is not None and self.controller.annotation is None:
            theirs = is_made_here(chosen) and not is_made_for(chosen, image)
            if not theirs and not obstacle(chosen, image):
                return
        annotation = self.controller.annotation
        if annotation is not None and annotation.image == image:
            self.labels_combo.layer = annotation.layers.labels
        else:
            self.labels_combo.layer = open_labels(self.viewer, image)
        self.labels_combo.show_obstacles()

    def _on_layers(self) -> None:
        """Layers came or went: remove a hint that may be out of date."""
        self.recovery.banner.say("")
        self._show_state()

    def _on_layer_picked(self) -> None:
        """Go over to another image or labels layer while annotating."""
        annotation = self.controller.annotation
        if annotation is None:
            self._show_state()
        elif (
            self.image_combo.layer != annotation.image
            or self.labels_combo.layer != annotation.layers.labels
        ):
            self._go_over()
        else:  # back again, before the masks were there that it has waited for
            self._settling.withdraw()

    def _on_passing(self, stopped: bool) -> None:
        """Say how the new layer begins at which the keys have stopped, or no more."""
        annotation = self.controller.annotation
        if annotation is not None and stopped:
            annotation.say(NEW_SOON)
        elif annotation is not None:
            annotation.clear_message()

    def _show_layers(self, *_: object) -> None:
        """Show the layers that are in use."""
        annotation = self.controller.annotation
        if annotation is not None:
            self.image_combo.layer = annotation.image
            self.labels_combo.layer = annotation.layers.labels

    def _on_model(self, name: str) -> None:
        self.controller.model = name

    def _show_keys(self) -> None:
        """Show the present keys on the buttons and in the help."""
        for row in table():
            button = self.buttons.get(row.command.name)
            if button is not None:
                refused = row.command.name in self.controller.refused_keys
                anywhere = "" if refused else row.anywhere
                key = f" ({anywhere})" if anywhere else ""
                button.setText(f"{row.command.title}{key}")
                keys = " or ".join(filter(None, (anywhere, *row.on_points)))
                self._about[row.command.name] = KEYS.format(row.command.help, keys)
        back = BACK_TO_CLICKING.format(key_of("ready"))
        preferred = click_colour(positive=True), click_colour(positive=False)
        colours = map(_html_colour, preferred)
        self.help.setText(f"{HELP.format(*colours)}<br>{back}")
        self._show_buttons()

    def _show_state(self) -> None:
        """Show all that depends on the layers in the viewer."""
        self._show_buttons()
        self._show_status()
        for panel in self.panels:
            panel.show_state()

    def _show_buttons(self, *_: object) -> None:
        """Enable the buttons that can be used; the others say why they cannot."""
        annotation = self.controller.annotation
        started = annotation is not None
        nowhere = annotation is not None and annotation.current is None
        why = annotation.obstacle if annotation is not None and nowhere else ""
        possible = self.image_combo.layer is not None
        self.start_button.setText(STOP if started else START)
        self.start_button.setEnabled(started or possible)
        for name, button in self.buttons.items():
            button.setEnabled(started and not nowhere)
            button.setToolTip(why or self._about[name])

    def _show_status(self, status: str | None = None) -> None:
        """Show the status as told, or as it is, or the first thing to do."""
        started = self.controller.annotation is not None
        if status is None:
            status = self.controller.status
        if not started and self.image_combo.layer is None:
            status = NO_IMAGE
        elif not started and not status:
            status = NOT_STARTED
        self.status.setText(status)

    # The end ----------------------------------------------------------------------

    def _on_destroyed(self, end: Callable[..., None], *_: object) -> None:
        """End autosaving with the window (Qt deletes the widget just now)."""
        self._closed = self.controller.closed = True
        end()


_BUTTONS = tuple(command for command in COMMANDS if command.button)


def _is_image(layer: Layer) -> bool:
    return isinstance(layer, Image) and not is_display(layer)


def _is_labels(layer: Layer) -> bool:
    return isinstance(layer, Labels)


def _section(panel: Panel) -> Section:
    """Return the section of a panel."""
    section = Section(panel.title, panel, unfolded=panel.unfolded, grows=panel.grows)
    panel.wanted.connect(partial(setattr, section, "applies"))
    return section


def _help_text() -> QLabel:
    text = QLabel()
    text.setWordWrap(True)
    text.setTextFormat(Qt.TextFormat.RichText)
    return text


def _html_colour(colour: str) -> str:
    """Return a colour of napari's in the form ``"#56b4e9"``."""
    return str(QColor.fromRgbF(*transform_color(colour)[0, :3].tolist()).name())


class PreferenceFollower:
    """Applies changed preferences to one annotation.

    Parameters
    ----------
    controller
        The annotation to change.
    show_keys
        Called when keys or colours have changed.
    """

    def __init__(self, controller: Controller, show_keys: Callable[[], None]) -> None:
        self._controller = controller
        self._show_keys = show_keys
        events = PREFERENCES.events
        self._ends = (
            follow(events.device, self._on_device, controller),
            follow(events.shortcuts, self._on_shortcuts, controller),
            follow(events.positive_colour, self._on_colours, controller),
            follow(events.negative_colour, self._on_colours, controller),
        )
        controller.started.connect(self._on_started)

    def close(self) -> None:
        """Disconnect from the preferences."""
        for end in self._ends:
            end()

    def _on_device(self, *_: Any) -> None:
        self._controller.reload_model()

    def _on_shortcuts(self, *_: Any) -> None:
        self._show_keys()

    def _on_started(self, *_: Any) -> None:
        """Colour the clicks as preferred; default colours the layers have already."""
        colours = PREFERENCES.positive_colour, PREFERENCES.negative_colour
        if colours != (POSITIVE_COLOUR, NEGATIVE_COLOUR):
            self._on_colours()

    def _on_colours(self, *_: Any) -> None:
        """Give the clicks their preferred colours, those that are there as well."""
        self._show_keys()  # the help shows the colours
        annotation = self._controller.annotation
        if annotation is None:
            return
        paint_points(annotation.layers.positive, click_colour(positive=True))
        paint_points(annotation.layers.negative, click_colour(positive=False))


def paint_points(layer: Points, colour: str) -> None:
    """Give all points of a layer, and those to come, one colour."""
    if layer.current_border_color == layer.current_face_color:
        layer.border_color = layer.current_border_color = colour
    layer.face_color = layer.current_face_color = colour
