"""A child that is started when what it needs is there, and again whenever it ends."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from enum import Enum

from .child import Child, Failure

CONFIGURATION_ERROR = 78
_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 30.0
_STABLE_AFTER_S = 30.0


class State(Enum):
    WAITING = "waiting"  # for what it needs, or for its next try
    STARTING = "starting"
    READY = "ready"
    REFUSED = "refused"  # it said that starting it again makes no sense


class Service:
    """One child with what it needs before its first start.

    `is_essential`: without it there is no page, so the stack does not start when it can't, in `num_tries`. `is_once`:
    it does its work and ends, and is ready when it has ended well.
    """

    def __init__(
        self,
        child: Child,
        needs: Sequence[Service] = (),
        *,
        is_essential: bool = False,
        is_once: bool = False,
        num_tries: int = 1,
        pause_s: float = _PAUSE_S,
    ) -> None:
        """`pause_s`: from an end to the next start; doubled each time that it ends soon."""
        self.child = child
        self.state = State.WAITING
        self.is_essential = is_essential
        self._needs = needs
        self._is_once = is_once
        self._num_tries_left = num_tries
        self._shortest_pause_s = pause_s
        self._pause_s = pause_s
        self._has_been_ready = False
        self._started_at = 0.0
        self._due_at = 0.0

    @property
    def next_look_s(self) -> float:
        """How long nothing needs to be done here, unless a process ends."""
        if self.state is State.STARTING and not self._is_once:
            return 0.05
        if self.state is State.WAITING and self._has_what_it_needs():
            return max(0.0, self._due_at - time.monotonic())
        return 60.0

    def look(self) -> None:
        """Do what is due: start the child, notice that it is ready, or that it has ended."""
        if self.state is State.WAITING and self._has_what_it_needs() and time.monotonic() >= self._due_at:
            self._start()
        elif self.state is State.STARTING and self.child.exit_code is not None:
            self._notice_end()
        elif self.state is State.STARTING and not self._is_once and self.child.is_ready():
            self._notice_ready()
        elif self.state is State.READY and not self._is_once and not self.child.is_running:
            self._notice_end()

    def _has_what_it_needs(self) -> bool:
        return all(need._has_been_ready for need in self._needs)

    def _is_hopeless(self) -> bool:
        return self.is_essential and not self._has_been_ready and self._num_tries_left <= 0

    def _start(self) -> None:
        self._started_at = time.monotonic()
        self._num_tries_left -= 1
        try:
            self.child.spawn()
        except (Failure, OSError) as error:
            if self._is_hopeless():
                raise Failure(str(error)) from error
            say(f"{self.child.name} can't be started: {error}")
            self._wait()
        else:
            self.state = State.STARTING

    def _notice_ready(self) -> None:
        if self._has_been_ready:
            say(f"{self.child.name} is back.")
        self.state = State.READY
        self._has_been_ready = True

    def _notice_end(self) -> None:
        self.child.kill()  # what it may have left behind
        code = self.child.exit_code or 0
        if self._is_once and code == 0:
            self._notice_ready()
        elif self._is_hopeless():
            raise Failure(f"{self.child.name} can't be started: {self.child.last_words()}")
        elif code == CONFIGURATION_ERROR:
            self.state = State.REFUSED
            say(f"{self.child.name} stays off: {self.child.last_words()}")
        else:
            if self._has_been_ready:
                manner = f"exit status {code}" if code >= 0 else signal.Signals(-code).name
                say(f"{self.child.name} ended ({manner}) and is started again. Its log: {self.child.log}")
            self._wait()

    def _wait(self) -> None:
        now = time.monotonic()
        if now - self._started_at > _STABLE_AFTER_S:
            self._pause_s = self._shortest_pause_s
        self.state = State.WAITING
        self._due_at = now + self._pause_s
        self._pause_s = max(self._shortest_pause_s, min(2 * self._pause_s, _LONGEST_PAUSE_S))


def say(sentence: str) -> None:
    """Write a line for the person at the terminal, over whatever bar is drawn there."""
    sys.stderr.write(f"\r\x1b[2K{sentence}\n" if sys.stderr.isatty() else f"{sentence}\n")
    sys.stderr.flush()
