"""One image being annotated in a viewer: the way of a click and of an undo."""
