"""Objects of labels: their classes, their measures."""
