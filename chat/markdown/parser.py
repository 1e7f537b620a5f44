"""Markdown source to top-level blocks: which rules hold, and where one block ends and the next begins."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Any, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

MAX_NESTING = 30
MAX_INLINE_MATH = 2_000

References = dict[str, Any]

_SAFE_LINK = re.compile(r"(?:https?://|mailto:)[^\s/?#\\]", re.IGNORECASE)
# Only ASCII: in Chinese and Japanese the next sentence follows the address without a space.
_ADDRESS = re.compile(r"://[a-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]{1,2000}", re.IGNORECASE)
_SCHEME = re.compile(r"(?<![a-z0-9])https?$", re.IGNORECASE)
_MATH_OPENER = re.compile(r"\$\$|\\\[|\\begin\{((?:equation|align|alignat|gather|multline|[bBpvV]?matrix|cases)\*?)\}")
_MATH_CLOSERS = {"$$": "$$", "\\[": "\\]", "\\(": "\\)", "$": "$"}
_CLOSING_DOLLAR = re.compile(r"(?<!\\)\$")
_PRICE = re.compile(r"\d[\d.,]*[kKmMbB]?\s+[A-Za-z]{2,}")
_ASCII_WORD = re.compile(r"[0-9A-Za-z]")


class Part(NamedTuple):
    """One top-level block: its tokens, and where its source starts (after the block before it) and ends."""

    tokens: list[Token]
    start: int
    end: int


class Parser(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802
        return _SAFE_LINK.match(url) is not None


def parse(source: str, references: References, is_open: bool = False) -> tuple[list[Part], References]:
    """Clean text and the link references known before it, its blocks and all references known after it.
    Of an open source more may follow: a formula without end is then one block, not a paragraph."""
    env: dict[str, Any] = {"references": dict(references), "is_open": is_open}
    tokens: list[Token] = []
    PARSER.block.parse(source, PARSER, env, tokens)
    line_starts = list(accumulate((len(line) + 1 for line in source.split("\n")), initial=0))
    line_starts[-1] = len(source)
    parts: list[Part] = []
    first = end = 0
    for i, token in enumerate(tokens):
        if token.level or token.nesting > 0:
            continue
        opening = tokens[first]
        assert opening.map is not None
        start, end = end, line_starts[opening.map[1]]
        parts.append(Part(tokens[first : i + 1], start, end))
        first = i + 1
    return parts, env["references"]


def _math_block(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """`$$ … $$`, `\\[ … \\]` and `\\begin{align} … \\end{align}` on lines of their own, without a blank line inside."""
    if state.is_code_block(start_line):
        return False
    opener = _MATH_OPENER.match(
        state.src, state.bMarks[start_line] + state.tShift[start_line], state.eMarks[start_line]
    )
    if opener is None:
        return False
    environment = opener[1]
    closer = f"\\end{{{environment}}}" if environment else _MATH_CLOSERS[opener[0]]
    last_line, stop = _closing_line(state, start_line, end_line, opener.end(), closer)
    has_ended = stop is not None
    if stop is None:
        if last_line < end_line or state.level or not state.env["is_open"]:
            return False
        stop, last_line = state.eMarks[end_line - 1], end_line - 1
    if not silent:
        begin, stop = (opener.start(), stop + len(closer)) if environment and has_ended else (opener.end(), stop)
        token = state.push("math_block", "math", 0)
        token.block = True
        token.content = (
            state.src[begin:stop] if last_line == start_line else _lines(state, start_line, begin, last_line, stop)
        )
        token.markup = opener[0]
        token.meta = {"has_ended": has_ended}
        token.map = [start_line, last_line + 1]
    state.line = last_line + 1
    return True


def _closing_line(state: StateBlock, start_line: int, end_line: int, begin: int, closer: str) -> tuple[int, int | None]:
    """The line that closes a formula and the position of its closer; the line where the search gave up and None."""
    # Without this memory a text of nothing but openers would be searched to its end once for each of them.
    barren = state.env.setdefault("barren", {})
    key = (closer, state.blkIndent, end_line)
    if start_line < barren.get(key, 0):
        return barren[key], None
    line = start_line
    while line < end_line and not (line > start_line and (state.isEmpty(line) or state.sCount[line] < state.blkIndent)):
        if line > start_line:
            begin = state.bMarks[line] + state.tShift[line]
        stop = state.src.find(closer, begin, state.eMarks[line])
        if stop >= 0:
            is_last = not state.src[stop + len(closer) : state.eMarks[line]].strip()
            is_empty = line == start_line and not state.src[begin:stop].strip()
            if is_last and not is_empty:
                return line, stop
            break
        line += 1
    if line > start_line:
        barren[key] = line
    return line, None


def _lines(state: StateBlock, start_line: int, begin: int, last_line: int, stop: int) -> str:
    between = [
        state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]
        for line in range(start_line + 1, last_line)
    ]
    last = state.src[state.bMarks[last_line] + state.tShift[last_line] : stop]
    return "\n".join([state.src[begin : state.eMarks[start_line]], *between, last])


def _math_inline(state: StateInline, silent: bool) -> bool:
    """`$ … $`, `$$ … $$`, `\\( … \\)` and `\\[ … \\]` within a line of text."""
    opener = state.src[state.pos : state.pos + 2]
    if opener not in _MATH_CLOSERS:
        opener = opener[:1]
        if opener != "$":
            return False
    begin = state.pos + len(opener)
    stop = _inline_end(state, opener, begin)
    if stop < 0 or not state.src[begin:stop].strip():
        return False
    if not silent:
        token = state.push("math_inline", "math", 0)
        token.content = state.src[begin:stop]
        token.markup = opener
    state.pos = stop + len(opener)
    return True


def _inline_end(state: StateInline, opener: str, begin: int) -> int:
    limit = min(state.posMax, begin + MAX_INLINE_MATH)
    if opener != "$":
        return state.src.find(_MATH_CLOSERS[opener], begin, limit)
    found = _CLOSING_DOLLAR.search(state.src, begin, limit)
    if found is None or found.start() == begin:
        return -1
    stop = found.start()
    before, after = state.src[max(begin - 2, 0) : begin - 1], state.src[stop + 1 : stop + 2]
    content = state.src[begin:stop]
    is_formula = not (
        content[0].isspace()
        or content[-1].isspace()
        or before == "$"
        or _ASCII_WORD.match(before)
        or _ASCII_WORD.match(after)
        or "`" in content
        or _PRICE.match(content)
    )
    return stop if is_formula else -1


def _bare_address(state: StateInline, silent: bool) -> bool:
    """`https://…` without brackets becomes a link."""
    if silent or state.linkLevel or state.src[state.pos] != ":":
        return False
    scheme = _SCHEME.search(state.src, max(state.pos - 6, 0), state.pos)
    found = _ADDRESS.match(state.src, state.pos, state.posMax)
    if scheme is None or found is None or not state.pending.endswith(scheme[0]):
        return False
    address = scheme[0] + _trim(found[0])
    href = state.md.normalizeLink(address)
    if not state.md.validateLink(href):
        return False
    state.pending = state.pending[: -len(scheme[0])]
    state.push("link_open", "a", 1).attrs = {"href": href}
    state.push("text", "", 0).content = address
    state.push("link_close", "a", -1)
    state.pos += len(address) - len(scheme[0])
    return True


def _trim(address: str) -> str:
    """An address without the punctuation of the sentence it stands in."""
    while address[-1] in "?!.,:;*_~'" or (
        address[-1] in ")]" and address.count(address[-1]) > address.count("(" if address[-1] == ")" else "[")
    ):
        address = address[:-1]
    return address


def _build() -> Parser:
    parser = Parser("commonmark", {"html": False, "breaks": True, "maxNesting": MAX_NESTING})
    parser.enable(["table", "strikethrough"]).disable(["html_block", "html_inline"])
    parser.core.ruler.enableOnly(["inline", "text_join"])
    parser.block.ruler.before(
        "fence", "math_block", _math_block, {"alt": ["paragraph", "reference", "blockquote", "list"]}
    )
    parser.inline.ruler.before("escape", "math_inline", _math_inline)
    parser.inline.ruler.push("bare_address", _bare_address)
    return parser


PARSER = _build()
