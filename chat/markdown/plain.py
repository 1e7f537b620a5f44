"""Markdown to words without marks, for titles and previews."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from chat.text import clean_text

from .parser import PARSER, parse

MAX_TITLE_WIDTH = 60
MAX_TITLE_LENGTH = 150  # a title of accents alone has no width
MAX_TITLE_SOURCE = 4_000

# Controls that turn the direction of the text around them; in a list of titles they would turn the list.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_TASK = re.compile(r"\[[ xX]\] ")
_HEADING = re.compile(r"\s*(#{1,3} +\S.*)")


def plain(text: str) -> str:
    """Markdown, its words without marks: one line for each paragraph, heading, cell, and line of code."""
    return "\n".join(words for words, _ in _passages(clean_text(text)) if words)


def title_from(text: str) -> str:
    """A message, its first words as a title: one line of at most 60 columns, prose rather than code."""
    source = clean_text(text)[:MAX_TITLE_SOURCE]
    passages = [(" ".join(_CONTROLS.sub("", words).split()), is_code) for words, is_code in _passages(source)]
    prose = [words for words, is_code in passages if words and not is_code]
    code = [words for words, is_code in passages if words and is_code]
    first = next(iter(prose + code), "") or " ".join(_CONTROLS.sub("", source).split())
    return _shorten(first) or "New chat"


def heading_of(text: str) -> str:
    """The heading that a text begins with, as a title; empty where it begins with anything else."""
    heading = _HEADING.match(text)
    return title_from(heading[1]) if heading else ""


def _passages(source: str) -> Iterator[tuple[str, bool]]:
    """The words of each passage, and whether they are code."""
    parts, references = parse(source, {})
    for token in (token for part in parts for token in part.tokens):
        if token.type in ("fence", "code_block"):
            yield from ((line, True) for line in token.content.splitlines())
        elif token.type == "math_block":
            yield token.content.strip(), False
        elif token.type == "inline":
            inline = token.copy(children=[])
            PARSER.core.process(StateCore("", PARSER, {"references": references}, [inline]))
            yield _TASK.sub("", _words(inline.children or []), count=1), False


def _words(tokens: list[Token]) -> str:
    return "".join(
        _words(token.children) if token.children else "\n" if token.type.endswith("break") else token.content
        for token in tokens
    )


def _shorten(line: str) -> str:
    """As many whole words as fit, or as many characters where there is no end of a word, as in Chinese."""
    width = 0
    for i, char in enumerate(line):
        width += _width(char)
        if width > MAX_TITLE_WIDTH or i == MAX_TITLE_LENGTH:
            end = _whole_characters(line, i - 1)
            words = line[:end].rpartition(" ")[0] if line[end : end + 1] != " " else line[:end]
            # Half a line that is one word, or has none: cut within it.
            return (words if len(words) > end // 2 else line[:end]).rstrip(" ,;:-–—(") + "…"
    return line


def _width(char: str) -> int:
    return 2 if unicodedata.east_asian_width(char) in "WF" else 0 if unicodedata.combining(char) else 1


def _whole_characters(line: str, end: int) -> int:
    """The last place up to `end` that does not part a character from its accents or an emoji from its parts."""
    joining = "\u200d\ufe0e\ufe0f"
    while end > 1 and (
        unicodedata.combining(line[end])
        or line[end] in joining
        or line[end - 1] == "\u200d"
        or "\U0001f3fb" <= line[end] <= "\U0001f3ff"
    ):
        end -= 1
    return end
