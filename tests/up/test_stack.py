"""The whole stack, as `make run` starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .running import ROOT, RunningStack, environment, is_alive, running, try_start, wait_until


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """One on a data directory whose name has spaces and is too long for a socket."""
    with running(tmp_path_factory.mktemp("stack") / f"our data {'x' * 80}") as started:
        yield started


def test_a_start_says_where_the_page_is_and_how_the_first_admin_is_made(stack: RunningStack) -> None:
    lines = stack.output.splitlines()
    assert f"{stack.address}/" in lines
    link = next(line for line in lines if "/setup/" in line)
    assert re.fullmatch(re.escape(stack.address) + r"/setup/[\w-]{20,}/", link)
    assert stack.status(link.removeprefix(stack.address)) == 200


def test_a_second_start_on_the_same_data_is_refused(stack: RunningStack) -> None:
    refused = try_start(stack.data_dir, stack.port)
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr == f"qwenweb already runs on the data directory {stack.data_dir}.\n"
    assert stack.status() == 200


@pytest.mark.parametrize("words", ["valkey-server", "bin/postgres", "qwenweb.serve", "-Q default", "-Q gpu"])
def test_a_killed_child_comes_back(stack: RunningStack, words: str) -> None:
    wait_until(lambda: stack.child(words))
    pid = stack.child(words)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: stack.child(words) not in {None, pid})
    wait_until(lambda: stack.status("/accounts/login/") == 200)


def test_a_command_in_another_terminal_finds_the_database(stack: RunningStack) -> None:
    command = [sys.executable, "manage.py", "showmigrations", "chat"]
    done = subprocess.run(command, cwd=ROOT, env=environment(stack.data_dir), capture_output=True, text=True)
    assert "[X] 0001_initial" in done.stdout, done.stderr


def test_nobody_else_can_read_the_data(stack: RunningStack) -> None:
    assert stack.data_dir.stat().st_mode & 0o777 == 0o700
    assert (stack.data_dir / "secret_key").stat().st_mode & 0o777 == 0o600


def test_the_end_leaves_no_process_whatever_the_manner(tmp_path: Path) -> None:
    with running(tmp_path / "data") as first:
        secret_key = (first.data_dir / "secret_key").read_text()
        wait_until(lambda: first.child("-Q gpu") and first.child("-Q default"))
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(60) == 0
        assert first.left_over() == []
    with running(tmp_path / "data") as second:
        assert (second.data_dir / "secret_key").read_text() == secret_key
        wait_until(lambda: second.child("-Q gpu") and second.child("-Q default"))
        second.process.kill()
        second.process.wait()
        wait_until(lambda: not any(map(is_alive, second.seen)))
    with running(tmp_path / "data") as third:
        assert third.status() == 200
        third.process.send_signal(signal.SIGINT)
        assert third.process.wait(60) == 0
