"""Panels: the foldable sections of the dock widget below the main buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_gpcis.plugin.dock.panels.clicking import ClickingPanel
from napari_gpcis.plugin.dock.panels.files import FilesPanel
from napari_gpcis.plugin.dock.panels.folder import FolderPanel
from napari_gpcis.plugin.dock.panels.image import ChannelsPanel, ContrastPanel
from napari_gpcis.plugin.dock.panels.model import ModelPanel
from napari_gpcis.plugin.dock.panels.objects import ObjectsPanel
from napari_gpcis.plugin.dock.panels.other_masks import OtherMasksPanel
from napari_gpcis.plugin.dock.panels.shortcuts import ShortcutsPanel
from napari_gpcis.plugin.dock.panels.similar import SimilarPanel
from napari_gpcis.plugin.dock.panels.stack import StackPanel
from napari_gpcis.plugin.dock.panels.superpixels import SuperpixelsPanel
from napari_gpcis.plugin.dock.panels.uncertainty import UncertaintyPanel

if TYPE_CHECKING:
    from napari_gpcis.plugin.dock.panels.base import Panel

PANELS: tuple[type[Panel], ...] = (
    ClickingPanel,
    OtherMasksPanel,
    SuperpixelsPanel,
    UncertaintyPanel,
    StackPanel,
    ObjectsPanel,
    SimilarPanel,
    FilesPanel,
    FolderPanel,
    ChannelsPanel,
    ContrastPanel,
    ModelPanel,
    ShortcutsPanel,
)
"""The sections, page by page, in their order from top to bottom."""
