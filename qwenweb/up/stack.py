"""Which processes make up qwenweb, with their environment and their order."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from . import devices, postgres, valkey
from .child import Child, Failure
from .data import Data
from .postgres import Postgres
from .program import HttpProbe, Program, Question
from .service import Service
from .socket_dir import socket_dir
from .valkey import Valkey

ROOT = Path(__file__).resolve().parents[2]
_WORKER = ["-m", "celery", "-A", "qwenweb", "worker", "-P", "threads", "--loglevel=INFO"]
_ALONE = ["--without-gossip", "--without-mingle"]
_MODEL_RETRY_S = 60.0


@dataclass
class Stack:
    """The processes on one data directory, behind one listening socket."""

    data: Data
    listener: socket.socket

    def __post_init__(self) -> None:
        prepare = ["manage.py", "prepare", "--no-static"]
        self._prepare = Question("The database", prepare, self.env, self.data.log("prepare"))

    @property
    def address(self) -> str:
        """The address of the page, as seen from this machine."""
        host, port = self.listener.getsockname()
        return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"

    @property
    def setup_path(self) -> str | None:
        """The path of the setup link; None while or once there is an administrator."""
        lines = self._prepare.answer().strip().splitlines()
        path = json.loads(lines[-1])["setup_path"] if lines else None
        return str(path) if path else None

    def services(self) -> list[Service]:
        """Return all services in the order of their start."""
        # What a killed server leaves behind may take a moment to go.
        stores = [Service(server, is_essential=True, num_tries=5) for server in self._servers()]
        static = [Service(program, is_essential=True, is_once=True) for program in self._static_files()]
        prepare = Service(self._prepare, stores, is_essential=True, is_once=True)
        web = Service(self._web(), [*stores, *static], is_essential=True)
        base = [*static, *stores, prepare, web]
        default = Service(self._default_worker(), base)
        if os.environ.get("QWENWEB_ENGINE") == "scripted":
            return [*base, default, *self._inference_workers(base)]
        fetch = Program("The model", ["manage.py", "models", "fetch", *self._chosen_model()], self.env)
        model = Service(fetch, base, is_once=True, pause_s=_MODEL_RETRY_S)
        return [*base, default, model, *self._inference_workers([*base, model])]

    def note_ready(self) -> None:
        """Remember what the next start need not do again."""
        self.data.keep_static(_static_state())

    @property
    def env(self) -> dict[str, str]:
        """The environment of qwenweb's own processes."""
        _, port = self.listener.getsockname()
        origins = dict.fromkeys([self.address, f"http://127.0.0.1:{port}", f"http://localhost:{port}"])
        env = own_addresses(self.data.path) | {
            "QWENWEB_ORIGINS": os.environ.get("QWENWEB_ORIGINS") or ",".join(origins),
            "QWENWEB_DATA_DIR": str(self.data.path),
            "DJANGO_SETTINGS_MODULE": "qwenweb.settings",
            "PYTHONUNBUFFERED": "1",
            "MALLOC_ARENA_MAX": "2",
        }
        if not operator_value("QWENWEB_SECRET_KEY"):
            env["QWENWEB_SECRET_KEY_FILE"] = str(self.data.secret_key)
        # pip has compiled nothing, so each module's bytecode is to be kept at its first use.
        return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | env

    def _servers(self) -> list[Child]:
        own: list[Child] = []
        if redis_url := operator_value("REDIS_URL"):
            _check_valkey(redis_url)
        else:
            own.append(Valkey(self.data.path / "valkey", self.data.sockets, self.data.log("valkey")))
        if database_url := operator_value("DATABASE_URL"):
            _check_postgres(database_url)
        else:
            own.append(Postgres(self.data.path / "postgres", self.data.sockets, self.data.log("postgres")))
        return own

    def _static_files(self) -> list[Program]:
        """Return the program that collects the static files, unless they are those of the last start."""
        if self.data.has_static(_static_state()):
            return []
        arguments = ["manage.py", "collectstatic", "--no-input", "--verbosity=0"]
        return [Program("The collector of static files", arguments, self.env, self.data.log("static"))]

    def _web(self) -> Program:
        host, port = self.listener.getsockname()
        probe = HttpProbe("127.0.0.1" if host == "0.0.0.0" else host, port, "/healthz")
        # The socket stays open here while the web server is replaced: nobody is turned away meanwhile.
        arguments = ["-m", "qwenweb.serve", "--fd", str(self.listener.fileno())]
        log = self.data.log("web")
        return Program("The web server", arguments, self.env, log, probe=probe, pass_fds=[self.listener.fileno()])

    def _default_worker(self) -> Program:
        arguments = [*_WORKER, "-Q", "default", "-c", "2", "-n", "default@%h", *_ALONE]
        # Beat as a thread of it: celery's -B would fork a process that a killed worker leaves behind.
        env = self.env | {"QWENWEB_BEAT": "1"}
        return Program("The default worker", arguments, env, self.data.log("worker"))

    def _inference_workers(self, needs: list[Service]) -> list[Service]:
        return [Service(self._inference_worker(*numbered), needs) for numbered in enumerate(devices.names())]

    def _inference_worker(self, number: int, device: str) -> Program:
        arguments = [*_WORKER, "-Q", "gpu", "-c", "4", "-n", f"gpu{number}@%h", *_ALONE]
        env = self.env | {"QWENWEB_DEVICE": device}
        # Pages come before tokens, where both want the same core.
        return Program(f"The inference worker on {device}", arguments, env, self.data.log(f"gpu{number}"), nice=5)

    def _chosen_model(self) -> list[str]:
        return [name] if (name := os.environ.get("QWENWEB_MODEL")) else []


def own_addresses(data_dir: Path) -> dict[str, str]:
    """Return DATABASE_URL and REDIS_URL of the stack on `data_dir`, as far as the operator has not set others."""
    sockets = socket_dir(data_dir)
    own = {"DATABASE_URL": postgres.url(sockets), "REDIS_URL": valkey.url(sockets)}
    return {name: value for name, value in own.items() if not operator_value(name)}


def operator_value(name: str) -> str:
    """Return what the operator has set in the environment, directly or by a file; empty if nothing."""
    if value := os.environ.get(name):
        return value
    file = os.environ.get(f"{name}_FILE")
    try:
        return Path(file).read_text().strip() if file else ""
    except OSError as error:
        raise Failure(f"{name}_FILE names {file}, which can't be read: {error.strerror}.") from error


def _static_state() -> str:
    """Return a digest that changes whenever a static file may have: ours, or that of a package."""
    files = [*sorted(path for path in (ROOT / "static").rglob("*") if path.is_file()), ROOT / "requirements.lock"]
    listing = [f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files if file.exists()]
    return hashlib.sha256("\n".join(listing).encode()).hexdigest()


def _check_postgres(database_url: str) -> None:
    parts = urlsplit(database_url)
    if not postgres.answers(parts._replace(scheme="postgresql").geturl()):
        raise Failure(f"No PostgreSQL server takes connections at {_public(database_url)} (DATABASE_URL).")


def _check_valkey(redis_url: str) -> None:
    parts = urlsplit(redis_url)
    address = Path(parts.path) if parts.scheme == "unix" else (parts.hostname or "localhost", parts.port or 6379)
    is_there = valkey.is_open(address) if parts.scheme == "rediss" else valkey.answers(address)
    if not is_there:
        raise Failure(f"No Valkey server answers at {_public(redis_url)} (REDIS_URL).")


def _public(url: str) -> str:
    """Return the address without its password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
