"""`manage.py up`: start everything, say where the page is, and stop it all at Ctrl-C."""

from __future__ import annotations

import argparse
import errno
import os
import socket
import sys
from pathlib import Path

from .child import Failure
from .data import Data
from .stack import Stack
from .supervisor import Supervisor
from .terminal import foreground


def main(argv: list[str]) -> int:
    """Run the stack until a stop signal comes; return the exit status."""
    options = _options(argv)
    try:
        with foreground():
            _run(options)
    except Failure as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    except KeyboardInterrupt:  # before anything was started
        return 0
    return 0


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="manage.py up", description="Start qwenweb with all it needs.")
    parser.add_argument("--host", default="127.0.0.1", help="the IPv4 address to listen on (default: %(default)s)")
    parser.add_argument("--port", default="8000", help="the port of the page (default: %(default)s)")
    return parser.parse_args(argv)


def _run(options: argparse.Namespace) -> None:
    path = Path(os.environ.get("QWENWEB_DATA_DIR") or "var")
    with Data(path) as data, _listen(options.host, options.port) as listener:
        stack = Stack(data, listener)
        Supervisor(stack.services(), lambda: _announce(stack)).run()


def _listen(host: str, port: str) -> socket.socket:
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise Failure(f"{port} is not a port; choose one from 1 to 65535.")
    try:
        return socket.create_server((host, int(port)), backlog=512)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Failure(
                f"Port {port} is in use by another program; choose one, as in `make run PORT=8001`."
            ) from error
        reason = str(error.strerror).partition(" (")[0].lower()
        raise Failure(f"qwenweb can't listen on {host}, port {port}: {reason}.") from error


def _announce(stack: Stack) -> None:
    stack.note_ready()
    lines = ["qwenweb is ready:", f"{stack.address}/"]
    if path := stack.setup_path:
        lines += ["Make the administrator's account here, once:", f"{stack.address}{path}"]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
