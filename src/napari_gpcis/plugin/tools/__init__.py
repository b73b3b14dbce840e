"""Tools of an annotation, one behaviour a file."""
