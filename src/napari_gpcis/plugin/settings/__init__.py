"""Preferences, commands and their keys."""
