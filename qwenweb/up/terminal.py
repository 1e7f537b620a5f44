"""Ctrl-C for us alone: under `make run` the terminal would also interrupt make, which then reports a failure."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def foreground() -> Iterator[None]:
    """Take the terminal, where another process of our group (make) leads it, and give it back in the end."""
    group = os.getpgrp()
    if not sys.stdin.isatty() or os.tcgetpgrp(0) != group or group == os.getpid():
        yield
        return
    # Giving the terminal away is a thing of the background; and nobody could wake us after Ctrl-Z.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpgrp())
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.tcsetpgrp(0, group)
