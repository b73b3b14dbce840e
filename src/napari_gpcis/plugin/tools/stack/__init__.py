"""The stack: its planes, propagation of an object through them, copies to the next."""
