"""Sources of a fine-tuning: pairs of layers, folders of files, the start model."""

from __future__ import annotations

from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtCore import QEvent, QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_gpcis.checkpoints.registry import DEFAULT_MODEL, SUFFIX
from napari_gpcis.errors import InputError
from napari_gpcis.plugin.connections import Connections
from napari_gpcis.plugin.dock.base import LAID_OUT, VerticalScrollArea, WheelFilter
from napari_gpcis.plugin.dock.layer_combo import LayerCombo
from napari_gpcis.plugin.dock.model_list import MODELS
from napari_gpcis.plugin.finetune.layer_files import Pair, pair_of
from napari_gpcis.plugin.settings.preferences import (
    PREFERENCES,
    follow,
)
from napari_gpcis.plugin.viewer.layers import is_made_for
from napari_gpcis.plugin.viewer.planes import layer_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer


FOLDER_HELP = "The folder with the files of the {}; both have the same names."
PAIR_HELP = "An image layer, and the labels layer of its objects, of the same shape."
ADD, ADD_HELP = "Add pair", "Add a row. The planes of a stack count one by one."
REMOVE_HELP = "Remove this pair."
SKIP = "Leave out files that cannot be used"
SKIP_HELP = "Otherwise nothing begins until all files can be used."
FILE_KINDS = "tif, png, jpg or npy files"
BROWSE = "Choose the folder of {}"
START_HELP = "The model that goes on learning. It is not changed."
_SHORT = 6
"""Letters of a layer's name that are seen at least: two stand side by side."""
MOST_ROWS = 3.5
"""Rows of pairs that are seen at once; half a row shows that there are more."""


class LayerPairs(QWidget):
    """Rows of an image layer and a labels layer.

    Parameters
    ----------
    viewer
        The viewer.
    """

    changed = Signal()
    """Emitted when there may be another choice."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self.rows: list[tuple[LayerCombo, LayerCombo, QPushButton]] = []
        self._proposals: dict[LayerCombo, _Proposal] = {}
        self._connections = Connections()
        self._connections.connect(viewer.layers.events.removed, self._on_removed)
        rows = QWidget()
        self._grid = QGridLayout(rows)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setColumnStretch(0, 1)
        self._grid.setColumnStretch(1, 1)
        self._wheel_filter = WheelFilter(self)
        for place, title in enumerate(("Image", "Labels")):
            label = QLabel(title)
            label.setToolTip(PAIR_HELP)
            self._grid.addWidget(label, 0, place)
        self.more = QPushButton(ADD)
        self.more.setToolTip(ADD_HELP)
        self.more.clicked.connect(self.add_row)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self.scroll_area = _Rows(rows, MOST_ROWS)
        column.addWidget(self.scroll_area)
        column.addWidget(self.more, alignment=Qt.AlignmentFlag.AlignLeft)
        column.addStretch()
        self.add_row()

    def add_row(self) -> None:
        """Add a row; it proposes labels that are not chosen yet, and their image."""
        image = LayerCombo(self._viewer, _is_image)
        labels = LayerCombo(self._viewer, _is_labels)
        remove = QPushButton("\u2715")
        remove.setFixedWidth(28)
        remove.setToolTip(REMOVE_HELP)
        remove.setAccessibleName(REMOVE_HELP)
        remove.clicked.connect(partial(self._remove, remove))
        for combo, title in ((image, "Image"), (labels, "Labels")):
            combo.setMinimumContentsLength(_SHORT)
            combo.setAccessibleName(f"{title} of pair {len(self.rows) + 1}")
            combo.setToolTip(PAIR_HELP)
        proposal = _Proposal(image, labels, partial(self._others, image))
        self._proposals[labels] = proposal
        for combo in (image, labels):
            combo.refreshed.connect(self.changed)
            combo.activated.connect(self.changed)
        self.rows.append((image, labels, remove))
        row = self._grid.rowCount()
        for place, widget in enumerate((image, labels, remove)):
            self._grid.addWidget(widget, row, place)
            self._wheel_filter.add(widget)
        self._propose(labels)
        self._show_buttons()
        shown = partial(self.scroll_area.ensureWidgetVisible, labels)
        QTimer.singleShot(1, labels, shown)  # not 0: after it is laid out
        self.changed.emit()

    def pairs(self) -> list[Pair]:
        """Return the chosen layers.

        Raises
        ------
        InputError
            If one is missing, shapes differ, or a pair is chosen twice.
        """
        found: list[tuple[Layer, Layer]] = []
        for image, labels, _ in self.rows:
            if image.layer is None or labels.layer is None:
                msg = "choose an image and its labels; open or make them first"
                raise InputError(msg)
            if any(labels.layer == other for _, other in found):
                msg = f"the labels {labels.layer.name!r} are chosen twice"
                raise InputError(msg)
            found.append((image.layer, labels.layer))
        return [pair_of(image, labels) for image, labels in found]

    def close_links(self) -> None:
        """Disconnect from the viewer."""
        self._connections.end()
        for image, labels, _ in self.rows:
            image.close_links()
            labels.close_links()

    def _propose(self, labels: LayerCombo) -> bool:
        """Propose labels that no other row has, and their image, in a row.

        Returns
        -------
        bool
            ``False`` if there are none.
        """
        taken = [other.layer for _, other, _ in self.rows if other is not labels]
        free = [
            layer
            for layer in self._viewer.layers
            if _is_labels(layer) and not any(layer == other for other in taken)
        ]
        if free:
            labels.layer = free[0]
        self._proposals[labels].propose()
        return bool(free)

    def _on_removed(self, event: Any) -> None:
        """Let rows whose labels were removed have others that are free, or go."""
        for image, labels, _ in self.rows:  # whoever is told first
            image.refresh()
            labels.refresh()
        for _, labels, button in [*self.rows]:
            if labels.lost is None or labels.lost != event.value:
                continue
            if not self._propose(labels) and len(self.rows) > 1:
                self._remove(button)

    def _others(self, image: LayerCombo) -> list[Layer]:
        """Return the images of all rows but one."""
        others = (one.layer for one, _, _ in self.rows if one is not image)
        return [layer for layer in others if layer is not None]

    def _remove(self, button: QPushButton) -> None:
        place = next(n for n, row in enumerate(self.rows) if row[2] is button)
        image, labels, _ = row = self.rows.pop(place)
        image.close_links()
        labels.close_links()
        del self._proposals[labels]
        for widget in row:
            self._grid.removeWidget(widget)
            widget.deleteLater()
        self._show_buttons()
        self.changed.emit()

    def _show_buttons(self) -> None:
        for _, _, remove in self.rows:
            remove.setVisible(len(self.rows) > 1)


class _Rows(VerticalScrollArea):
    """Scroll area of rows, as high as they are but not higher than a few.

    Parameters
    ----------
    rows
        A widget with a grid: a line of titles, and rows of controls below it.
    most
        Number of rows that are seen at once.
    """

    def __init__(self, rows: QWidget, most: float) -> None:
        super().__init__(rows)
        self._most = most

    def event(self, event: QEvent) -> bool:
        """Adapt the height to the rows, whose height depends on the theme's fonts."""
        done = bool(super().event(event))
        rows = self.widget()
        grid = None if rows is None else rows.layout()
        if isinstance(grid, QGridLayout) and event.type() in LAID_OUT:
            items = (grid.itemAt(place) for place in range(grid.count()))
            titles, *heights = (one.sizeHint().height() for one in items if one)
            row = max(heights) + grid.verticalSpacing()
            highest = titles + round(self._most * row)
            border = self.height() - self.viewport().height()  # of the theme
            self.setFixedHeight(min(grid.sizeHint().height(), highest) + border)
        return done


