"""Wording of counts: one thing or several, as messages say it."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Return a number of things in words.

    Parameters
    ----------
    count
        The number, at least 0.
    noun
        One of them, whose plural ends in s.

    Examples
    --------
    >>> counted(3, "image"), counted(1, "image"), counted(0, "image")
    ('3 images', '1 image', 'no images')
    """
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"


def counted_are(count: int, noun: str) -> str:
    """Return a number of things in words, as the beginning of a sentence on them.

    Parameters
    ----------
    count, noun
        See `counted`.

    Examples
    --------
    >>> counted_are(3, "plane"), counted_are(1, "plane")
    ('3 planes are', '1 plane is')
    """
    return f"{counted(count, noun)} {'is' if count == 1 else 'are'}"
