"""Rendered blocks of Mermaid, each with its diagram above the source, or with the words that there is none."""

from __future__ import annotations

import re
import secrets
from html import escape, unescape
from importlib.util import find_spec
from urllib.parse import quote

from .artist import Artist
from .svg import Picture

# What people and models write is escaped, so in none of it stands such a tag.
_BLOCK = re.compile(
    r'(?P<head><div class="code" data-language="mermaid"[^>]*>'
    r'<div class="code__header"><span class="code__language">Mermaid</span>)(?P<buttons>.*?</div>)'
    r'(?P<source><pre dir="ltr" tabindex="0"><code>(?P<code>[^<]*)</code></pre>)'
)
_DRAWN = re.compile(
    r'<span class="code__view" .*?</span>|<div class="diagram" .*?</div>|<p class="code__note">.*?</p>', re.DOTALL
)
_NOTE = '<p class="code__note">This diagram can’t be drawn, so here is its source.</p>'
# No sign that ends an attribute or begins a tag.
_KEPT = " !$'()*+,/:;=?@[]{}^|~"


def drawn(html: str) -> str:
    """The HTML of a whole reply, with a diagram in each of its blocks of Mermaid. Where the renderer is not installed
    they stay as they are."""
    if not _BLOCK.search(html) or not find_spec("merman"):
        return html
    artist = Artist()
    return _BLOCK.sub(lambda block: _with_picture(block, artist.draw(unescape(block["code"]))), html)


def redrawn(html: str, before: str) -> str:
    """The HTML of a reply that was rendered again after a change, with the diagrams it had `before`, as far as their
    sources are the same; the others are shown as source."""
    known: dict[str, list[str]] = {}
    for part in re.split('(?=<div class="code" data-language="mermaid")', before):
        if block := _BLOCK.match(_DRAWN.sub("", part)):
            known[block["code"]] = _DRAWN.findall(part)
    return _BLOCK.sub(lambda block: _with_parts(block, known.get(block["code"], [])), html)


def _with_picture(block: re.Match[str], picture: Picture | None) -> str:
    return _with_parts(block, [_switch(), _image(picture, unescape(block["code"]))] if picture else [_NOTE])


def _with_parts(block: re.Match[str], parts: list[str]) -> str:
    """The block with the switch in its header, and what there is to see between header and source."""
    switch = "".join(part for part in parts if part.startswith("<span"))
    seen = "".join(part for part in parts if not part.startswith("<span"))
    return f"{block['head']}{switch}{block['buttons']}{seen}{block['source']}"


def _switch() -> str:
    name = f"view-{secrets.token_hex(4)}"  # buttons of one name are one group in all of the page
    return (
        '<span class="code__view" role="radiogroup" aria-label="View">'
        f'<label><input type="radio" name="{name}" value="diagram" checked>Diagram</label>'
        f'<label><input type="radio" name="{name}" value="source">Source</label></span>'
    )


def _image(picture: Picture, source: str) -> str:
    """As an image the SVG is a document apart, in which browsers run no script and load nothing."""
    return (
        '<div class="diagram" dir="ltr" role="group" aria-label="Diagram" tabindex="0">'
        f'<img src="data:image/svg+xml,{quote(picture.svg, safe=_KEPT)}" width="{picture.width}"'
        f' height="{picture.height}" alt="{escape(source.strip())}"></div>'
    )