class _Proposal(QObject):
    """Proposal of an image for the labels of a row, until the user chooses another.

    Parameters
    ----------
    image, labels
        The boxes of the row; the first one owns it.
    others
        Returns the images of the other rows.
    """

    def __init__(
        self,
        image: LayerCombo,
        labels: LayerCombo,
        others: Callable[[], Sequence[Layer]],
    ) -> None:
        super().__init__(image)
        self._image, self._labels, self._others = image, labels, others
        self._chosen = False
        self._shown: tuple[Layer | None, Layer | None] = None, None
        image.activated.connect(self._on_chosen)
        labels.activated.connect(self.propose)
        for combo in (image, labels):
            combo.refreshed.connect(self._on_refreshed)

    def propose(self, *_: object) -> None:
        """Choose the image for the labels, unless the user has chosen one that fits."""
        image, labels = self._image.layer, self._labels.layer
        if labels is not None:
            kept = self._chosen and image is not None
            images = [image] if kept and _fits(image, labels) else self._image.layers
            found = image_for(labels, images, self._others())
            if found is not None:
                self._image.layer = found
        self._shown = self._image.layer, self._labels.layer

    def _on_chosen(self) -> None:
        self._chosen = True
        self._shown = self._image.layer, self._labels.layer

    def _on_refreshed(self) -> None:
        """Propose again if a layer of the row has come or gone."""
        if self._shown != (self._image.layer, self._labels.layer):
            self._chosen &= self._shown[0] == self._image.layer
            self.propose()


