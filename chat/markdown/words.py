"""The few words that rendering itself puts in. What is stored has them in English; a page gets them in its language."""

from __future__ import annotations

import re
from functools import cache
from html import escape

from django.utils.translation import gettext, override

_STORED_IN = "en"
# What people and models write is escaped, so in none of it stands such a tag.
_ADDED = re.compile(
    r'(<(?:copy|download)-button><button type="button">|<wrap-button role="button" tabindex="0">'
    r'|<button type="button" value="(?:csv|markdown)">|<div class="table-scroll" role="group" aria-label="'
    r'|<span class="code__language">|<a [^>]*class="image-link"[^>]*>'
    r'|<span class="code__view" role="radiogroup" aria-label="|<label><input type="radio" [^>]*>'
    r'|<div class="diagram" dir="ltr" role="group" aria-label="|<p class="code__note">)'
    r"(Copy as CSV|Copy as Markdown|Copy|Download|Wrap|Table|Text|Image|View|Diagram|Source"
    r'|This diagram can’t be drawn, so here is its source\.)(?=[<"])'
)


def in_language(html: str, language: str) -> str:
    """Rendered blocks, with the words of their buttons and labels in another language."""
    if language == _STORED_IN:
        return html
    words = _words(language)
    return _ADDED.sub(lambda found: found[1] + words[found[2]], html)


@cache
def _words(language: str) -> dict[str, str]:
    with override(language):
        words = {
            "Copy": gettext("Copy"),
            "Copy as CSV": gettext("Copy as CSV"),
            "Copy as Markdown": gettext("Copy as Markdown"),
            "Download": gettext("Download"),
            "Wrap": gettext("Wrap"),
            "Table": gettext("Table"),
            "Text": gettext("Text"),
            "Image": gettext("Image"),
            "View": gettext("View"),
            "Diagram": gettext("Diagram"),
            "Source": gettext("Source"),
            "This diagram can’t be drawn, so here is its source.": gettext(
                "This diagram can’t be drawn, so here is its source."
            ),
        }
    return {word: escape(translated) for word, translated in words.items()}
