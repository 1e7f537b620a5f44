"""The data directory of one stack: who holds it, what lies where."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from pathlib import Path
from typing import Self, TextIO

from .child import Failure
from .progress import megabytes
from .socket_dir import make_private, socket_dir

_NEEDED_BYTES = 150_000_000


class Data:
    """A data directory, held from the making of this object to the end of its `with` block."""

    def __init__(self, path: Path) -> None:
        """Make the directory if need be and take it; raise Failure if it can't be used or is in use."""
        self.path = path.absolute()
        try:
            make_private(self.path)
            self._check_space()
            self._lock = self._take()
            make_private(self.sockets)
            self._begin_logs()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise Failure(f"The data directory {self.path} can't be used: {reason}.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.sockets.parent != self.path:
            shutil.rmtree(self.sockets, ignore_errors=True)
        self._lock.close()

    @property
    def sockets(self) -> Path:
        return socket_dir(self.path)

    @property
    def secret_key(self) -> Path:
        """The file with the secret key, made once and readable by this user alone."""
        file = self.path / "secret_key"
        if not file.exists():
            # Written under another name first: a start that is cut short must not leave half a key.
            fresh = self.path / "secret_key.new"
            fresh.unlink(missing_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
                output.write(secrets.token_urlsafe(64))
            fresh.rename(file)
        return file

    def has_static(self, state: str) -> bool:
        """Tell whether the static files of this state have been collected here."""
        mark = self.path / "static.state"
        return (self.path / "static" / "staticfiles.json").exists() and mark.exists() and mark.read_text() == state

    def keep_static(self, state: str) -> None:
        """Note that the static files of this state have been collected."""
        (self.path / "static.state").write_text(state)

    def log(self, name: str) -> Path:
        return self.path / "log" / f"{name}.log"

    def _take(self) -> TextIO:
        lock = (self.path / "lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            if error.errno in {errno.EAGAIN, errno.EACCES}:
                raise Failure(f"qwenweb already runs on the data directory {self.path}.") from None
            raise
        return lock

    def _check_space(self) -> None:
        free = shutil.disk_usage(self.path).free
        if free < _NEEDED_BYTES:
            needed = megabytes(_NEEDED_BYTES)
            raise Failure(f"The disk that holds {self.path} is full: {megabytes(free)} free, {needed} needed.")

    def _begin_logs(self) -> None:
        """Put the logs of the last run aside, in place of those of the run before it."""
        make_private(self.path / "log")
        for log in (self.path / "log").glob("*.log"):
            log.replace(log.with_suffix(".log.1"))
