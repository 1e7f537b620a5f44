"""The ground of all tests: a real Postgres and a real Valkey of their own, and a world of four people."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from qwenweb.up.postgres import Postgres
from qwenweb.up.valkey import Valkey

if TYPE_CHECKING:
    from chat.models import User

_servers: list[Any] = []
_directory = Path(tempfile.mkdtemp(prefix="qwenweb-test-"))

PASSWORD = "a long test password"
# Where the default model was fetched to, before the tests get a data directory of their own.
MODEL_DATA = Path(os.environ.get("QWENWEB_DATA_DIR") or "var").resolve()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Settings are read once, so the servers must be there before Django is."""
    if config.getoption("numprocesses", None):
        return  # each of the processes that run the tests has servers of its own; this one only deals them out
    os.environ.update(
        QWENWEB_DATA_DIR=str(_directory),
        QWENWEB_SECRET_KEY=secrets.token_urlsafe(64),
        QWENWEB_ORIGINS="http://testserver,http://127.0.0.1:8000",
        QWENWEB_ENGINE="scripted",
        QWENWEB_DATABASE_POOL="false",
        QWENWEB_HEARTBEAT_S="0.2",
        QWENWEB_LEASE_S="1.0",
        QWENWEB_DRAIN_S="0.2",
    )
    if config.option.collectonly or config.option.help:
        return
    _directory.chmod(0o755)
    _servers.append(Postgres(_directory / "postgres", _directory / "s"))
    _servers.append(Valkey(_directory / "valkey", _directory / "s"))
    for server in _servers:
        server.start()
    os.environ.update(
        DATABASE_URL=_servers[0].url, REDIS_URL=_servers[1].url, DJANGO_SETTINGS_MODULE="qwenweb.settings"
    )
    import django

    django.setup()
    from django.core.management import call_command

    call_command("collectstatic", interactive=False, verbosity=0)
    _forget_safety()


def _forget_safety() -> None:
    """Let Postgres not wait for the disk: a test run fears no power cut, and empties its tables often."""
    import psycopg

    with psycopg.connect(
        os.environ["DATABASE_URL"].replace("postgres://qwenweb@/", "postgresql://qwenweb@/"), autocommit=True
    ) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")


def pytest_unconfigure() -> None:
    for server in reversed(_servers):
        server.stop()
    shutil.rmtree(_directory, ignore_errors=True)


@pytest.fixture(scope="session")
def default_model_dir() -> Path:
    """The default model as fetched by `make test`; without it the tests that need it are skipped, and say so."""
    from inference import catalog

    found = catalog.resolve("", MODEL_DATA)
    if found is None:
        pytest.skip(f"There is no model under {MODEL_DATA}: get one with `python manage.py models fetch`.")
    return found


@pytest.fixture(scope="session")
def postgres() -> Postgres:
    server: Postgres = _servers[0]
    return server


@pytest.fixture(scope="session")
def valkey_server() -> Valkey:
    server: Valkey = _servers[1]
    return server


class World(SimpleNamespace):
    """A team: who owns what is looked at, a colleague, somebody from outside the team, the administrator."""

    owner: User
    team_mate: User
    outsider: User
    admin: User


@pytest.fixture
def world(transactional_db: None) -> World:
    from chat.models import User

    def person(name: str, **fields: Any) -> User:
        return User.objects.create(email=f"{name}@example.org", password=_hash(), name=name.title(), **fields)

    return World(
        owner=person("olga"),
        team_mate=person("tariq"),
        outsider=person("oscar"),
        admin=person("ada", is_staff=True, is_superuser=True),
    )


@cache
def _hash() -> str:
    """Hashing is slow on purpose; all people of the tests share one password."""
    from django.contrib.auth.hashers import make_password

    return make_password(PASSWORD)


@pytest.fixture(autouse=True)
def nothing_remembered(request: pytest.FixtureRequest) -> None:
    from django.utils import translation

    translation.deactivate()  # a request leaves its thread in the language it was answered in
    if "transactional_db" in request.fixturenames:
        from django.core.cache import caches

        from chat import stages, valkey

        valkey.client().flushall()
        stages._waiting.cache_clear()
        caches["process"].clear()


@pytest.fixture
def worker(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A real inference worker with the scripted engine, in threads of this process.

    There is no Celery worker to ring its bell, so it looks for new replies often.
    """
    from chat import worker as module
    from chat.models import Worker

    monkeypatch.setattr(module, "LOOK_AGAIN_S", 0.05)
    worker = module.InferenceWorker("test", "cpu")
    worker.start()
    module._running = worker
    wait_for(lambda: Worker.objects.filter(state=Worker.State.READY).exists())
    yield worker
    worker.stop()
    module._running = None


def wait_for(condition: Callable[[], Any], timeout_s: float = 10) -> Any:
    """Poll until the condition is true; what it was then. Fails the test after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.02)
    raise AssertionError("This did not become true in time.")
