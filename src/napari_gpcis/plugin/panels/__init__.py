"""Sections of the dock widget below the main buttons, each folded until wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_gpcis.plugin.panels.channels import ChannelsPanel
from napari_gpcis.plugin.panels.clicking import ClickingPanel
from napari_gpcis.plugin.panels.contrast import ContrastPanel
from napari_gpcis.plugin.panels.files import FilesPanel
from napari_gpcis.plugin.panels.model import ModelPanel
from napari_gpcis.plugin.panels.objects import ObjectsPanel
from napari_gpcis.plugin.panels.shortcuts import ShortcutsPanel
from napari_gpcis.plugin.panels.stack import StackPanel
from napari_gpcis.plugin.panels.uncertainty import UncertaintyPanel

if TYPE_CHECKING:
    from napari_gpcis.plugin.panels.base import Panel

PANELS: tuple[type[Panel], ...] = (
    ObjectsPanel,
    ClickingPanel,
    UncertaintyPanel,
    StackPanel,
    ChannelsPanel,
    ContrastPanel,
    ModelPanel,
    FilesPanel,
    ShortcutsPanel,
)
"""The sections, in their order from top to bottom."""
