"""Who has the diagrams of one reply drawn, one after the other, in a time for all of them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import BoundedSemaphore

from .svg import Picture, Unfit, cleaned

MAX_DIAGRAMS = 8
MAX_SOURCE = 20_000
TIME_S = 5.0
COMMAND = (sys.executable, "-E", "-s", "-m", "chat.diagram.draw")

_ROOT = Path(__file__).resolve().parents[2]
# Many replies may end at the same moment; the processors belong to those that are being written.
_turns = BoundedSemaphore(2)


class Artist:
    def __init__(self) -> None:
        self._ends_at = time.monotonic() + TIME_S
        self._num_left = MAX_DIAGRAMS

    def draw(self, source: str) -> Picture | None:
        """Mermaid of anybody as a clean picture; None when it can't be drawn, or not in time."""
        self._num_left -= 1
        if self._num_left < 0 or len(source) > MAX_SOURCE or not _turns.acquire(timeout=self._left_s):
            return None
        try:
            return cleaned(_svg(source, self._left_s))
        except (OSError, subprocess.SubprocessError, UnicodeDecodeError, Unfit):
            return None
        finally:
            _turns.release()

    @property
    def _left_s(self) -> float:
        return max(0.01, self._ends_at - time.monotonic())


def _svg(source: str, time_s: float) -> str:
    """What the renderer makes of hostile text, which is not to be trusted either.

    It may hang, crash or want all memory, so it is a process of its own that knows nothing of ours. Its answer goes
    to a file: the length of a file can be limited.
    """
    env = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    with tempfile.TemporaryFile() as answer:
        subprocess.run(
            COMMAND,
            input=source.encode(),
            stdout=answer,
            stderr=subprocess.DEVNULL,
            timeout=time_s,
            cwd=_ROOT,
            env=env,
            check=True,
        )
        answer.seek(0)
        return answer.read().decode()
