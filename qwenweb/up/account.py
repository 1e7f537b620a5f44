"""Who PostgreSQL runs as: it refuses user id 0, and a user id without a name."""

from __future__ import annotations

import functools
import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import become


@dataclass(frozen=True)
class Account:
    """How a child comes to run as this account, see become.py; its files belong to `uid`, seen from here."""

    uid: int
    way: str = "same"

    def own(self, folder: Path) -> None:
        """Give `folder` with all it holds to this account, where it is not so already."""
        if os.geteuid() != 0 or folder.stat().st_uid == self.uid:
            return
        for path, _, names in os.walk(folder):
            for name in (".", *names):
                os.chown(Path(path, name), self.uid, -1, follow_symlinks=False)


@functools.cache
def for_postgres() -> Account:
    """The present user if PostgreSQL takes it, else nobody inside a user namespace, else nobody itself."""
    uid = os.geteuid()
    if uid != 0 and _has_name(uid):
        return Account(uid)
    if _is_possible("namespace") or uid != 0:
        return Account(uid, "namespace")
    return Account(become.nobody(), "nobody")


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _is_possible(way: str) -> bool:
    done = subprocess.run([*become.command(account=way), "/bin/sh", "-c", ":"], stderr=subprocess.DEVNULL)
    return done.returncode == 0
