"""Starts the services in order, keeps them alive, stops them in reverse order."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator, Sequence

from .child import Failure
from .progress import Bar
from .service import Service, State, say

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_START_TIMEOUT_S = 180.0


class Supervisor:
    """Runs `services`, given in the order of their start, until a stop signal comes."""

    def __init__(self, services: Sequence[Service], on_ready: Callable[[], None]) -> None:
        """`on_ready` is called once, when all essential services are ready."""
        self._services = services
        self._on_ready = on_ready
        self._num_stop_signals = 0
        self._wake_fd = -1

    def run(self) -> None:
        """Return after a stop signal, with no process left; raise Failure if an essential service can't start."""
        with self._signals():
            try:
                self._start()
                while not self._num_stop_signals:
                    self._look()
            finally:
                self._stop()

    def _start(self) -> None:
        bar = Bar("Starting")
        essential = [service for service in self._services if service.is_essential]
        while not self._num_stop_signals:
            missing = [service.child.name for service in essential if service.state is not State.READY]
            if not missing:
                bar.close()
                self._on_ready()
                return
            if bar.elapsed_s > _START_TIMEOUT_S:
                raise Failure(f"{missing[0]} was not ready after {_START_TIMEOUT_S:.0f} s.")
            bar.update(len(essential) - len(missing), len(essential), ", ".join(missing))
            self._look()
        bar.close()

    def _look(self) -> None:
        for service in self._services:
            service.look()
        self._pause(min(service.next_look_s for service in self._services))

    def _stop(self) -> None:
        """Stop one after the other; at a further signal kill what is left."""
        num_signals = self._num_stop_signals
        for service in reversed(self._services):
            if not service.child.is_running:
                continue
            bar = Bar(f"Stopping {service.child.name}")
            service.child.ask_to_stop()
            while service.child.is_running and bar.elapsed_s < service.child.stop_timeout_s:
                if self._num_stop_signals > max(1, num_signals):
                    break
                bar.update()
                self._pause(0.05)
            bar.close()
            service.child.kill()
        for service in self._services:
            service.child.kill()

    def _pause(self, timeout_s: float) -> None:
        """Sleep until a signal comes (also that of a child's end) or the time is over."""
        if select.select([self._wake_fd], [], [], timeout_s)[0]:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_fd, 4096)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Count stop signals, and have every signal wake `_pause`."""
        self._wake_fd, write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
        for number in _STOP_SIGNALS:
            signal.signal(number, self._note_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)

    def _note_stop(self, _number: int, _frame: object) -> None:
        self._num_stop_signals += 1
        if self._num_stop_signals == 1:
            say("Stopping.")
