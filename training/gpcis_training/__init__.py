"""Training and evaluation of the networks of napari-gpcis."""
