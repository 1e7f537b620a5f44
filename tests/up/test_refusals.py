"""What `manage.py up` says when it can't start: one plain sentence, and exit status 1."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .running import free_port, try_start


def assert_one_sentence(refused: subprocess.CompletedProcess[str], words: str) -> None:
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.count("\n") == 1
    assert words in refused.stderr


def test_a_busy_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert_one_sentence(try_start(tmp_path / "data", port), f"Port {port} is in use by another program")


@pytest.mark.parametrize("port", ["0", "65536", "abc", ""])
def test_a_port_that_is_none(tmp_path: Path, port: str) -> None:
    assert_one_sentence(try_start(tmp_path / "data", port), f"{port} is not a port; choose one from 1 to 65535.")


def test_an_address_of_another_machine(tmp_path: Path) -> None:
    refused = try_start(tmp_path / "data", "8000", host="192.0.2.1")
    assert_one_sentence(refused, "qwenweb can't listen on 192.0.2.1, port 8000: cannot assign requested address.")


def test_a_data_directory_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = try_start(tmp_path / "file" / "data", free_port())
    assert_one_sentence(refused, f"The data directory {tmp_path}/file/data can't be used: not a directory.")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_directory_that_can_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert_one_sentence(try_start(tmp_path / "data", free_port()), "can't be used: permission denied.")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only who may mount can make a small disk")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    assert_one_sentence(try_start(small_disk / "data", free_port()), f"The disk that holds {small_disk}/data is full")


def test_a_database_of_the_operator_that_is_not_there(tmp_path: Path) -> None:
    url = f"postgres://me:secret@127.0.0.1:{free_port()}/chat"
    refused = try_start(tmp_path / "data", free_port(), DATABASE_URL=url)
    assert_one_sentence(refused, "No PostgreSQL server takes connections at postgres://127.0.0.1:")
    assert "secret" not in refused.stderr


def test_a_valkey_of_the_operator_that_is_not_there(tmp_path: Path) -> None:
    refused = try_start(tmp_path / "data", free_port(), REDIS_URL=f"redis://:secret@127.0.0.1:{free_port()}/0")
    assert_one_sentence(refused, "No Valkey server answers at redis://127.0.0.1:")
    assert "secret" not in refused.stderr
