"""Undo and redo: the edits of finished objects and strokes by hand, and their order."""
