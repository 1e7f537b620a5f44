"""The thread of an engine: it alone touches the runs and the device."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from inference.contract import EngineStats, Failure, GenerationRequest
from inference.run import BROKEN, SHUTDOWN, EngineRun

log = logging.getLogger(__name__)
BEAT_S = 0.5

R = TypeVar("R", bound=EngineRun)


class EngineLoop(ABC, Generic[R]):
    """Takes runs in from any thread, works on them in one, and ends every one of them."""

    def __init__(self, name: str, stall_s: float) -> None:
        self._stall_s = stall_s
        self._inbox: SimpleQueue[tuple[Callable[[R], None], R] | None] = SimpleQueue()
        self._door = threading.Lock()
        self._is_closed = False
        self._closing = threading.Event()
        self._beat = time.monotonic()
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)

    @abstractmethod
    def open_run(self, request: GenerationRequest, on_cancel: Callable[[EngineRun], None]) -> R:
        """The run of a request; finished already when it can't be answered. Called from the submitting thread."""

    @abstractmethod
    def take(self, run: R) -> None:
        """A run came in."""

    @abstractmethod
    def wake(self, run: R) -> None:
        """A taken run was cancelled."""

    @abstractmethod
    def work(self) -> float:
        """Move the runs by one step; return the seconds until there is more to do."""

    @abstractmethod
    def unfinished(self) -> Iterable[R]:
        """All runs taken and not yet over."""

    def release(self) -> None:
        """Give back the device; called last, from the loop's thread."""

    def submit(self, request: GenerationRequest) -> R:
        run = self.open_run(request, self._cancelled)
        with self._door:
            if self._is_closed:
                run.fail(SHUTDOWN)
            if not run.is_finished:
                self._inbox.put((self.take, run))
        return run

    def stats(self) -> EngineStats:
        return EngineStats()

    def is_healthy(self) -> bool:
        return not self._is_closed and self._thread.is_alive() and time.monotonic() - self._beat < self._stall_s

    def shutdown(self) -> None:
        self._closing.set()
        self._inbox.put(None)
        # A loop that is stuck already has had its time.
        self._thread.join(self._stall_s if self.is_healthy() else 1)
        if self._thread.is_alive():
            self._end_all(SHUTDOWN)

    def _cancelled(self, run: EngineRun) -> None:
        self._inbox.put((self.wake, run))  # type: ignore[arg-type]  # open_run made it, so it is an R

    def _loop(self) -> None:
        failure = SHUTDOWN
        try:
            while not self._closing.is_set():
                self._receive(self.work())
                self._beat = time.monotonic()
        except Exception:
            log.exception("the engine's loop ended")
            failure = BROKEN
        finally:
            self._end_all(failure)
            self.release()

    def _receive(self, wait_s: float) -> None:
        """Read the inbox, waiting for the first letter at most `wait_s` (and never longer than a beat)."""
        try:
            letter = self._inbox.get(timeout=min(wait_s, BEAT_S)) if wait_s > 0 else self._inbox.get_nowait()
            while True:
                if letter:
                    letter[0](letter[1])
                letter = self._inbox.get_nowait()
        except Empty:
            return

    def _end_all(self, failure: Failure) -> None:
        with self._door:
            self._is_closed = True
        # Both the loop and a shutdown that has given it up may be here at once.
        with suppress(Empty):
            while True:
                if letter := self._inbox.get_nowait():
                    letter[1].fail(failure)
        for run in self.unfinished():
            run.fail(failure)
