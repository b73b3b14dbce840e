"""Superpixels in the window: computed and outlined, painted with, snapped to."""
