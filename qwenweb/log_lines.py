"""Where log lines go: to standard error, by a thread of its own.

Who logs never waits for a pipe that nobody reads, and never fails on a disk that is full: lines are dropped instead.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from queue import SimpleQueue

MOST_WAITING = 10_000
FAREWELL_S = 1.0


class LogLines:
    """Takes text as a file does; `fd` is where it goes."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waiting: SimpleQueue[str | threading.Event] = SimpleQueue()
        self._lock = threading.Lock()
        self._pid = 0

    def write(self, text: str) -> int:
        if self._waiting.qsize() < MOST_WAITING:
            self._waiting.put(text)
            if self._pid != os.getpid():  # at the first line, and after a fork, which takes no threads along
                self._start()
        return len(text)

    def flush(self) -> None:
        """Nothing is held back that could be written."""

    def _start(self) -> None:
        with self._lock:
            if self._pid == os.getpid():
                return
            try:
                threading.Thread(target=self._run, name="log-lines", daemon=True).start()
                self._pid = os.getpid()
            except (RuntimeError, MemoryError):
                return  # the next line tries again
            atexit.register(self._take_leave)

    def _run(self) -> None:
        while True:
            line = self._waiting.get()
            if isinstance(line, str):
                self._put_out(line.encode("utf-8", "backslashreplace"))
            else:
                line.set()

    def _put_out(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            time.sleep(0.01)  # a full disk; the line is lost

    def _take_leave(self) -> None:
        """Before the process ends, let the last lines out."""
        said = threading.Event()
        self._waiting.put(said)
        said.wait(FAREWELL_S)


STDERR = LogLines(2)
