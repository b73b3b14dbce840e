"""Inference: an image and clicks become a prediction."""
