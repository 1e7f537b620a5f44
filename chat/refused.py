from __future__ import annotations


class Refused(Exception):
    """Something a person asked for can't be done; the text says why, in words for that person."""
