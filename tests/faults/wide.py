"""The stack in its wide form: two web processes, two scripted workers, and a line that can fail to each store."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from qwenweb.up.child import Child
from qwenweb.up.postgres import Postgres
from qwenweb.up.program import HttpProbe, Program
from qwenweb.up.valkey import Valkey
from tests.faults.proxy import Proxy
from tests.stack import RunningStack, free_port

# Deaths are noticed soon, and leaving does not take long.
SHORT = {
    "QWENWEB_HEARTBEAT_S": "0.4",
    "QWENWEB_LEASE_S": "3",
    "QWENWEB_SWEEP_S": "0.4",
    "QWENWEB_DRAIN_S": "0.5",
    "QWENWEB_SCRIPT": "stall_s=2",
}
WORKER = ["-m", "celery", "-A", "qwenweb", "worker", "-P", "threads", "-Q", "gpu", "-c", "2", "-n", "gpu1@%h"]
ALONE = ["--without-gossip", "--without-mingle"]


class WideStack(RunningStack):
    """`manage.py up` with stores of our own behind proxies, and a second web process and worker beside it."""

    def __init__(self, directory: Path, **env: str) -> None:
        directory.chmod(0o755)
        self.postgres = Postgres(directory / "postgres", directory / "s", directory / "postgres.log")
        self.valkey = Valkey(directory / "valkey", directory / "s", directory / "valkey.log")
        self.lines = {"postgres": Proxy(directory / "s" / ".s.PGSQL.5432"), "valkey": Proxy(self.valkey.socket_path)}
        for line in self.lines.values():
            line.start()
        self.second_port = free_port()
        super().__init__(
            directory / "var",
            **SHORT,
            DATABASE_URL=f"postgres://qwenweb@127.0.0.1:{self.lines['postgres'].port}/qwenweb",
            REDIS_URL=f"redis://127.0.0.1:{self.lines['valkey'].port}/0",
            **env,
        )
        self.lines["readers"] = Proxy(self.port)
        self.lines["readers"].start()
        self._env["QWENWEB_ORIGINS"] = ",".join(f"http://127.0.0.1:{port}" for port in self.ports)
        self._hands = ThreadPoolExecutor(1)
        self._others: dict[str, Program] = {}

    @property
    def ports(self) -> list[int]:
        """Of both web processes, and of the line to the first."""
        return [self.port, self.second_port, self.lines["readers"].port]

    @property
    def django_env(self) -> dict[str, str]:
        return self._env | {"DJANGO_SETTINGS_MODULE": "qwenweb.settings"}

    def start(self, timeout_s: float = 90) -> None:
        self.mend()
        super().start(timeout_s)
        env, log = self.django_env, self.data_dir.parent
        probe = HttpProbe("127.0.0.1", self.second_port, "/healthz")
        serve = ["-m", "qwenweb.serve", "--port", str(self.second_port)]
        as_second = {"QWENWEB_DEVICE": "cpu", "QWENWEB_WORKER": "second"}
        self._others = {
            "second_web": Program("The second web server", serve, env, log / "web2.log", probe=probe),
            "second": Program("The second worker", [*WORKER, *ALONE], env | as_second, log / "gpu1.log"),
        }
        self.mend()
        self.wait_for_workers()

    def wait_for_workers(self, num: int = 2, timeout_s: float = 120) -> None:
        deadline = time.monotonic() + timeout_s
        living = "state = 'ready' AND NOT is_draining AND beat_at > now() - interval '2 s'"
        while self.sql(f"SELECT count(*) >= {num} FROM chat_worker WHERE {living}") != [(True,)]:
            if time.monotonic() > deadline:
                raise RuntimeError("The workers did not come.")
            self.mend()  # one that was told to end may have taken its time
            time.sleep(0.1)

    def mend(self) -> None:
        """Heal the lines, wake who sleeps, and start what `manage.py up` does not start again by itself."""
        # The kernel ends a process with the thread that started it, so that must be one that stays.
        self._hands.submit(self._mend).result()

    def _mend(self) -> None:
        for line in self.lines.values():
            line.heal()
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if child.status() == psutil.STATUS_STOPPED:
                    child.resume()
        self._revive()

    def revive(self, names: Iterable[str] = ()) -> None:
        """Start again what nobody else does; no more than `names`, if there are any."""
        self._hands.submit(self._revive, names).result()

    def _revive(self, names: Iterable[str] = ()) -> None:
        for name, server in self.servers.items():
            if not server.is_running and (not names or name in names):
                server.start()

    @property
    def servers(self) -> dict[str, Child]:
        return {"postgres": self.postgres, "valkey": self.valkey, **self._others}

    def find(self, name: str) -> psutil.Process:
        """A process by its name in MARKS, or one of: second, second_web, postgres, valkey."""
        if server := self.servers.get(name):
            assert server.process
            return psutil.Process(server.process.pid)
        child = self.child(name)
        assert child, f"{name} does not run"
        return child

    def kill(self, name: str) -> None:
        self.find(name).kill()

    def end(self, name: str) -> None:
        """Kill one of `second`, `second_web`, `postgres`, `valkey`, and return when it is gone."""
        self.servers[name].kill()

    def stop(self) -> int:
        self.mend()
        try:
            return super().stop()
        finally:
            self.process.kill()
            for program in (*self._others.values(), self.valkey, self.postgres):
                program.stop()
            for line in self.lines.values():
                line.stop()
            self._hands.shutdown()

    @property
    def database_url(self) -> str:
        """Past the line that may be broken."""
        return self.postgres.url


@contextmanager
def wide_stack() -> Iterator[WideStack]:
    directory = Path(tempfile.mkdtemp(prefix="qwenweb-"))
    stack = WideStack(directory)
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()
        shutil.rmtree(directory, ignore_errors=True)
