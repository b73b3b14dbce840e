"""Page "Review": the list of finished objects, to visit, correct and delete."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from qtpy.QtCore import (
    QItemSelection,
    QItemSelectionModel,
    Qt,
)
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QInputDialog,
    QLabel,
    QMenu,
    QPushButton,
    QToolButton,
)

from napari_gpcis.errors import InputError
from napari_gpcis.plugin.dock.icons import with_icon
from napari_gpcis.plugin.dock.object_view import ObjectView
from napari_gpcis.plugin.dock.pages import REVIEW
from napari_gpcis.plugin.dock.panels.base import Panel, with_key
from napari_gpcis.plugin.settings.commands import CLASS_KEYS
from napari_gpcis.plugin.settings.preferences import PREFERENCES, follow
from napari_gpcis.plugin.settings.shortcuts import key_of
from napari_gpcis.plugin.tools.objects.classes import ObjectClasses
from napari_gpcis.plugin.tools.objects.expected_size import ExpectedSize
from napari_gpcis.plugin.tools.objects.features import LabelFeatures
from napari_gpcis.plugin.tools.objects.flash import Flash
from napari_gpcis.plugin.tools.objects.index import ObjectIndex
from napari_gpcis.plugin.tools.objects.regrouping import Regrouping
from napari_gpcis.plugin.tools.objects.table import (
    CLASS,
    ORDER,
    PLANE,
    QUALITY,
    ObjectTable,
    place_of,
)
from napari_gpcis.plugin.tools.picking import Picking
from napari_gpcis.plugin.viewer.planes import bring_into_view
from napari_gpcis.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtCore import QModelIndex

    from napari_gpcis.plugin.annotation.controller import Controller
    from napari_gpcis.plugin.tools.objects.index import Found
    from napari_gpcis.plugin.viewer.planes import Plane

LIST_HELP = (
    "Finished objects. Click on a row to go there, on a heading to sort. The Delete "
    "key deletes all rows that are selected."
)
NEXT, REFINE, DELETE = "Next", "Correct", "Delete"
SPLIT, MERGE = "Split", "Merge"
SPLIT_HELP = (
    "Make two objects of one: click on its first part, then on its second. The larger "
    "part keeps the id."
)
MERGE_HELP = (
    "Make one object of those that are selected in the list, or of two that you click "
    "on. It has the id of the largest."
)
NEXT_HELP = "Go to the next object of the list{}."
BEFORE = "; {} goes to the one before"
REFINE_HELP = (
    "Correct a finished object by clicks, beginning with its mask: the object under "
    "the mouse, or else the selected one. Alt-click on an object does the same.\n"
    "Objects of other labels layers (from Cellpose, StarDist, ...) begin a new object."
)
DELETE_HELP = (
    "Delete the objects that are selected in the list.\n"
    "Undo brings them back, on whatever planes they were."
)
SUMMARY_HELP = "How many there are on all planes."
NOT_STARTED = "Press Start to see the finished objects."
NO_OBJECT = "No object yet: click, then accept."
CLASS_TEXT, CLASS_WIDTH, ARROW = "Class", 130, "\u25be"
NO_INDICATOR = "QToolButton::menu-indicator { image: none; }"
"""Napari's style draws the arrow of a menu over the text: it is part of the text."""
CLASS_HELP = (
    "Classes of objects, with names and colours. A class is given to the chosen "
    "object, or to those that are selected in this list; without any, to the objects "
    "to come. Find similar then looks for objects of that class."
)
NEW_CLASS, CLASS_NAME = "New class ...", "Name of the class:"
RENAME, COLOUR = "Rename {} ...", "Colour of {} ..."
ROWS_SEEN = 5


