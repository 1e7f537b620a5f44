"""What people write by oversight and would not show to others: e-mail addresses, keys and passwords in a text."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

STRUCK = "█████"

_SIGN = r"\s*(?:(?:is|are|ist|lautet)\s+|[:=：]+>?\s*|是\s*|为\s*)"
_SECRET_WORD = (
    r"(?:pass(?:word|wd|phrase|code)?|pwd|secret|api[ _-]?key|access[ _-]?key|auth[ _-]?token|token|bearer"
    r"|密码|口令|密钥|令牌)"
)
# Each finds the private part alone; it is the whole, or the group.
_PATTERNS = [
    re.compile(pattern, flags)
    for pattern, flags in (
        (r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[\s\S]{0,4000}?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)", 0),
        (r"[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{0,200}:([^\s/@]{1,200})@", re.IGNORECASE),
        (r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}", 0),
        (r"\beyJ[\w-]{8,2000}\.[\w-]{8,4000}\.[\w-]{4,}", 0),
        (r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", 0),
        (r"\bAIza[\w-]{30,}", 0),
        (r"\b(?:sk|pk|rk|hf|gh[pousr]|github_pat|glpat|xox[abeprs]|npm|pypi|dop_v1|shpat)[-_][\w-]{12,}", 0),
        (rf"{_SECRET_WORD}[\"'`]?{_SIGN}[\"'`*]*(?![\w.]+\()([^\s\"'`,;]{{4,200}})", re.IGNORECASE),
        (r"\bBearer\s+([\w.~+/=-]{12,})", 0),
        (
            r"\b(?=[A-Za-z+/_-]{0,99}\d)(?=[\da-z+/_-]{0,99}[A-Z])(?=[\dA-Z+/_-]{0,99}[a-z])[A-Za-z0-9+/_-]{40,}={0,2}",
            0,
        ),
        (r"\b[0-9a-f]{32,128}\b", 0),
    )
]


def found(texts: Iterable[str]) -> list[str]:
    """Each private part once, in the order in which they stand in the texts."""
    places: dict[str, None] = {}
    for text in texts:
        for _, part in sorted(_places(text)):
            places.setdefault(part)
    return list(places)


def struck(text: str, kept: Collection[str] = ()) -> str:
    """The text with its private parts struck out, except those that are kept on purpose."""
    parts = {part for _, part in _places(text)} - set(kept)
    for part in sorted(parts, key=len, reverse=True):  # or a short one would spoil a long one that holds it
        text = text.replace(part, STRUCK)
    return text


def _places(text: str) -> set[tuple[int, str]]:
    places: set[tuple[int, str]] = set()
    for pattern in _PATTERNS:
        for match in pattern.finditer(text):
            group = pattern.groups
            part = match[group].rstrip(".)")
            if part and STRUCK not in part:
                places.add((match.start(group), part))
    return places
