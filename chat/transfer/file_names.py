"""Names for files that every system takes and no shell or browser misreads."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 80
# Separators, wildcards and quotes; controls, marks that turn the direction of text, what has no glyph.
_UNSAFE = re.compile(r'[\\/:*?"<>|%~$`\']')
_RESERVED = re.compile(r"(?i)(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)")
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def file_name(title: str, ending: str) -> str:
    """A title as the name of a file with an ending such as `.md`."""
    shown = "".join(" " if unicodedata.category(character) in _HIDDEN else character for character in title)
    stem = " ".join(_UNSAFE.sub(" ", shown).split())[:LONGEST].strip(" .-")
    while len(stem.encode()) > 2 * LONGEST:
        stem = stem[:-1]
    return f"{'chat' if not stem or _RESERVED.match(stem) else stem}{ending}"
