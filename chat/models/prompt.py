from __future__ import annotations

import re

from django.db import models
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from chat.models.library import LibraryItem

# {{name}} or {{name:what stands there unless it is changed}}. Nothing is tried twice, whatever the text is.
VARIABLE = re.compile(r"\{\{\s*+([^{}:\s][^{}:]*+)(?::([^{}]*+))?\}\}")


class Prompt(LibraryItem):
    """A text to begin a message with; its variables are asked for when it is used."""

    KIND = "prompt"
    TEXT_LENGTH = 20_000
    SNIPPET_LENGTH = 100

    text = models.TextField(_("Text"), max_length=TEXT_LENGTH)

    @property
    def variables(self) -> dict[str, str]:
        """Their names in the order of the text, each with what stands there at first."""
        found: dict[str, str] = {}
        for name, default in VARIABLE.findall(self.text):
            found[name.strip()] = found.get(name.strip()) or default.strip()
        return found

    @property
    def snippet(self) -> str:
        return " ".join(self.text.split())[: self.SNIPPET_LENGTH]

    @property
    def with_gaps(self) -> SafeString:
        """The text as markup, with an empty element in the place of each variable."""
        # split() gives text, name, default, text, name, default, … text.
        *pieces, end = VARIABLE.split(self.text)
        names = [name.strip() for name in pieces[1::3]]
        gaps = format_html_join("", '{}<i data-gap="{}"></i>', zip(pieces[::3], names, strict=True))
        return gaps + format_html_join("", "{}", [(end,)])