class ObjectsPanel(Panel):
    """List of finished objects to visit, correct or delete."""

    title: ClassVar[str] = "Objects"
    page: ClassVar[str] = REVIEW
    unfolded: ClassVar[bool] = True
    grows: ClassVar[bool] = True

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self.index = ObjectIndex(controller, self)
        self.picking = Picking(controller, self)
        self.regrouping = Regrouping(controller, self.picking, self._in_sight, self)
        self.flash = Flash(controller, self)
        self.features = LabelFeatures(controller, self.index, self)
        self.expected_size = ExpectedSize(controller, self.index, self)
        self.classes = ObjectClasses(controller, self.labels_chosen, self)
        self.table = ObjectTable()
        self._chosen: set[tuple[int, Plane]] = set()
        self._followed: tuple[Plane, int] | None = None
        self._visited: tuple[int, Plane] | None = None
        self.summary, self.class_button = QLabel(), QToolButton()
        self.list = ObjectView()
        self.next_button, self.refine_button = QPushButton(), QPushButton()
        self.delete_button = QPushButton(DELETE)
        self.split_button, self.merge_button = QPushButton(), QPushButton()
        self._lay_out()
        self._connect()
        self._show_keys()
        self.show_state()
        self._show_objects()
        self._show_classes()

    def _lay_out(self) -> None:
        self.list.setToolTip(LIST_HELP)
        self.list.setAccessibleName("Finished objects")
        self.summary.setToolTip(SUMMARY_HELP)
        self.refine_button.setToolTip(REFINE_HELP)
        self.delete_button.setToolTip(DELETE_HELP)
        with_icon(self.delete_button, "delete")
        self._set_up_list()
        buttons = QGridLayout()
        for column, button in enumerate(
            (self.next_button, self.refine_button, self.delete_button)
        ):
            buttons.addWidget(button, 0, column)
        self.class_button.setText(f"{CLASS_TEXT} {ARROW}")
        self.class_button.setToolTip(CLASS_HELP)
        self.class_button.setAutoRaise(True)
        self.class_button.setStyleSheet(NO_INDICATOR)
        self.class_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.class_button.setMenu(QMenu(self.class_button))
        top = QHBoxLayout()
        top.addWidget(self.summary, stretch=1)
        top.addWidget(self.class_button)
        self.column.addLayout(top)
        self.column.addWidget(self.list)
        apart = QHBoxLayout()
        for button, about in (
            (self.split_button, SPLIT_HELP),
            (self.merge_button, MERGE_HELP),
        ):
            button.setToolTip(about)
            button.setCheckable(True)
            apart.addWidget(button)
        self.column.addLayout(buttons)
        self.column.addLayout(apart)

    def _set_up_list(self) -> None:
        view = self.list
        view.setModel(self.table)
        view.setSortingEnabled(True)
        view.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        view.setShowGrid(False)
        view.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        rows, header = view.verticalHeader(), view.horizontalHeader()
        rows.hide()
        height = view.fontMetrics().height() + 6
        rows.setDefaultSectionSize(height)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setResizeContentsPrecision(0)  # of the rows in sight
        header.setMinimumSectionSize(1)
        header.setTextElideMode(Qt.TextElideMode.ElideRight)
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        header.setDefaultAlignment(left)  # the arrow of the sorted one is at the right
        for place, column in enumerate(ORDER):
            header.moveSection(header.visualIndex(column), place)
        header.setHighlightSections(False)
        header.sortIndicatorChanged.connect(view.fit_columns)
        view.verticalScrollBar().valueChanged.connect(view.fit_columns)
        context = header.sizeHint().height() + 2 * view.frameWidth()
        view.setMinimumHeight(height * ROWS_SEEN + context)

    def _connect(self) -> None:
        controller = self.controller
        self.list.clicked.connect(self._on_row)
        self.next_button.clicked.connect(self.go_to_next)
        self.refine_button.clicked.connect(self._on_refine)
        self.delete_button.clicked.connect(self.delete_selected)
        for button, name in (
            (self.split_button, "split_object"),
            (self.merge_button, "merge_objects"),
        ):
            button.clicked.connect(partial(self._command, name))
        self.regrouping.changed.connect(self._show_buttons)
        self.list.delete_pressed.connect(self.delete_selected)
        self.index.changed.connect(self._show_objects)
        self.list.selectionModel().selectionChanged.connect(self._on_selected)
        self.table.replacing.connect(self._on_replacing)
        self.table.replaced.connect(self._on_replaced)
        controller.register("next_object", self.go_to_next)
        self.class_button.menu().aboutToShow.connect(self._offer_classes)
        self.classes.changed.connect(self._show_classes)
        controller.register("previous_object", self.go_to_previous)
        controller.register("next_label", self.go_to_next_label)
        controller.register("previous_label", self.go_to_previous_label)
        self.picking.changed.connect(self._on_chosen)
        self.show_on(controller.started, controller.stopped)
        controller.started.connect(self._on_started)
        controller.stopped.connect(self._show_objects)
        self._end = follow(PREFERENCES.events.shortcuts, self._show_keys, self)

    @property
    def sorted(self) -> ObjectTable:
        """The table, in the order in which it is shown."""
        return self.table

    # State ------------------------------------------------------------------------

    def show_state(self) -> None:
        """Enable the buttons that can be used."""
        self._show_buttons()

    def _show_keys(self, *_: Any) -> None:
        self.next_button.setText(with_key(NEXT, "next_object"))
        before = key_of("previous_object")
        about = NEXT_HELP.format(BEFORE.format(before) if before else "")
        self.next_button.setToolTip(about)
        self.refine_button.setText(with_key(REFINE, "refine"))
        self.split_button.setText(with_key(SPLIT, "split_object"))
        self.merge_button.setText(with_key(MERGE, "merge_objects"))

    def close_links(self) -> None:
        """Disconnect from the viewer and the preferences; end the thread."""
        self._end()
        self.regrouping.close()
        self.picking.close()
        self.classes.close()
        self.flash.close()
        self.features.close()
        self.expected_size.close()
        self.index.close()

    def _on_started(self, annotation: Any) -> None:
        stack = annotation.image.ndim > 2
        self.list.setColumnHidden(PLANE, not stack)
        self.list.setColumnHidden(QUALITY, True)
        self.list.fit_columns()

    def _show_objects(self) -> None:
        """List the finished objects; selected rows stay selected."""
        annotation = self.controller.annotation
        labels = None if annotation is None else annotation.layers.labels
        rows = self.index.objects()
        self.table.show(rows, labels)
        judged = any(row.quality is not None for row in rows)
        if judged == self.list.isColumnHidden(QUALITY):
            self.list.setColumnHidden(QUALITY, not judged)
            self.list.fit_columns()
        self.summary.setText(summary(self.table.rows, started=labels is not None))
        self._show_buttons()

    def _show_buttons(self, *_: Any) -> None:
        running = self.controller.annotation is not None
        self.next_button.setEnabled(bool(self.table.rows))
        self.refine_button.setEnabled(running)
        for button, task in (
            (self.split_button, "split"),
            (self.merge_button, "merge"),
        ):
            button.setEnabled(running)
            button.setChecked(self.regrouping.task == task)
        self.delete_button.setEnabled(self.list.selectionModel().hasSelection())

    # Classes ----------------------------------------------------------------------

    def labels_chosen(self) -> list[int]:
        """Return the ids of the objects that a class is given to.

        That is the chosen object; or, while no object is being clicked, those that are
        selected in the list, if it is to be seen.
        """
        annotation, chosen = self.controller.annotation, self.picking.chosen
        if annotation is None or annotation.current is None:
            return []
        if chosen is not None:
            return [chosen[1]]
        if annotation.current.current.clicks:
            return []
        return [label for _, label in self._in_sight()]

    def _show_classes(self) -> None:
        """Show which classes there are, once there is more than one."""
        known = self.classes.known
        self.table.show_classes(known)
        self.list.setColumnHidden(CLASS, not known.used)
        self.list.fit_columns()
        name = CLASS_TEXT
        if known.used:
            name = f"{CLASS_TEXT}: {known.classes[self.classes.active].name}"
        short = self.class_button.fontMetrics()
        elided = short.elidedText(name, Qt.TextElideMode.ElideRight, CLASS_WIDTH)
        self.class_button.setText(f"{elided} {ARROW}")

    def _offer_classes(self) -> None:
        """Fill the menu: the classes, a new one, and how they look."""
        menu, known = self.class_button.menu(), self.classes.known
        active = self.classes.active
        chosen = known.classes[active].name
        menu.clear()
        for number, (name, colour) in enumerate(known.classes):
            key = key_of(f"class_{number + 1}") if number < CLASS_KEYS else ""
            action = menu.addAction(f"{name}\t{key}" if key else name)
            action.setIcon(_square(colour))
            action.setCheckable(True)
            action.setChecked(number == active)
            action.triggered.connect(partial(self._choose_class, number))
        menu.addSeparator()
        menu.addAction(NEW_CLASS, self._on_new_class)
        rename = partial(self._on_rename, active, chosen)
        menu.addAction(RENAME.format(chosen), rename)
        menu.addAction(COLOUR.format(chosen), partial(self._on_colour, active))

    def _choose_class(self, number: int, *_: Any) -> None:
        self.classes.choose(number)

    def _on_new_class(self) -> None:
        number = len(self.classes.known.classes)
        name, given = QInputDialog.getText(self, NEW_CLASS, CLASS_NAME)
        if given and self._named(number, name.strip() or None):
            self.classes.choose(number)

    def _on_rename(self, number: int, before: str) -> None:
        title = RENAME.format(before)
        name, given = QInputDialog.getText(self, title, CLASS_NAME, text=before)
        if given:
            self._named(number, name)

    def _on_colour(self, number: int) -> None:
        known = self.classes.known.classes[number]
        chosen = QColorDialog.getColor(QColor(known.colour), self)
        if chosen.isValid():
            self.classes.rename(number, None, chosen.name())

    def _named(self, number: int, name: str | None) -> bool:
        """Name a class; tell why if that is not possible."""
        try:
            self.classes.rename(number, name)
        except InputError as error:
            self.classes.say(str(error))
            return False
        return True

    # The list ---------------------------------------------------------------------

    def selected(self) -> list[Found]:
        """Return the objects whose rows are selected."""
        return [self.table.rows[row] for row in self._selected_rows()]

    def _in_sight(self) -> list[tuple[Plane, int]]:
        """Return planes and ids of the selected rows, if the list is to be seen."""
        rows = self.selected() if self.list.isVisible() else []
        return [(found.plane, found.label) for found in rows]

    def _command(self, name: str, *_: object) -> None:
        self.controller.command(name)
        self._show_buttons()

    def go_to_next(self) -> None:
        """Go to the object after the selected one; after the last, to the first."""
        self._go_to(max(self._rows_here(), default=-1) + 1)

    def go_to_previous(self) -> None:
        """Go to the object before the selected one; before the first, to the last."""
        self._go_to(min(self._rows_here(), default=0) - 1)

    def go_to_next_label(self) -> None:
        """Go to the object of the next higher label; after the last, of the lowest."""
        self._go_to_label(1)

    def go_to_previous_label(self) -> None:
        """Go to the object of the next lower label; before the first, of the last."""
        self._go_to_label(-1)

    def _go_to_label(self, direction: int) -> None:
        """Go to the object whose label is next to the selected one, in the middle.

        Of those on several planes, that on the displayed plane, or else the first.
        """
        annotation, rows = self.controller.annotation, self.table.rows
        if annotation is None or not rows:
            return
        now = int(annotation.layers.labels.selected_label)
        known = {found.label for found in rows}
        beyond = {label for label in known if (label - now) * direction > 0} or known
        label = min(beyond) if direction > 0 else max(beyond)
        there = [n for n, found in enumerate(rows) if found.label == label]
        here = [n for n in there if self._is_displayed(rows[n].plane)]
        first = min(there, key=lambda n: place_of(rows[n]))
        self._go_to((here or [first])[0], centred=True)

    def _go_to(self, row: int, *, centred: bool = False) -> None:
        """Choose the object of a row and go to it; beyond the last is the first."""
        count = self.table.rowCount()
        if count:
            found = self.table.rows[row % count]
            self._select(row % count)
            self._show(found, centred=centred)
            self.picking.choose_on(found.plane, found.label)

    def _rows_here(self) -> list[int]:
        """Return the selected rows, or else the one that was gone to last."""
        rows = self._selected_rows()
        if rows or self._visited is None:
            return rows
        return [
            n for n, one in enumerate(self.table.rows) if one.place == self._visited
        ]

    def _on_selected(self, *_: Any) -> None:
        """Let go of the chosen object once other rows are selected."""
        known = self.picking.chosen
        if known is not None:
            places = self._selected_places()
            if places and places != {(known[1], known[0])}:
                self.picking.choose_none()
        self._show_buttons()

    def _selected_places(self) -> set[tuple[int, Plane]]:
        """Return what tells the selected objects from others."""
        return {found.place for found in self.selected()}

    def _selected_rows(self) -> list[int]:
        return [place.row() for place in self.list.selectionModel().selectedRows()]

    def _on_chosen(self) -> None:
        """Select the row of an object while it is chosen on the canvas."""
        known, before = self.picking.chosen, self._followed
        self._followed = known
        if known is None:
            if before is not None and self._is_displayed(before[0]):
                self._deselect(before)
            return
        plane, label = known
        self._visited = label, plane
        rows = (n for n, row in enumerate(self.table.rows) if row.label == label)
        row = next((n for n in rows if self.table.rows[n].plane == plane), None)
        if row is not None:
            self._select(row)

    def _deselect(self, known: tuple[Plane, int]) -> None:
        """Deselect the row of an object, if it alone is selected."""
        if self._selected_places() == {(known[1], known[0])}:
            self.list.clearSelection()

    def _is_displayed(self, plane: Plane) -> bool:
        annotation = self.controller.annotation
        current = None if annotation is None else annotation.current
        return current is not None and current.plane == plane

    def _select(self, row: int) -> None:
        """Select one row alone, whatever keys are held, and bring it into sight."""
        model, place = self.list.selectionModel(), self.table.index(row, 0)
        flags = QItemSelectionModel.SelectionFlag
        model.select(place, flags.ClearAndSelect | flags.Rows)
        model.setCurrentIndex(place, flags.NoUpdate)
        self.list.scrollTo(place)

    def delete_selected(self) -> None:
        """Delete the selected objects, as one undo step of the labels layer."""
        annotation, chosen = self.controller.annotation, self.selected()
        if annotation is None or not chosen:
            return
        annotation.delete([(found.plane, found.label) for found in chosen])

    def _on_replacing(self, first: int, last: int) -> None:
        """Note which of the rows are selected that are about to be replaced."""
        model = self.list.selectionModel()
        rows = range(first, last) if model.hasSelection() else ()
        self._chosen = {
            self.table.rows[row].place
            for row in rows
            if model.isSelected(self.table.index(row, 0))
        }

    def _on_replaced(self, first: int, last: int) -> None:
        """Select again what was selected of the rows that were replaced."""
        selection, columns = QItemSelection(), self.table.columnCount()
        for row in range(first, last) if self._chosen else ():
            if self.table.rows[row].place in self._chosen:
                begin = self.table.index(row, 0)
                selection.select(begin, self.table.index(row, columns - 1))
        if not selection.isEmpty():
            select = QItemSelectionModel.SelectionFlag.Select
            self.list.selectionModel().select(selection, select)
        self._chosen = set()
        self.list.fit_columns()

    # Reactions --------------------------------------------------------------------

    def _on_row(self, place: QModelIndex) -> None:
        """Go to an object; it is chosen if its row alone is selected."""
        if self.controller.annotation is not None:
            self.list.setFocus()  # for the Delete key
            found = self.table.rows[place.row()]
            self._show(found, centred=True)
            if self._selected_places() == {found.place}:
                self.picking.choose_on(found.plane, found.label)

    def _show(self, found: Found, *, centred: bool = False) -> None:
        """Show an object, in the middle or anywhere, and select its label."""
        annotation = self.controller.annotation
        if annotation is None:
            return
        self._visited = found.place
        annotation.layers.labels.selected_label = found.label
        bring_into_view(
            annotation.viewer,
            annotation.image,
            annotation.layers.labels,
            found.plane,
            found.entry.box,
            centred=centred,
        )
        self.flash.show(found.plane, [one.label for one in self.selected()])

    def _on_refine(self) -> None:
        self.picking.refine_selected()


def _square(colour: str) -> QIcon:
    """Return a small square of a colour."""
    picture = QPixmap(12, 12)
    picture.fill(QColor(colour))
    return QIcon(picture)


def summary(rows: Sequence[Found], *, started: bool) -> str:
    """Return the number of objects as a text, or how to get some.

    Parameters
    ----------
    rows
        The objects, plane by plane: one on several planes is one object.
    started
        Whether an image is being annotated.
    """
    if not started:
        return NOT_STARTED
    if not rows:
        return NO_OBJECT
    count, planes = len({row.label for row in rows}), len({row.plane for row in rows})
    objects = counted(count, "finished object")
    return f"{objects} on {planes} planes" if planes > 1 else objects
