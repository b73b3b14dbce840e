"""Masks in a Labels layer."""
