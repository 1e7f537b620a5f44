from __future__ import annotations

import re

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def clean_text(text: str) -> str:
    """Text as a person or a model gave it in, text which any database and browser takes out: no NUL, no lone
    surrogate, every line end a line feed."""
    return _UNSTORABLE.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
