"""The napari plugin: all that needs napari or Qt."""
