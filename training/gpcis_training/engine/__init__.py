"""The training engine: one resumable loop and what it is made of."""
