"""Tools for finished objects: regrouping, classes, features of the labels layer."""
