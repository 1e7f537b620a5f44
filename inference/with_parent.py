"""A child that ends with the process that started it. Run as a script: `with_parent.py PARENT COMMAND …`.

A process of its own, because Python's hook for this (`preexec_fn`) runs in the copy of a process that may have many
threads, of which one may hold a lock that nobody in the copy gives back.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def command() -> list[str]:
    """What to put before the command of a child of this process."""
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(os.getpid())]


def _main(parent: str, *program: str) -> None:
    if sys.platform == "linux":  # elsewhere it may go on for a while
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(parent):  # it was gone before
            sys.exit(1)
    os.execvp(program[0], program)


if __name__ == "__main__":
    _main(*sys.argv[1:])
