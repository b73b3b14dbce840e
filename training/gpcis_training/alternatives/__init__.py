"""Training of learned alternatives: other masks that the same clicks may mean."""
