"""A reply under moderation: its last characters stay back until no rule can find something in them any more."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from chat.models import ModerationRule
from inference.contract import Event, Failure, Finished, ReasoningDelta, Run, TextDelta

# Whatever is found is whole when its beginning would be shown, if it is no longer than the window.
WINDOW = 200
# One that goes on at the end of the window is waited for up to this.
MOST_FOUND = 2000
CONTEXT = 100
ENDED = "A rule of this server ended this reply."

Action = ModerationRule.Action


class Moderated:
    """The events of a run as they may be shown. `found` are the rules that did something, each once."""

    def __init__(self, run: Run, rules: Sequence[ModerationRule]) -> None:
        self.found: dict[ModerationRule, None] = {}
        self._run = run
        self._marks = [rule for rule in rules if rule.action == Action.MARK]
        self._others = [rule for rule in rules if rule.action != Action.MARK]
        self._last: TextDelta | ReasoningDelta | None = None
        self._is_refused = False
        self._begin()

    def _begin(self) -> None:
        """Thinking and answer are looked at apart."""
        self._text, self._at = "", 0

    def __iter__(self) -> Iterator[Event]:
        for event in self._run:
            if isinstance(event, Finished):
                # A reply that was stopped or handed over ends with what was shown.
                if event.reason in {"stop", "length"}:
                    yield from self._rest()
                yield self._ended(event)
            elif not isinstance(event, TextDelta | ReasoningDelta):
                yield event
            elif not self._is_refused:
                yield from self._take(event)

    def _take(self, delta: TextDelta | ReasoningDelta) -> Iterator[Event]:
        if self._last and type(self._last) is not type(delta):
            yield from self._rest()
            self._begin()
        self._last = delta
        self._text += delta.text
        yield from self._pass(hold=WINDOW)

    def _rest(self) -> Iterator[Event]:
        if not self._is_refused:
            yield from self._pass(hold=0)

    def _pass(self, hold: int) -> Iterator[Event]:
        if self._last and (shown := self._shown(hold)):
            yield replace(self._last, text=shown)

    def _shown(self, hold: int) -> str:
        """What may be shown by now, with replacements in it; the last `hold` characters stay back."""
        self._mark()
        limit, parts = len(self._text) - hold, []
        while self._at < limit and not self._is_refused:
            rule, match = self._first()
            if rule is None or match.start() >= limit:
                parts.append(self._text[self._at : limit])
                self._at = limit
                break
            parts.append(self._text[self._at : match.start()])
            self._at = match.start()
            goes_on = hold and match.end() == len(self._text) and match.end() - match.start() < MOST_FOUND
            if goes_on and rule.action == Action.REPLACE:
                break
            parts.append(self._apply(rule))
            self._at = match.end()
        self._forget()
        return "".join(parts)

    def _first(self) -> tuple[ModerationRule | None, Any]:
        """What is found first in what was not shown yet."""
        found = [(rule, match) for rule in self._others if (match := rule.expression.search(self._text, self._at))]
        return min(found, key=lambda pair: _place(pair[1]), default=(None, None))

    def _apply(self, rule: ModerationRule) -> str:
        self.found[rule] = None
        if rule.action == Action.REPLACE:
            return rule.replacement
        self._is_refused = True
        self._run.cancel()
        return ""

    def _mark(self) -> None:
        for rule in self._marks:
            if rule not in self.found and rule.expression.search(self._text):
                self.found[rule] = None

    def _forget(self) -> None:
        """What was shown, but for what a pattern may look back at."""
        gone = max(0, self._at - CONTEXT)
        self._text, self._at = self._text[gone:], self._at - gone

    def _ended(self, finished: Finished) -> Finished:
        if not self._is_refused:
            return finished
        return replace(finished, reason="error", failure=Failure("bad_request", ENDED, is_retryable=False))


def _place(match: re.Match[str]) -> tuple[int, int]:
    """The earliest, and of two at one place the longest."""
    return match.start(), -match.end()
