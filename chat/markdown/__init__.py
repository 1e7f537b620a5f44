"""Markdown to safe HTML, whole and block by block; the only user of markdown-it-py, Pygments, nh3 and latex2mathml."""

from .blocks import Block, BlockRenderer, render, render_blocks
from .plain import heading_of, plain, title_from
from .words import in_language

__all__ = ["Block", "BlockRenderer", "heading_of", "in_language", "plain", "render", "render_blocks", "title_from"]
