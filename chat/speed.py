"""How fast a worker is, measured: what its row tells operators, and what people's expected wait comes from."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chat.reply import RunningReply

# Of each new measurement; the rest is what was known before.
_PART = 0.3


class Speed:
    """Tokens a second between two looks, and the seconds that a reply holds its slot; both smoothed."""

    def __init__(self) -> None:
        self._num_ended_tokens = 0
        self._num_tokens = 0
        self._looked_at = time.monotonic()
        self._tokens_per_s = 0.0
        self._reply_s: float | None = None

    def note_end(self, reply: RunningReply) -> None:
        self._num_ended_tokens += reply.num_tokens
        known = self._reply_s
        self._reply_s = reply.age_s if known is None else known + _PART * (reply.age_s - known)

    def measured(self, running: Iterable[RunningReply]) -> dict[str, float]:
        """The measurements as fields of the worker's row; those that there are none of yet are missing."""
        num_tokens = self._num_ended_tokens + sum(reply.num_tokens for reply in running)
        now = time.monotonic()
        rate = (num_tokens - self._num_tokens) / max(now - self._looked_at, 1e-3)
        self._num_tokens, self._looked_at = num_tokens, now
        self._tokens_per_s += _PART * (rate - self._tokens_per_s)
        measured = {"tokens_per_s": self._tokens_per_s}
        return measured if self._reply_s is None else {**measured, "reply_s": self._reply_s}
