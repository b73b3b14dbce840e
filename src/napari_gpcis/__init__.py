"""Interactive segmentation as Gaussian process classification."""
