"""Layers and planes of a napari viewer."""
