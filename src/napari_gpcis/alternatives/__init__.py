"""Alternatives: other masks that the same clicks may mean."""

from __future__ import annotations

from napari_gpcis.alternatives.choices import Choices
from napari_gpcis.alternatives.selection import Alternative, alternatives, select

__all__ = ["Alternative", "Choices", "alternatives", "select"]
