"""Mermaid of a finished reply as diagrams: drawn by a process of its own, cleaned, and put into the page as images."""

from .blocks import drawn, redrawn

__all__ = ["drawn", "redrawn"]
