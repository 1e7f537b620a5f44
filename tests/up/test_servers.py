"""PostgreSQL and Valkey of our own, each used as the stack and the tests use them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from qwenweb.up import account, become
from qwenweb.up.child import Failure
from qwenweb.up.postgres import Postgres
from qwenweb.up.valkey import Valkey


def connect(server: Postgres) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(f"host={server.socket_dir} user=qwenweb dbname=qwenweb")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Postgres]:
    with Postgres(tmp_path / "postgres", tmp_path / "run", tmp_path / "postgres.log") as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Valkey]:
    with Valkey(tmp_path / "valkey", tmp_path / "run", tmp_path / "valkey.log") as server:
        yield server


def test_what_was_committed_survives_a_kill(database: Postgres) -> None:
    with connect(database) as connection:
        connection.execute("CREATE TABLE note (text text)")
        connection.execute("INSERT INTO note VALUES ('stays')")
    connection.close()
    database.kill()
    database.start()
    with connect(database) as connection:
        assert connection.execute("SELECT text FROM note").fetchall() == [("stays",)]
    connection.close()


def test_a_lock_whose_number_belongs_to_another_program_is_no_hindrance(database: Postgres) -> None:
    lock = (database.data_dir / "postmaster.pid").read_text().splitlines()
    database.stop()
    lock[0] = str(os.getpid())
    (database.data_dir / "postmaster.pid").write_text("\n".join(lock) + "\n")
    (database.socket_dir / ".s.PGSQL.5432.lock").write_text("\n".join(lock) + "\n")
    database.start()


def test_a_second_server_on_the_same_database_says_why_it_does_not_start(database: Postgres) -> None:
    with pytest.raises(Failure, match=r'^PostgreSQL did not start: lock file "postmaster.pid" already exists$'):
        Postgres(database.data_dir, database.socket_dir, database.data_dir.parent / "second.log").start()
    assert database.is_ready()


def test_text_is_sorted_by_code_point_and_folded_as_unicode(database: Postgres) -> None:
    with connect(database) as connection:
        assert connection.execute("SELECT lower('ÄÖ'), 'Z' < 'a'").fetchone() == ("äö", True)
    connection.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_root_without_user_namespaces_runs_postgres_as_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = account.Account(become.nobody(), "nobody")
    monkeypatch.setattr(account, "for_postgres", lambda: nobody)
    with Postgres(tmp_path / "postgres", tmp_path / "run") as server:
        assert server.data_dir.stat().st_uid == nobody.uid
        connect(server).close()
    monkeypatch.undo()
    with Postgres(tmp_path / "postgres", tmp_path / "run") as server:
        assert server.data_dir.stat().st_uid == account.for_postgres().uid


def test_valkey_keeps_its_keys_over_a_stop(store: Valkey) -> None:
    with redis.Redis.from_url(store.url) as client:
        client.set("key", "stays")
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    store.stop()
    store.start()
    with redis.Redis.from_url(store.url) as client:
        assert client.get("key") == b"stays"


def test_a_second_valkey_can_not_take_the_directory(store: Valkey) -> None:
    with pytest.raises(Failure, match="Another Valkey server already uses"):
        Valkey(store.data_dir, store.socket_path.parent).start()
    store.kill()
    store.start()
