"""One of qwenweb's own Python processes."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .child import Child


class Program(Child):
    """`python` with `arguments`, run in the checkout."""

    _stdout: int | None = None  # the log

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        env: Mapping[str, str],
        log: Path | None = None,
        *,
        probe: Callable[[], bool] = lambda: True,
        pass_fds: Sequence[int] = (),
        nice: int = 0,
    ) -> None:
        """Without a log, its errors and progress go to the terminal. `probe` asks it whether it is ready."""
        super().__init__(name, log)
        self._command = [sys.executable, *arguments]
        self._env = env
        self._probe = probe
        self._pass_fds = pass_fds
        self._nice = nice

    def spawn(self) -> None:
        self.launch(
            self._command,
            env=self._env,
            cwd=Path(__file__).parents[2],
            nice=self._nice,
            pass_fds=self._pass_fds,
            stdout=self._stdout,
            stderr=None if self.log else sys.stderr.fileno(),
        )

    def is_ready(self) -> bool:
        return self.is_running and self._probe()


class Question(Program):
    """A program that answers on its standard output and ends."""

    _stdout = subprocess.PIPE

    def answer(self) -> str:
        """Return what it wrote, once it has ended."""
        if self.process is None or self.process.stdout is None:
            return ""
        with self.process.stdout as output:
            return output.read().decode()


class HttpProbe:
    """Asks a web server for one page; keeps the question open between two calls, so that no call waits."""

    def __init__(self, host: str, port: int, path: str) -> None:
        self._address = (host, port)
        self._request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode()
        self._connection: socket.socket | None = None

    def __call__(self) -> bool:
        """Tell whether the page has been answered with 200."""
        try:
            if self._connection is None:
                self._connection = socket.create_connection(self._address, 1.0)
                self._connection.sendall(self._request)
                self._connection.setblocking(False)
            status = self._connection.recv(64)
        except BlockingIOError:
            return False
        except OSError:
            status = b""
        self._forget()
        return status.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200"))

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
