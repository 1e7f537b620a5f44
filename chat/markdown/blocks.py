"""Text to blocks of HTML, whole or as it grows."""

from __future__ import annotations

import re
from dataclasses import dataclass

from markdown_it.token import Token

from chat.text import clean_text

from .parser import Part, References, parse
from .render import safe_code_shell, safe_html

# A last line like this is not shown until it goes on: it may become a list, a heading, a fence, a rule or a formula,
# and would jump from one to the other at each character.
_UNDECIDED = re.compile(
    r"[ \t]*(?:[-+*=#>|:_~`\s]*|\d{1,9}[.)]?[ \t]*|`{3,}[^`\n]*|~{3,}[^\n]*|\\\[?|\${1,2}|[-*+] \[.?\]?)"
)
# After an empty line, a last line that begins like this is a new block whatever follows, not one more item of a list.
_BEGINNING = re.compile(r"[^\s\-+*\d]|\*\*[^\s*]|\d{1,9}[^\d.)\n]")


def render(text: str) -> str:
    """Markdown of anybody, safe HTML."""
    return "".join(render_blocks(text))


def render_blocks(text: str) -> list[str]:
    """Markdown of anybody, the safe HTML of each of its top-level blocks."""
    parts, references = parse(clean_text(text), {})
    return [safe_html(part.tokens, references) for part in parts]


@dataclass(slots=True)
class Block:
    """HTML of one block. An open code block has only its shell there, and its text so far in `code`."""

    html: str
    code: str | None = None


