"""Tools that show something and change nothing."""
