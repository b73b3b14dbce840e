"""The napari plugin: widgets, layers and threads around a session."""
