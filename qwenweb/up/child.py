"""Processes that never outlive the one that started them. Standard library only."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Self

from . import become

_LOG_LIMIT = 10_000_000


class Failure(Exception):
    """One plain sentence for the person who started qwenweb."""


class Child(ABC):
    """One process: how it is started, when it is ready, how it is stopped. Usable as a context manager."""

    stop_signal = signal.SIGTERM
    stop_timeout_s = 20.0

    def __init__(self, name: str, log: Path | None = None) -> None:
        """`log` takes what the process prints; without one its output is thrown away."""
        self.name = name
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def spawn(self) -> None:
        """Start the process and return at once; raise Failure if that can't be done."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Ask the process itself whether it can be used now."""

    def start(self, timeout_s: float = 30.0) -> None:
        """Start the process and return when it is ready; raise Failure if it does not get there."""
        self.spawn()
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            if self.exit_code is not None:
                raise Failure(f"{self.name} did not start: {self.last_words()}")
            if time.monotonic() > deadline:
                self.kill()
                raise Failure(f"{self.name} was not ready after {timeout_s:.0f} s: {self.last_words()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the process in good order; kill it if it takes longer than `stop_timeout_s`."""
        self.ask_to_stop()
        if self.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(self.stop_timeout_s)
        self.kill()

    def ask_to_stop(self) -> None:
        """Send the stop signal and return at once."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.stop_signal)

    def kill(self) -> None:
        """End the process and what it has started without warning, as kill -9 does."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """The exit status (negative: the signal that ended it); None while it runs or before it was started."""
        return None if self.process is None else self.process.poll()

    def last_words(self) -> str:
        """The last line that the process wrote to its log."""
        if self.log is None or not self.log.exists():
            return f"exit status {self.exit_code}"
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 4096))
            lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
        return lines[-1] if lines else f"exit status {self.exit_code}"

    def launch(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        account: str = "same",
        nice: int = 0,
        pass_fds: Sequence[int] = (),
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> None:
        """Start `command` in a session of its own, bound to the life of this thread; its output goes to the log."""
        with self._open_log() as log:
            self.process = subprocess.Popen(
                [*become.command(account=account, nice=nice), *command],
                stdin=subprocess.DEVNULL,
                stdout=log if stdout is None else stdout,
                stderr=log if stderr is None else stderr,
                env=env,
                cwd=cwd,
                start_new_session=True,
                pass_fds=pass_fds,
            )

    def _open_log(self) -> BinaryIO:
        if self.log is None:
            return Path(os.devnull).open("wb")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        return self.log.open("ab")
