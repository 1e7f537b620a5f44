"""Who PostgreSQL runs as: it refuses user id 0, and a user id without a name."""

from __future__ import annotations

import ctypes
import functools
import os
import pwd
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Account:
    """`enter` makes a fresh child process run as this account; its files belong to `uid`, seen from here."""

    uid: int
    enter: Callable[[], None] | None = None

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
    if _is_possible(_enter_namespace) or uid != 0:
        return Account(uid, _enter_namespace)
    return Account(_nobody(), _become_nobody)


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _is_possible(enter: Callable[[], None]) -> bool:
    try:
        subprocess.run(["/bin/sh", "-c", ":"], preexec_fn=enter, check=True, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _nobody() -> int:
    """A user id with a name that is not root's."""
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return next((entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid != 0), 65534)


def _enter_namespace() -> None:
    """Become nobody in a new user namespace: outside of it the process keeps the present user's rights and files."""
    uid, gid = os.geteuid(), os.getegid()
    _check(_libc.unshare(_CLONE_NEWUSER))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{_nobody()} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{_nobody()} {gid} 1")


def _become_nobody() -> None:
    """Become nobody for good, yet able to pass through folders that only root may enter, as the checkout's may be."""
    uid = _nobody()
    _check(_libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    one = 1 << _CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(one, one, one, 0, 0, 0)
    if _libc.capset(header, sets) == 0:
        _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
