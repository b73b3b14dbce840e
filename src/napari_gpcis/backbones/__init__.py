"""Feature networks, one file each."""

from napari_gpcis.backbones.base import (
    Backbone,
    available,
    create_backbone,
    register,
)

__all__ = ["Backbone", "available", "create_backbone", "register"]
