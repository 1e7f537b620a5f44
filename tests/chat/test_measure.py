"""While somebody writes, the page says how many tokens the model will read, exactly, and what does not fit any more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from chat import context_window
from chat.models import Conversation, Folder, Generation
from chat.worker import InferenceWorker
from tests.chat.people import live_worker, signed_in
from tests.conftest import World, wait_for

HTMX = {"HX-Request": "true"}
DRAFT = " [[tokens=3]] And what about Grüße, 词 and 🙂?\r\nOn two lines. "


@pytest.fixture
def small_window(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("QWENWEB_SCRIPT", "tokens=3;context=400")
    context_window._prompter.cache_clear()
    yield
    context_window._prompter.cache_clear()


def post(client: Client, path: str, text: str, **fields: str) -> Any:
    return client.post(path, {"client_id": uuid4().hex, "text": text, **fields}, headers=HTMX)


def measured(answer: Any) -> tuple[int, str]:
    """How many tokens the page names, and the message from which on they are read."""
    html = answer.content.decode()
    (number,) = re.findall(r"([\d,]+) of [\d,]+ tokens", html)
    return int(number.replace(",", "")), re.findall(r'data-first="([^"]*)"', html)[0]


def newest() -> Generation:
    wait_for(lambda: not Generation.objects.filter(status__in=["queued", "running"]).exists())
    return Generation.objects.latest("queued_at")


def test_the_number_is_that_of_the_reply_then_made(world: World, worker: InferenceWorker) -> None:
    client = signed_in(world.owner)
    folder = Folder.objects.create(owner=world.owner, name="Work", system_prompt="Answer in one word.")
    number, first = measured(post(client, f"/c/prompt/?folder={folder.id}", DRAFT))
    assert first == "draft"
    assert not Conversation.objects.exists()
    post(client, f"/c/?folder={folder.id}", DRAFT)
    assert newest().prompt_tokens == number

    messages = f"/c/{Conversation.objects.get().id}/messages/"
    for fields in ({}, {"thinking": "off"}, {"model": "scripted"}):
        number, _ = measured(post(client, f"{messages}prompt/", DRAFT, **fields))
        post(client, messages, DRAFT, **fields)
        assert newest().prompt_tokens == number
    parent = str(Conversation.objects.get().messages.filter(role="assistant").earliest("id").id)
    below, _ = measured(post(client, f"{messages}prompt/", DRAFT, parent=parent))
    assert below < number


def test_what_does_not_fit_is_told_and_left_out(world: World, small_window: None, worker: InferenceWorker) -> None:
    client = signed_in(world.owner)
    post(client, "/c/", "First question " * 40)
    newest()
    messages = f"/c/{Conversation.objects.get().id}/messages/"
    answer = post(client, f"{messages}prompt/", "Another question " * 40)
    number, first = measured(answer)
    assert "2 oldest messages do not fit" in answer.content.decode()
    post(client, messages, "Another question " * 40)
    assert (newest().prompt_tokens, newest().num_dropped_messages) == (number, 2)
    assert first == "draft"

    third = post(client, f"{messages}prompt/", "Short")
    kept = str(newest().message.parent_id)
    assert measured(third)[1] == kept
    alone = post(client, f"{messages}prompt/", "Much too long " * 400).content.decode()
    assert "tokens; the model can read 300" in alone


def test_nothing_is_said_where_it_is_not_known(world: World) -> None:
    client = signed_in(world.owner)
    assert post(client, "/c/prompt/", "Hello").status_code == 204  # no worker
    live_worker("a", model="scripted", context_length=1000)
    assert post(client, "/c/prompt/", "Hello").status_code == 200
    live_worker("b", model="large", context_length=1000, adapters=["poet"])
    assert post(client, "/c/prompt/", "Hello").status_code == 204  # any of the two may answer
    for model, status in (("scripted", 200), ("large", 204), ("poet", 204), ("nobody", 204)):
        assert post(client, "/c/prompt/", "Hello", model=model).status_code == status, model


def test_I7_nobody_else_measures_a_conversation(world: World, worker: InferenceWorker) -> None:
    post(signed_in(world.owner), "/c/", "[[tokens=3]] Hello")
    path = f"/c/{Conversation.objects.get().id}/messages/prompt/"
    for stranger in (world.team_mate, world.outsider, world.admin):
        assert post(signed_in(stranger), path, "Hello").status_code == 404
    assert post(Client(), path, "Hello").status_code == 401
