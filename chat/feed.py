"""One reply as this web process knows it, rendered once for all who watch, and what each viewer has of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from chat.markdown import BlockRenderer, in_language
from chat.reply_stream import START, Cursor
from chat.stages import HELD, READING, Stage, reading

Frame = dict[str, Any]
Push = Callable[[Frame], int]
"""Queues a frame for one page; how long it was."""

ZONES = ("reasoning", "answer")
ZONE_OF = {"reasoning": "reasoning", "text": "answer"}


class Feed:
    """The text of a reply in blocks, each stamped with the entry that changed it last.

    That stamp is all a viewer needs: what is stamped above the viewer's cursor is what the viewer lacks. First view,
    second tab, reload, reconnect and a slow browser that skips a few states are therefore one path, and nothing is
    buffered per viewer.
    """

    LONG_PROMPT_TOKENS = 200
    """What is shorter is read before a sentence about it could be."""
    PAUSE_S = 0.03
    PAUSE_PER_RENDER = 8

    def __init__(self, generation_id: str, after: Cursor = START) -> None:
        self.generation_id = generation_id
        self.cursor = after
        self.stage: Stage | None
        self._prompt_tokens = 0
        self._is_held = False
        self.heard_at = time.monotonic()
        self.viewers: set[Viewer] = set()
        self.is_dirty = False
        self._render_at = 0.0
        self._begin(after.attempt)

    def _begin(self, attempt: int) -> None:
        """Each attempt tells the whole reply, from its first word."""
        self._attempt = attempt
        self._renderers = {zone: BlockRenderer() for zone in ZONES}
        self._stamps: dict[str, list[Cursor]] = {zone: [] for zone in ZONES}
        self.status: str | None = None
        self.stage = None  # what was said of the last attempt's wait may have to be said again
        for viewer in self.viewers:
            viewer.forget_code()

    def take(self, cursor: Cursor, kind: str, data: str) -> None:
        """Take the next entry of the stream; one that is known already changes nothing."""
        if cursor <= self.cursor:
            return
        self.cursor = cursor
        self.heard_at = time.monotonic()
        if zone := ZONE_OF.get(kind):
            if cursor.attempt > self._attempt:
                self._begin(cursor.attempt)
            self._renderers[zone].append(data)
            self.is_dirty = True
        elif kind == "stage":
            stage, _, number = data.partition(" ")
            self._prompt_tokens = int(number) if stage in {"reading", "held"} and number else 0
            self._is_held = stage == "held"
        elif kind == "end":
            self.status = data

    @property
    def takes_long(self) -> bool:
        """Whether nothing is told yet but that the first word takes a while: a long prompt, or a reply held back."""
        return self.cursor.n == 1 and (self._is_held or self._prompt_tokens >= self.LONG_PROMPT_TOKENS)

    def in_detail(self, stage: Stage) -> Stage:
        """A stage as Postgres knows it, with what only the worker knows: the prompt's length, that all is held back."""
        if stage != READING:
            return stage
        return HELD if self._is_held else reading(self._prompt_tokens)

    def tell(self, stage: Stage, *viewers: Viewer) -> None:
        """Tell those who watch, or only these, what happens before the first word."""
        self.stage = self.in_detail(stage)
        for viewer in viewers or tuple(self.viewers):
            viewer.push(self.stage.frame(self.generation_id, viewer.language))

    @property
    def is_new(self) -> bool:
        """Whether nobody has seen a word of it."""
        return not self._render_at

    def is_due(self, now: float) -> bool:
        return self.is_dirty and now >= self._render_at

    @property
    def due_in_s(self) -> float:
        return max(0.0, self._render_at - time.monotonic())

    def render(self, least_pause_s: float = PAUSE_S) -> None:
        """Render what is open; the next time comes after a pause that grows with what this one cost."""
        started = time.monotonic()
        for zone in ZONES:
            self._stamp(zone, self._renderers[zone].update())
        ended = time.monotonic()
        self.is_dirty = False
        self._render_at = started + max(least_pause_s, self.PAUSE_PER_RENDER * (ended - started))

    def close(self) -> None:
        for zone in ZONES:
            self._stamp(zone, self._renderers[zone].close())
        self.is_dirty = False

    def _stamp(self, zone: str, changed: list[int]) -> None:
        stamps = self._stamps[zone]
        stamps += [self.cursor] * (len(self._renderers[zone].blocks) - len(stamps))
        for index in changed:
            stamps[index] = self.cursor

    def patches(self, zone: str, viewer: Viewer) -> list[Frame]:
        """What brings a viewer's blocks of one zone up to date."""
        blocks = self._renderers[zone].blocks
        return [
            viewer.patch(zone, index, in_language(blocks[index].html, viewer.language), blocks[index].code)
            for index, stamp in enumerate(self._stamps[zone])
            if stamp > viewer.seen
        ]


