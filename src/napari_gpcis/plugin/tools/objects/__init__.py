"""Tools that tell of finished objects: classes, features of the labels layer."""
