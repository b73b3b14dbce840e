"""Saving, autosave, recovery and export."""
