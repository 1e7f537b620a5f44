"""What people do to share a chat, in the words of the tests."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from chat import markdown
from chat.models import Conversation, Generation, Message, ShareLink, Turn, User

HTMX = {"HX-Request": "true"}
QUICK = ["django.contrib.auth.hashers.MD5PasswordHasher"]
SECRET = "sk-abcdefghij0123456789"
KEY = re.compile(r'name="digest" value="(\w+)"')
ADDRESS = re.compile(r'value="(http://testserver/s/[\w-]+/)"')


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def finish(turn: Turn, text: str = "Fine.", reasoning: str = "", **fields: Any) -> Turn:
    Message.objects.filter(id=turn.reply.id).update(
        text=text, html=markdown.render(text), reasoning=reasoning, reasoning_html=markdown.render(reasoning)
    )
    generation = {"status": "completed", "model": "tiny-1", "ended_at": timezone.now(), **fields}
    Generation.objects.filter(id=turn.generation.id).update(**generation)
    return turn


def ticks(dialog: str, name: str) -> list[str]:
    """The values of the ticked boxes of one name."""
    boxes = re.findall(rf'<input type="checkbox"\s+name="{name}"\s+value="([^"]+)"\s*(checked)?', dialog)
    return [value for value, is_ticked in boxes if is_ticked]


def share(client: Client, turn: Turn, **changed: Any) -> str:
    """Share by the dialog as it stands, but for what is changed; the path of the link."""
    answer = submit(client, turn, **changed)
    assert answer.status_code == 200, answer.content.decode()
    return str(urlsplit(ADDRESS.findall(answer.content.decode())[0]).path)


def submit(client: Client, turn: Turn, **changed: Any) -> Any:
    address = reverse("link_create", args=[turn.message.conversation_id])
    dialog = client.get(address, {"upto": str(turn.reply.id)}, headers=HTMX).content.decode()
    fields = {"audience": "members", "days": 30, "models": "on", "messages": ticks(dialog, "messages")}
    fields |= {"digest": KEY.findall(dialog)[0], "upto": turn.reply.id, **changed}
    return client.post(address, fields, headers=HTMX)


def only_link() -> ShareLink:
    return ShareLink.objects.get()


def told(owner: User) -> Turn:
    """A finished turn: its thinking, a key and an address are in it."""
    question = f"How are <b>you</b>? Write to olga@example.org, my key is {SECRET}"
    return finish(Conversation.start(owner, question, "first-client-id"), "**Fine**, thanks.", "I ponder.")


def in_parallel(act: Callable[[int], Any], num: int = 50) -> list[Any]:
    def run(number: int) -> Any:
        try:
            return act(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as threads:
        return list(threads.map(run, range(num)))


def reader_like(client: Client) -> Client:
    """Another browser with the same session."""
    twin = Client()
    twin.cookies.load({name: morsel.value for name, morsel in client.cookies.items()})
    return twin
