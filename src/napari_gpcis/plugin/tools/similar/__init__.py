"""Objects like the finished ones: the search, and what becomes of its candidates."""
