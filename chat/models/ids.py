"""Keys that sort by the time they were made."""

from __future__ import annotations

import secrets
import threading
import time
import uuid

_STEP_BITS = 32
_RANDOM_BITS = 74
_lock = threading.Lock()
_last = 0


def uuid7(milliseconds: int | None = None) -> uuid.UUID:
    """A version 7 UUID (RFC 9562 §5.7): 48 bits of Unix milliseconds, those of now unless given, then 74 random bits.

    Those of now are, in one process, in the order in which they were made: within a millisecond the random bits grow by
    a random step (§6.2, method 2). So an answer sorts behind its question.
    """
    value = _of(milliseconds) if milliseconds is not None else _next()
    # 48 bits of time and 12 random ones, the version between them; then the variant and the rest.
    head, tail = value >> 62, value & (1 << 62) - 1
    return uuid.UUID(int=(head >> 12) << 80 | 0x7 << 76 | (head & 0xFFF) << 64 | 0x2 << 62 | tail)


def _of(milliseconds: int) -> int:
    return milliseconds << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)


def _next() -> int:
    global _last
    with _lock:
        value = _of(time.time_ns() // 1_000_000)
        if value >> _RANDOM_BITS <= _last >> _RANDOM_BITS:
            value = _last + 1 + secrets.randbits(_STEP_BITS)
        _last = value
        return value
