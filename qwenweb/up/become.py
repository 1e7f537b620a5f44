"""What a child does before it becomes its program. Run as a script: `become.py PARENT NICE ACCOUNT COMMAND …`.

A process of its own, because the kernel gives a user namespace only to a process of one thread. Python's hook for this
(`preexec_fn`) runs in the copy of a process that may have many; now and then a finalizer starts a thread in it first.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CLONE_NEWUSER = 0x10000000
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)


def command(*, account: str = "same", nice: int = 0) -> list[str]:
    """What to put before the command of a child of this process; `account` is one of ACCOUNTS."""
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(os.getpid()), str(nice), account]


def nobody() -> int:
    """A user id with a name that is not root's."""
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return next((entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid != 0), 65534)


def _stay() -> None:
    pass


def _enter_namespace() -> None:
    """Become nobody in a new user namespace: outside of it the process keeps the present user's rights and files."""
    uid, gid = os.geteuid(), os.getegid()
    _check(_libc.unshare(_CLONE_NEWUSER))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{nobody()} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{nobody()} {gid} 1")


def _become_nobody() -> None:
    """Become nobody for good, yet able to pass through folders that only root may enter, as the checkout's may be."""
    uid = nobody()
    _check(_libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    one = 1 << _CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(one, one, one, 0, 0, 0)
    if _libc.capset(header, sets) == 0:
        _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


ACCOUNTS = {"same": _stay, "namespace": _enter_namespace, "nobody": _become_nobody}


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _die_with(parent: int) -> None:
    """Have the kernel kill this process as soon as the thread that started it is gone."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # It may be gone by now.
    if os.getppid() != parent:
        os._exit(1)


def _main(parent: str, nice: str, account: str, *program: str) -> None:
    try:
        os.nice(int(nice))
        ACCOUNTS[account]()
        # Last, because a change of credentials clears it.
        _die_with(int(parent))
        os.execvp(program[0], program)
    except OSError as error:
        sys.exit(f"{program[0]}: {error.strerror}")


if __name__ == "__main__":
    _main(*sys.argv[1:])
