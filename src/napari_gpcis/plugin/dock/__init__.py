"""The dock: Qt widgets that show and ask, and compute nothing."""