class BlockRenderer:
    """One growing reply as blocks: those which are finished stay as they are, only the last is rendered again."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._deltas: list[str] = []
        self._texts: list[str] = []  # all of the reply, clean
        self._carriage_return = ""
        self._ends: list[int] = []  # where in the reply the source of each finished block ends
        self._tail = ""  # the source after the last finished block; empty while a fence holds it
        self._num_settled = 0  # characters of the tail already looked through for finished blocks
        self._fence: _OpenFence | None = None
        self._references: References = {}
        self._inlines: dict[str, str] = {}
        self._changed: set[int] = set()

    def append(self, delta: str) -> None:
        """Take in the next piece of the reply; nothing is rendered."""
        self._deltas.append(delta)

    def update(self) -> list[int]:
        """Render what was appended since the last call; the indexes of the blocks that changed, in order."""
        fresh = self._take()
        if self._fence:
            rest = self._fence.feed(fresh)
            if rest is not None:
                self._close_fence(self._fence, rest)
        else:
            self._tail += fresh
        if fresh:
            self._settle()
            self._show_open()
        return self._take_changed()

    def close(self) -> list[int]:
        """The end of the reply: make the blocks exactly those of `render_blocks`; the indexes as in `update`."""
        self._take()
        self._texts.append("\n" if self._carriage_return else "")
        self._carriage_return = ""
        parts, references = parse("".join(self._texts), {})
        for i, part in enumerate(parts):
            # A definition far below may have made links of what was text, so its blocks are not good any more.
            if references or i >= len(self._ends) or (part.start, part.end) != self._span(i):
                self._show(i, safe_html(part.tokens, references))
        for i in range(len(parts), len(self.blocks)):
            self._show(i, "")
        self._fence = None
        self._ends = [part.end for part in parts]
        return self._take_changed()

    def _take(self) -> str:
        fresh = self._carriage_return + "".join(self._deltas)
        self._deltas.clear()
        # Its line feed may be the first character of the next piece.
        self._carriage_return = "\r" if fresh.endswith("\r") else ""
        fresh = clean_text(fresh.removesuffix("\r"))
        self._texts.append(fresh)
        return fresh

    def _take_changed(self) -> list[int]:
        changed = sorted(self._changed)
        self._changed.clear()
        return changed

    def _span(self, index: int) -> tuple[int, int]:
        return (self._ends[index - 1] if index else 0), self._ends[index]

    def _settle(self) -> None:
        """Finish all blocks that are over for certain: a line still growing may change what it belongs to."""
        tail = self._tail
        cut = tail.rfind("\n") + 1
        is_after_blank = cut > 0 and not tail[: cut - 1].rpartition("\n")[2].strip(" \t")
        if is_after_blank and (beginning := _BEGINNING.match(tail, cut)):
            cut = beginning.end()
        if cut <= self._num_settled:
            return
        parts, self._references = parse(tail[:cut], self._references, is_open=True)
        finished, last = parts[: _num_over(parts)], parts[-1:]
        start = finished[-1].end if finished else 0
        self._finish(finished)
        self._tail, self._num_settled = tail[start:], cut - start
        if last and last[0].tokens[0].type == "fence":
            self._open_fence(last[0], tail)

    def _finish(self, parts: list[Part]) -> None:
        offset = self._ends[-1] if self._ends else 0
        for part in parts:
            self._show(len(self._ends), safe_html(part.tokens, self._references, self._inlines))
            self._ends.append(offset + part.end)
            self._inlines.clear()

    def _open_fence(self, part: Part, source: str) -> None:
        token = part.tokens[0]
        assert token.map is not None
        begin = sum(len(line) + 1 for line in source.split("\n")[: token.map[0] + 1])
        fence = _OpenFence(token, source[part.start : begin])
        rest = fence.feed(source[begin:])
        if rest is None:
            self._fence, self._tail = fence, ""
        else:
            self._close_fence(fence, rest)

    def _close_fence(self, fence: _OpenFence, rest: str) -> None:
        parts, _ = parse("".join(fence.source), self._references)
        self._finish(parts)
        self._fence, self._tail, self._num_settled = None, rest, 0

    def _show_open(self) -> None:
        index = len(self._ends)
        if self._fence:
            self._show(index, self._fence.shell, self._fence.code)
            return
        whole, _, growing = self._tail.rpartition("\n")
        source = whole if _UNDECIDED.fullmatch(growing) else self._tail
        parts, references = parse(source, self._references, is_open=True)
        html = "".join(safe_html(part.tokens, references, self._inlines, is_open=True) for part in parts)
        if html or index < len(self.blocks):
            self._show(index, html)

    def _show(self, index: int, html: str, code: str | None = None) -> None:
        block = Block(html, code)
        if index == len(self.blocks):
            self.blocks.append(block)
        elif self.blocks[index] == block:
            return
        self.blocks[index] = block
        self._changed.add(index)


def _num_over(parts: list[Part]) -> int:
    """How many of the blocks of an open source are over: not the last, nor a text which a formula without end
    interrupts, as both are one text again if that end never comes."""
    if len(parts) < 2:
        return 0
    before, last = parts[-2].tokens[0], parts[-1].tokens[0]
    assert before.map is not None
    assert last.map is not None
    is_interrupted = last.type == "math_block" and not last.meta["has_ended"] and before.map[1] == last.map[0]
    return len(parts) - (2 if is_interrupted else 1)


class _OpenFence:
    """A code block whose end has not come: its lines are read once and never parsed."""

    def __init__(self, token: Token, opener: str) -> None:
        marker = re.escape(token.markup[0])
        self._closer = re.compile(rf" {{0,3}}{marker}{{{len(token.markup)},}}[ \t]*")
        self._maybe_closer = re.compile(rf"\s*{marker}*\s*")
        line = opener.removesuffix("\n").rpartition("\n")[2]
        self._indent = re.compile(f" {{0,{len(line) - len(line.lstrip(' '))}}}")
        self._lines = ""
        self._growing = ""
        self.shell = safe_code_shell(token.info)
        self.source = [opener]

    @property
    def code(self) -> str:
        """The text to show; what is here once stays, so it may be sent by appending."""
        return self._lines if self._maybe_closer.fullmatch(self._growing) else self._lines + self._strip(self._growing)

    def feed(self, text: str) -> str | None:
        """The next piece of the source; what follows the fence if it ends in there, else None."""
        *lines, self._growing = (self._growing + text).split("\n")
        for i, line in enumerate(lines):
            self.source.append(line + "\n")
            if self._closer.fullmatch(line):
                return "\n".join([*lines[i + 1 :], self._growing])
        self._lines += "".join(self._strip(line) + "\n" for line in lines)
        return None

    def _strip(self, line: str) -> str:
        return self._indent.sub("", line, count=1)
