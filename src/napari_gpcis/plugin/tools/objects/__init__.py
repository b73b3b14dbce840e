"""Tools for finished objects: index, table, classes, regrouping, features of labels."""
