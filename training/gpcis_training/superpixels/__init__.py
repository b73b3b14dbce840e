"""Learned superpixels: training and evaluation."""
