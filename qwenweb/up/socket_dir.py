"""Where the unix sockets of a data directory lie: the same place for whoever asks."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path

from .child import Failure

# The kernel takes 107 bytes; the longest name put in the directory is ".s.PGSQL.5432.lock".
_MAX_BYTES = 107 - len("/.s.PGSQL.5432.lock")


def socket_dir(data_dir: Path) -> Path:
    """Return `run` in the data directory or, where that name is too long or too odd for a socket, one under /tmp."""
    inside = data_dir.absolute() / "run"
    if len(os.fsencode(inside)) <= _MAX_BYTES and re.fullmatch(r"[\w./-]+", str(inside), re.ASCII):
        return inside
    digest = hashlib.sha256(os.fsencode(inside)).hexdigest()[:16]
    return Path(f"/tmp/qwenweb-{os.geteuid()}-{digest}")


def make_private(folder: Path) -> None:
    """Make `folder` if need be, for this user alone; refuse one that another user has put there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise Failure(f"{folder} belongs to another user; start qwenweb as that user, or set QWENWEB_DATA_DIR.")
    folder.chmod(0o700)
