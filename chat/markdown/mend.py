"""A text that still grows, as it will probably look."""

from __future__ import annotations

import re

_MARK = re.compile(r"\\.|(?P<code>`+)|(?P<mark>\*\*|\*|~~|__|_)", re.DOTALL)
_CUT_LINK = re.compile(r"!?(?<!\w)\[([^\[\]\n]{0,200})(?:\](?:\([^()\s]{0,2000})?)?$")
_WORD = re.compile(r"\w", re.ASCII)


def mended(text: str) -> str:
    """Text cut anywhere, the same without half a mark and with its open marks closed: of `a **b` it makes `a **b**`."""
    text = _CUT_LINK.sub(r"\1", text.rstrip("*_~`"))
    open_marks: list[str] = []
    code = ""
    for found in _MARK.finditer(text):
        if code:
            code = "" if found["code"] == code else code
        elif found["code"]:
            code = found["code"]
        elif mark := found["mark"]:
            if mark in open_marks:
                del open_marks[open_marks.index(mark) :]
            elif _opens(text, found.start(), found.end()):
                open_marks.append(mark)
    if not (code or open_marks):
        return text
    return text.rstrip() + code + "".join(reversed(open_marks))


def _opens(text: str, start: int, end: int) -> bool:
    return not text[end : end + 1].isspace() and (start == 0 or not _WORD.match(text[start - 1]))
