"""Pages of the dock: sections under tabs, so that each page fits into the window."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QTabWidget, QToolButton

from napari_gpcis.plugin.dock.base import SectionArea

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qtpy.QtGui import QShowEvent

    from napari_gpcis.plugin.dock.base import Section

ANNOTATE, STACK, REVIEW, FILES, SETTINGS, HELP_PAGE = (
    "Annotate",
    "Stack",
    "Review",
    "Files",
    "Settings",
    "?",
)
PAGES = {
    ANNOTATE: "What is needed while objects are clicked.",
    STACK: "The object on other planes: copying, propagating, filling in.",
    REVIEW: "The finished objects: to visit, correct and delete.",
    FILES: "Saving, opening, and export for other programs.",
    SETTINGS: "Channels, contrast and model.",
    HELP_PAGE: "How to click, and all keys.",
}
"""Titles of the tabs, from left to right, and their tooltips."""
_BARE = "QTabBar { background: transparent; border: 0px; padding: 0px; }"
"""Style without napari's ground and line beside the tabs."""


class Pages(QTabWidget):
    """Tabs with a scroll area of sections each.

    All pages are as wide as the widest. A section that is unfolded brings its page to
    the front. A page whose sections do not apply to the image has no tab, and a section
    that has a page for itself has no header: the tab says what it is.

    Parameters
    ----------
    sections
        The sections of each page, by the title of its tab.
    """

    def __init__(self, sections: Mapping[str, Sequence[Section]]) -> None:
        super().__init__()
        self.setDocumentMode(True)
        self.setUsesScrollButtons(False)
        bar = self.tabBar()
        bar.setDrawBase(False)
        bar.setStyleSheet(_BARE)
        for arrow in bar.findChildren(QToolButton):
            arrow.setToolTip(arrow.accessibleName())
        for title, help_text in PAGES.items():
            area = SectionArea(sections[title])
            place = self.addTab(area, title)
            self.setTabToolTip(place, help_text)
            for section in sections[title]:
                section.header.setVisible(len(sections[title]) > 1)
                section.toggled.connect(partial(self._on_toggled, area))
                section.applied.connect(self._show_tabs)
        self._show_tabs()

    @property
    def areas(self) -> tuple[SectionArea, ...]:
        """Scroll areas of the pages, from left to right."""
        found = (self.widget(place) for place in range(self.count()))
        return tuple(area for area in found if isinstance(area, SectionArea))

    def showEvent(self, event: QShowEvent) -> None:
        """Measure the pages behind the first one, too."""
        super().showEvent(event)
        for area in self.areas:
            area.measure()

    def _show_tabs(self) -> None:
        """Show the tabs of pages with something that applies."""
        for place, area in enumerate(self.areas):
            self.setTabVisible(place, area.applies)

    def _on_toggled(self, area: SectionArea, unfolded: bool) -> None:
        if unfolded:
            self.setCurrentWidget(area)
