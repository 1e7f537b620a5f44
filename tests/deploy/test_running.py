"""The commands of compose.yaml, started as they stand there, with this machine in place of the containers.

Each does without the packages that its image leaves out.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection

from chat.models import Conversation, Generation, Worker
from tests.conftest import World, wait_for
from tests.deploy.code import ROOT
from tests.deploy.stack import Stack
from tests.stack import free_port

Start = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def port() -> str:
    return str(free_port())


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """The secrets as the operator makes them, but for the address of the database."""
    folder = tmp_path / "secrets"
    subprocess.run(["sh", str(ROOT / "deploy" / "make-secrets"), str(folder)], check=True, capture_output=True)
    address = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    (folder / "database_url").write_text(address.geturl())
    return folder


@pytest.fixture
def start(port: str, secrets: Path, tmp_path: Path, transactional_db: None) -> Iterator[Start]:
    """Starts a service of compose.yaml by its name; all are stopped as `docker compose stop` does."""
    started: list[subprocess.Popen[bytes]] = []

    def start_(name: str) -> subprocess.Popen[bytes]:
        service = Stack.read().own[name]
        missing = Stack.read().left_out(service["build"]["target"])
        blocker = tmp_path / name / "sitecustomize.py"
        blocker.parent.mkdir()
        blocker.write_text(f"import sys\nsys.modules.update(dict.fromkeys({missing}))")
        env = {variable: str(value) for variable, value in service["environment"].items()}
        env = {variable: value.replace("/run/secrets", str(secrets)) for variable, value in env.items()}
        env["QWENWEB_ORIGINS"] = "https://chat.example.org"
        env |= {"REDIS_URL": settings.REDIS_URL, "QWENWEB_DATA_DIR": str(settings.DATA_DIR)}
        env |= {
            "PYTHONPATH": str(blocker.parent),
            "QWENWEB_ENGINE": "scripted",
            "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}",
        }
        command = [word.replace("=8000", f"={port}") for word in service["command"]]
        started.append(subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE))
        return started[-1]

    yield start_
    for process in started:
        process.terminate()
    for process in started:
        process.communicate(timeout=20)


def test_the_commands_of_compose_answer_a_message(start: Start, port: str, world: World) -> None:
    prepare = start("prepare")
    assert prepare.communicate(timeout=30)[0].strip() == b'{"setup_path": null}'
    assert prepare.returncode == 0

    started = [start(name) for name in ("web", "worker", "cpu")]
    probe = [word.replace(":8000", f":{port}") for word in Stack.read().services["web"]["healthcheck"]["test"][1:]]
    env = {"PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"}
    wait_for(lambda: subprocess.run(probe, env=env, stderr=subprocess.DEVNULL).returncode == 0, timeout_s=40)
    wait_for(lambda: Worker.live().filter(state=Worker.State.READY).exists(), timeout_s=40)

    turn = Conversation.start(world.owner, "Hello", "from-compose")
    done = wait_for(lambda: Generation.objects.filter(id=turn.generation.id, status="completed").first(), timeout_s=20)
    assert done.worker_id
    for process in started:
        process.terminate()
    assert [process.wait(20) for process in started] == [0, 0, 0]
