"""A stack as a person starts it, and what can be seen of it from outside."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


def environment(data_dir: Path, **extra: str) -> dict[str, str]:
    """The environment of somebody who has set nothing but the place of the data and the scripted engine."""
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("QWENWEB_", "DATABASE_", "REDIS_"))
    }
    return env | {"QWENWEB_DATA_DIR": str(data_dir), "QWENWEB_ENGINE": "scripted"} | extra


def try_start(
    data_dir: Path, port: int | str, host: str = "127.0.0.1", **extra: str
) -> subprocess.CompletedProcess[str]:
    """Start a stack that is expected to refuse; return what it said."""
    command = [sys.executable, "manage.py", "up", "--host", host, "--port", str(port)]
    return subprocess.run(
        command, cwd=ROOT, env=environment(data_dir, **extra), capture_output=True, text=True, timeout=60
    )


class RunningStack:
    """`manage.py up` in a process of its own."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the stack)
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--port", str(self.port)],
            cwd=ROOT,
            env=environment(data_dir),
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        self.seen: set[int] = set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        self._output.seek(0)
        return self._output.read()

    def wait_until_announced(self) -> None:
        wait_until(lambda: f"{self.address}/" in self.output.splitlines(), 60)

    def status(self, path: str = "/healthz") -> int:
        try:
            with urllib.request.urlopen(self.address + path, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    def child(self, words: str) -> int | None:
        """Return the number of the child whose command line contains `words`."""
        self.look()
        return next((pid for pid in children(self.process.pid) if words in command_line(pid)), None)

    def look(self) -> None:
        """Remember every process that belongs to the stack now."""
        self.seen.update(descendants(self.process.pid))

    def left_over(self) -> list[str]:
        return [command_line(pid) for pid in self.seen if is_alive(pid)]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
        self._output.close()


@contextmanager
def running(data_dir: Path) -> Iterator[RunningStack]:
    stack = RunningStack(data_dir)
    try:
        stack.wait_until_announced()
        yield stack
    finally:
        stack.close()


def wait_until(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def children(pid: int) -> list[int]:
    return [number for number, parent in _parents().items() if parent == pid]


def descendants(pid: int) -> set[int]:
    found = set(children(pid))
    return found | {below for number in found for below in descendants(number)}


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    """A zombie is no process any more: it only waits for init to count it."""
    try:
        return not re.search(r"^State:\s+[ZX]", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return False


def _parents() -> dict[int, int]:
    parents = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            found = re.search(r"^PPid:\s+(\d+)", status.read_text(), re.MULTILINE)
        except OSError:
            continue
        if found:
            parents[int(status.parent.name)] = int(found[1])
    return parents
