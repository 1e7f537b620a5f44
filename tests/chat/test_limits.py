"""How often somebody may try: all web processes count together, and each alone while Valkey is away."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client

from chat import valkey
from chat.cache import SharedCache
from chat.models import User
from qwenweb.celery import app as celery
from tests.conftest import PASSWORD, World

IN_ANOTHER_PROCESS = """
import sys
import django
django.setup()
from django.test import Client
for _ in range(5):
    Client().post("/accounts/login/", {"login": sys.argv[1], "password": "not the right one"})
"""


def fail_elsewhere(user: User) -> None:
    """Five wrong passwords, given to another web process."""
    url = os.environ["DATABASE_URL"].replace("/qwenweb?", f"/{connection.settings_dict['NAME']}?")
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, user.email]
    subprocess.run(command, env={**os.environ, "DATABASE_URL": url}, check=True, timeout=60)


def fail_here(user: User) -> None:
    for _ in range(5):
        sign_in(user, "not the right one")


def sign_in(user: User, password: str = PASSWORD) -> str:
    """Where it leads; what is said when it leads nowhere."""
    answer = Client().post("/accounts/login/", {"login": user.email, "password": password})
    return str(answer["Location"]) if answer.status_code == 302 else answer.content.decode()


@pytest.mark.parametrize("fail", [fail_elsewhere, fail_here])
def test_five_wrong_passwords_in_any_process_are_the_most(world: World, fail: Callable[[User], None]) -> None:
    assert sign_in(world.owner) == "/"
    fail(world.owner)
    assert "Too many failed login attempts" in sign_in(world.owner)
    assert sign_in(world.team_mate) == "/", "it is counted for each person"


@pytest.fixture
def no_valkey(settings: Any) -> Iterator[None]:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    valkey.client.cache_clear()
    yield
    valkey.client.cache_clear()
    SharedCache.alone_until = 0


def test_without_valkey_people_sign_in_and_this_process_counts_alone(world: World, no_valkey: None) -> None:
    assert sign_in(world.owner) == "/"
    fail_here(world.owner)
    assert "Too many failed login attempts" in sign_in(world.owner)
    assert sign_in(world.team_mate) == "/"


def test_what_lies_in_the_stores_is_never_run(world: World) -> None:
    cache.set("key", {"a": [1, 2.5, True, "é"]})
    assert cache.get("key") == {"a": [1, 2.5, True, "é"]}
    [stored] = valkey.client().scan_iter("cache:*key")
    assert json.loads(str(valkey.client().get(stored))) == cache.get("key")
    with pytest.raises(TypeError):
        cache.set("key", os.getcwd)
    assert (celery.conf.accept_content, celery.conf.task_serializer) == (["json"], "json")


def test_neither_sign_in_nor_a_reset_tells_who_has_an_account(world: World) -> None:
    known, unknown = world.owner.email, "nobody@example.org"
    for address, field in (("/accounts/login/", "login"), ("/accounts/password/reset/", "email")):
        answers = []
        for email in (known, unknown):
            answer = Client().post(address, {field: email, "password": "not the right one"})
            page = re.sub(r'(csrfmiddlewaretoken" value="|nonce=")[^"]*', "", answer.content.decode())
            answers.append((answer.status_code, answer.get("Location"), page.replace(email, "")))
        assert answers[0] == answers[1], address