class Viewer:
    """One page that follows one reply: its language, how far it is, and how much it was sent and has not drawn yet."""

    MOST_UNDRAWN_BYTES = 65_536
    PATIENCE_S = 30.0
    sees_reasoning = True

    def __init__(self, feed: Feed, push: Push, after: Cursor, language: str) -> None:
        self.feed = feed
        self.language = language
        self.seen = after
        self._push = push
        self._code_lengths: dict[tuple[str, int], tuple[int, int]] = {}
        self._undrawn: list[tuple[Cursor, int]] = []
        self._undrawn_since = 0.0

    @property
    def is_behind(self) -> bool:
        return sum(size for _, size in self._undrawn) > self.MOST_UNDRAWN_BYTES

    @property
    def is_lost(self) -> bool:
        """Nothing was drawn for so long that the page is better off connecting anew."""
        return self.is_behind and time.monotonic() - self._undrawn_since > self.PATIENCE_S

    def show(self, *, even_if_behind: bool = False) -> None:
        feed = self.feed
        if self.seen >= feed.cursor or (self.is_behind and not even_if_behind):
            return
        reasoning = feed.patches("reasoning", self) if self.sees_reasoning else []
        answer = feed.patches("answer", self)
        self.seen = feed.cursor
        if not reasoning and not answer:
            return
        size = self._push(
            {
                "type": "reply.blocks",
                "generation": feed.generation_id,
                "cursor": str(feed.cursor),
                "reasoning": reasoning,
                "answer": answer,
            }
        )
        if not self._undrawn:
            self._undrawn_since = time.monotonic()
        self._undrawn.append((feed.cursor, size))

    def push(self, frame: Frame) -> None:
        self._push(frame)

    def end(self, frame: Frame) -> None:
        """Show the finished message."""
        self._push(frame)

    def drew(self, cursor: Cursor) -> None:
        """The page says how far it has drawn; what was held back comes now."""
        was_behind = self.is_behind
        self._undrawn = [(sent, size) for sent, size in self._undrawn if sent > cursor]
        self._undrawn_since = time.monotonic()
        if was_behind:
            self.show()

    def forget_code(self) -> None:
        """The code blocks sent so far are told anew, so what comes next is no addition to them."""
        self._code_lengths.clear()

    def patch(self, zone: str, index: int, html: str, code: str | None) -> Frame:
        """One block for this viewer: whole, or, for code that is still being written, only what was added."""
        if code is None:
            self._code_lengths.pop((zone, index), None)
            return {"i": index, "html": html}
        length, units = self._code_lengths.get((zone, index), (0, 0))
        added = code[length:]
        self._code_lengths[zone, index] = (len(code), units + len(added.encode("utf-16-le")) // 2)
        if length:
            return {"i": index, "at": units, "append": added}
        return {"i": index, "html": html, "code": code}


class Watcher(Viewer):
    """The page of somebody who watches by a shared link: at the end it loads what is shared by then."""

    def end(self, frame: Frame) -> None:
        self.push({"type": "reply.closed", "generation": frame["generation"]})


class AnswerWatcher(Watcher):
    """One for whom the thinking was left out."""

    sees_reasoning = False
