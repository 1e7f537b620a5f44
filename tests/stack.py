"""The whole of qwenweb, started as its users start it, for tests and benchmarks from outside."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from qwenweb.up import postgres, valkey
from qwenweb.up.socket_dir import socket_dir

ROOT = Path(__file__).resolve().parent.parent

# What a child's command line has that no other child's has.
MARKS = {
    "web": "qwenweb.serve",
    "inference": "gpu0@",
    "default": "default@",
    "postgres": "postgres -D",
    "valkey": "valkey-server",
}


class RunningStack:
    """`manage.py up` on a directory and a port of its own, with the scripted engine unless told otherwise."""

    def __init__(self, data_dir: Path, **env: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.setup_url = ""
        self._env = {**os.environ, "QWENWEB_ENGINE": "scripted", "QWENWEB_DATA_DIR": str(data_dir), **env}
        for name in ("DATABASE_URL", "REDIS_URL", "QWENWEB_ORIGINS", "QWENWEB_SECRET_KEY", "QWENWEB_DATABASE_POOL"):
            if name not in env:
                self._env.pop(name, None)

    def start(self, timeout_s: float = 60) -> None:
        """Start it and return when the page is ready."""
        command = [sys.executable, str(ROOT / "manage.py"), "up", "--port", str(self.port)]
        self._log = (self.data_dir.parent / f"{self.data_dir.name}.out").open("w+")
        self.process = subprocess.Popen(command, cwd=ROOT, env=self._env, stdout=self._log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + timeout_s
        while f"{self.url}/" not in self.output.split():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The stack did not start:\n{self.output}")
            time.sleep(0.05)

    def stop(self) -> int:
        """Stop it as Ctrl-C does; the exit status."""
        self.process.terminate()
        try:
            return self.process.wait(30)
        finally:
            self._log.close()

    @property
    def output(self) -> str:
        return Path(self._log.name).read_text()

    def child(self, name: str) -> psutil.Process | None:
        """One of its processes, by a name of MARKS."""
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if MARKS[name] in " ".join(child.cmdline()):
                    return child
            except psutil.NoSuchProcess:
                continue
        return None

    def kill(self, name: str) -> None:
        child = self.child(name)
        assert child, f"{name} does not run"
        child.kill()

    @property
    def django_env(self) -> dict[str, str]:
        """The environment in which a command of its own reaches its database."""
        sockets = socket_dir(self.data_dir.absolute())
        return self._env | {
            "DATABASE_URL": postgres.url(sockets),
            "REDIS_URL": valkey.url(sockets),
            "QWENWEB_ORIGINS": self.url,
            "DJANGO_SETTINGS_MODULE": "qwenweb.settings",
        }

    @property
    def database_url(self) -> str:
        """Where Postgres itself is found."""
        return self.django_env["DATABASE_URL"]

    def sql(self, statement: str, **where: str) -> list[tuple[object, ...]]:
        """Ask Postgres itself, never for long; `where` may name another `dbname`."""
        import psycopg

        url = self.database_url.replace("postgres://", "postgresql://")
        limits = {"connect_timeout": "10", "options": "-c statement_timeout=20000", **where}
        with psycopg.connect(url, autocommit=True, **limits) as connection:  # type: ignore[arg-type]
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def run(self, code: str) -> Any:
        """Run Python inside its Django; what the code put into `result`, by way of JSON."""
        program = f"import django; django.setup(); import json; result = None\n{code}\nprint(json.dumps(result))"
        answer = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=self.django_env, capture_output=True, text=True
        )
        if answer.returncode:
            raise RuntimeError(answer.stderr)
        return json.loads(answer.stdout.strip().splitlines()[-1])

    def people(self, num: int) -> list[str]:
        """Make `num` people; the session key of each, so that nobody has to sign in first."""
        keys: list[str] = self.run(f"{SIGNED_IN}\nresult = [signed_in(i) for i in range({num})]")
        return keys


SIGNED_IN = """
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from chat.models import User
from chat.sessions import SessionStore

def signed_in(i):
    user, _ = User.objects.get_or_create(email=f"person{i}@example.org", defaults={"name": f"Person {i}"})
    session = SessionStore()
    session[SESSION_KEY] = str(user.id)
    session[BACKEND_SESSION_KEY] = "chat.accounts.AccountBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return session.session_key
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def running_stack(data_dir: Path, **env: str) -> Iterator[RunningStack]:
    stack = RunningStack(data_dir, **env)
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()
