"""Fine-tuning inside napari: a dock widget and the process that trains for it."""