def image_for(
    labels: Layer, images: Iterable[Layer], others: Sequence[Layer]
) -> Layer | None:
    """Return the image that labels most likely belong to; ``None`` if none fits.

    It has their shape, and is the one for which they were made here; or else the one
    whose name theirs begins with; or else one that is not among the others, with the
    name most like theirs.

    Parameters
    ----------
    labels
        The labels.
    images
        Those to choose from.
    others
        Images that have labels already.
    """

    def likely(image: Layer) -> tuple[bool, int, bool, int]:
        names = image.name.casefold(), labels.name.casefold()
        letters = zip(*names, strict=False)
        alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], letters))
        begins = alike if alike == len(names[0]) else 0
        free = not any(image == other for other in others)
        return is_made_for(labels, image), begins, free, alike

    fitting = (one for one in images if _fits(one, labels))
    return max(fitting, key=likely, default=None)


def _fits(image: Layer, labels: Layer) -> bool:
    return layer_shape(image) == layer_shape(labels)


class Folders(QWidget):
    """Two folders, of images and of label images."""

    changed = Signal()
    """Emitted when there may be another choice."""

    def __init__(self) -> None:
        super().__init__()
        self.images, self.labels = QLineEdit(), QLineEdit()
        self.skip = QCheckBox(SKIP)
        self.skip.setToolTip(SKIP_HELP)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        lines = (("Images", self.images), ("Labels", self.labels))
        for place, (title, line) in enumerate(lines):
            line.setAccessibleName(f"Folder of {title.lower()}")
            line.setToolTip(FOLDER_HELP.format(title.lower()))
            line.setPlaceholderText(FILE_KINDS)
            line.textChanged.connect(self.changed)
            browse = QPushButton("...")
            browse.setFixedWidth(32)
            browse.setAccessibleName(BROWSE.format(title.lower()))
            browse.setToolTip(f"{BROWSE.format(title.lower())}.")
            browse.clicked.connect(partial(self._browse, title, line))
            for column, part in enumerate((QLabel(title), line, browse)):
                part.setToolTip(part.toolTip() or line.toolTip())
                grid.addWidget(part, place, column)
        grid.addWidget(self.skip, len(lines), 0, 1, 3)

    def folders(self) -> tuple[Path, Path]:
        """Return both folders.

        Raises
        ------
        InputError
            If one is not there.
        """
        found = []
        for name, line in (("images", self.images), ("labels", self.labels)):
            folder = Path(line.text().strip()).expanduser()
            if not line.text().strip() or not folder.is_dir():
                msg = f"choose the folder of {name}"
                raise InputError(msg)
            found.append(folder)
        return found[0], found[1]

    def _browse(self, title: str, line: QLineEdit) -> None:
        folder = QFileDialog.getExistingDirectory(self, title, line.text())
        if folder:
            line.setText(folder)


def _is_image(layer: Layer) -> bool:
    return isinstance(layer, Image)


def _is_labels(layer: Layer) -> bool:
    return isinstance(layer, Labels)


class StartModel(QComboBox):
    """Combo box of the models to start from.

    While it is disabled a training runs: it goes on showing the model of that one, even
    if that is removed meanwhile.

    Parameters
    ----------
    parent
        Qt parent.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumContentsLength(12)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(START_HELP)
        self._picked: str | None = None
        self._trained: str | None = None
        self.refresh()
        self.activated.connect(self._on_activated)
        self._ends = (
            follow(MODELS.changed, self.refresh, self),
            follow(PREFERENCES.events.model, self._on_model, self),
        )

    @property
    def key(self) -> str:
        """Name or file of the chosen model."""
        return str(self.currentData())

    def refresh(self) -> None:
        """List the present models; the chosen one stays, at first the one in use."""
        wanted = self._trained or self._picked or PREFERENCES.model
        self.clear()
        for choice in MODELS.choices():
            if choice.is_here:
                self.addItem(choice.title, choice.key)
        if self._trained is not None and self.findData(self._trained) < 0:
            name = Path(self._trained).name.removesuffix(SUFFIX)
            self.addItem(name, self._trained)
        places = [self.findData(key) for key in (wanted, DEFAULT_MODEL)]
        self.setCurrentIndex(next((place for place in places if place >= 0), 0))

    def close_links(self) -> None:
        """Disconnect from the list."""
        for end in self._ends:
            end()

    @property
    def picked(self) -> str | None:
        """Model that was chosen here; ``None`` as long as it is the one in use."""
        return self._picked

    def choose(self, key: str | None) -> None:
        """Choose a model, by name or file, as the user does; ``None`` as at first."""
        self._picked = key
        self.refresh()

    def setEnabled(self, enabled: bool) -> None:
        """Enable the box, or disable it and keep what is chosen."""
        if enabled != self.isEnabled():
            self._trained = None if enabled else self._picked or self.key
            self.refresh()
        super().setEnabled(enabled)

    def _on_activated(self, _place: int) -> None:
        self._picked = self.key

    def _on_model(self, _key: str) -> None:
        """Follow the model in use, unless another was chosen here."""
        if self._picked is None:
            self.refresh()
