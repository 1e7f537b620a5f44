"""Keys that sort by the time they were made."""

from __future__ import annotations

import secrets
import time
import uuid


def uuid7(milliseconds: int | None = None) -> uuid.UUID:
    """A version 7 UUID (RFC 9562 §5.7): 48 bits of Unix milliseconds (of now, if not given), then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds
    value = milliseconds << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)
