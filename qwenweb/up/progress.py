"""One line that says how far a stage is, for stages that last."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_WIDTH = 24


class Bar:
    """Draws a stage once it has lasted `delay_s`: redrawn on a terminal, else a line now and then."""

    def __init__(self, stage: str, out: TextIO = sys.stderr, delay_s: float = 2.0) -> None:
        self.stage = stage
        self._out = out
        self._is_terminal = out.isatty()
        self._started_at = time.monotonic()
        self._next_at = self._started_at + delay_s
        self._is_drawn = False

    def update(self, done: float = 0, total: float = 0, note: str = "") -> None:
        """Show `done` of `total` (no bar when the total is not known) and a note, such as a size or a rate."""
        now = time.monotonic()
        if now < self._next_at:
            return
        self._next_at = now + (0.1 if self._is_terminal else 10.0)
        text = " ".join(part for part in (self.stage, _blocks(done, total), note, f"{self.elapsed_s:.0f} s") if part)
        self._out.write(f"\r\x1b[2K{text}" if self._is_terminal else f"{text}\n")
        self._out.flush()
        self._is_drawn = True

    def close(self) -> None:
        """Wipe the line, so that what is printed next starts on an empty one."""
        if self._is_drawn and self._is_terminal:
            self._out.write("\r\x1b[2K")
            self._out.flush()
        self._is_drawn = False

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._started_at


def _blocks(done: float, total: float) -> str:
    if total <= 0:
        return ""
    filled = round(_WIDTH * min(1.0, done / total))
    return f"[{'█' * filled}{'·' * (_WIDTH - filled)}] {100 * min(1.0, done / total):.0f} %"


def megabytes(num_bytes: float) -> str:
    return f"{num_bytes / 1e6:,.0f} MB"
