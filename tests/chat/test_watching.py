"""Watch live: a link lets others follow a reply while it is written, as far as the link goes and no further."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from django.test import Client

from chat import access
from chat.consumers import PageConsumer
from chat.database import db
from chat.models import Conversation, Generation, ShareLink, Turn, User
from chat.models.snapshot import Draft, Selection
from chat.worker import InferenceWorker
from tests.chat.test_socket import ask, cookie_of, drawn, frames_until, page
from tests.communicator import WebsocketCommunicator
from tests.conftest import World

TICKET = re.compile(r'data-ticket="([^"]+)"')


def link_to(turn: Turn, *, has_thinking: bool = False, **changed: Any) -> ShareLink:
    fields = {"audience": "members", "people": [], "days": 1, "password": "", "is_live": True, **changed}
    return ShareLink.create(Draft(turn.reply), Selection(has_thinking=has_thinking), **fields)


def get(user: User, link: ShareLink) -> str:
    client = Client()
    client.cookies.load(cookie_of(user))
    return client.get(f"/s/{link.token}/").content.decode()


async def follow(socket: WebsocketCommunicator, generation: Generation, ticket: object) -> None:
    frame = {"type": "reply.follow", "generation": str(generation.id), "after": "0-0", "ticket": ticket}
    await socket.send_json_to(frame)


async def test_a_team_mate_who_joins_at_any_token_sees_the_reply_and_then_the_finished_copy(
    world: World, worker: InferenceWorker
) -> None:
    turn = await db(ask, world.owner, "[[tokens=200;reasoning=20;rate=100]] Hello")
    link = await db(link_to, turn)

    async def watch(delay_s: float) -> list[dict[str, Any]]:
        await asyncio.sleep(delay_s)
        html = await db(get, world.team_mate, link)
        async with page(world.team_mate) as socket:
            await follow(socket, turn.generation, TICKET.findall(html)[0])
            return await frames_until(socket, "reply.closed")

    watched = await asyncio.gather(*(watch(delay_s) for delay_s in (0, 0.4, 0.9)))
    message = (await db(Generation.objects.select_related("message").get)).message
    for frames in watched:
        assert drawn(frames) == message.html
        assert not any(frame.get("reasoning") for frame in frames), "the thinking was left out"
        assert "html" not in frames[-1]
    after = await db(get, world.team_mate, link)
    assert message.html.strip() in after
    assert "<reply-stream" not in after
    assert message.reasoning not in after
    assert await db(lambda: [len(each.content) for each in link.revisions.order_by("number")]) == [1, 2]


async def test_the_thinking_is_watched_where_it_is_shared(world: World, worker: InferenceWorker) -> None:
    turn = await db(ask, world.owner, "[[tokens=20;reasoning=20;rate=100]] Hello")
    link = await db(link_to, turn, has_thinking=True)
    async with page(world.team_mate) as socket:
        await follow(socket, turn.generation, await db(access.watch_ticket, world.team_mate, link))
        frames = await frames_until(socket, "reply.closed")
    assert any(frame.get("reasoning") for frame in frames)


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PageConsumer, "CHECK_WATCHED_S", 0.1)


def end_by(how: str, world: World, link: ShareLink) -> None:
    match how:
        case "revoked":
            link.revoke()
        case "expired":
            ShareLink.objects.filter(id=link.id).update(expires_at=link.created_at)
        case "no longer named":
            link.people.remove(world.team_mate)
        case "owner deactivated":
            User.objects.filter(id=world.owner.id).update(is_active=False)
        case "chat deleted":
            Conversation.objects.get().remove()
        case "updated":
            Generation.objects.filter(id=link.watched_id or "").update(status="stopped")
            link.update_to(Draft(link.conversation.messages.get(role="user")))


@pytest.mark.usefixtures("looks_often")
@pytest.mark.parametrize(
    "how", ["revoked", "expired", "no longer named", "owner deactivated", "chat deleted", "updated"]
)
async def test_I8_a_page_that_watches_is_shown_nothing_two_seconds_after_the_link_ended(world: World, how: str) -> None:
    """Incident "Stale rights on an open socket": unshared, there is no later frame."""
    turn = await db(ask, world.owner, "Hello")
    link = await db(link_to, turn, audience="named", people=[world.team_mate])
    async with page(world.team_mate) as socket:
        await follow(socket, turn.generation, await db(access.watch_ticket, world.team_mate, link))
        assert (await frames_until(socket, "reply.status"))[-1]["generation"] == str(turn.generation.id)
        await db(end_by, how, world, link)
        assert json.loads(await socket.receive_from(within_s=5))["type"] == "reply.closed"
        # Nor can it be taken up again.
        await follow(socket, turn.generation, await db(access.watch_ticket, world.team_mate, link))
        assert json.loads(await socket.receive_from(within_s=5))["type"] == "reply.closed"
        assert await socket.receive_nothing(timeout=0.3)


@pytest.mark.parametrize("kind", ["not live", "of another person", "of another reply", "forged", "of another link"])
async def test_I7_no_ticket_shows_more_than_its_link(world: World, kind: str) -> None:
    turn = await db(ask, world.owner, "Hello")
    own = await db(ask, world.outsider, "Mine", "c2")
    link = await db(link_to, turn)
    other = await db(link_to, own)
    ticket = await db(access.watch_ticket, world.outsider, link)
    forged = {
        "not live": ticket,
        "of another person": await db(access.watch_ticket, world.team_mate, link),
        "of another reply": await db(access.watch_ticket, world.outsider, other),
        "forged": f"{link.id}:abc:def",
        "of another link": f"{other.id}:{ticket.partition(':')[2]}",
    }[kind]
    if kind == "not live":
        await db(lambda: ShareLink.objects.filter(id=link.id).update(watched=None))
    async with page(world.outsider) as socket:
        await follow(socket, turn.generation, forged)
        answer = json.loads(await socket.receive_from(within_s=5))
        assert answer["type"] in ({"reply.closed"} if kind == "not live" else {"error"})
        assert await socket.receive_nothing(timeout=0.3)


def test_only_who_is_signed_in_and_has_the_password_gets_a_ticket(world: World, settings: Any) -> None:
    settings.HAS_PUBLIC_LINKS = True
    turn = ask(world.owner, "Hello")
    path = f"/s/{link_to(turn, audience='public').token}/"
    assert "<reply-stream" not in Client().get(path).content.decode()
    reader = Client()
    reader.force_login(world.outsider)
    shown = reader.get(path).content.decode()
    assert f'data-generation="{turn.generation.id}"' in shown
    for private in (str(turn.message.id), str(turn.reply.id), str(turn.message.conversation_id), 'data-client-id="c'):
        assert private not in shown
    locked = f"/s/{link_to(turn, audience='public', password='open sesame').token}/"
    assert "data-ticket" not in reader.get(locked).content.decode()


def test_a_link_that_is_not_live_shows_nothing_of_a_running_reply(world: World) -> None:
    turn = ask(world.owner, "Hello")
    Generation.objects.update(status="completed")
    running = turn.message.conversation.ask("More", "c2")
    link = link_to(running, is_live=False)
    shown = get(world.team_mate, link)
    assert "Hello" in shown and "More" not in shown and "<reply-stream" not in shown


def test_the_watched_reply_alone_joins_the_copy_and_only_once(world: World) -> None:
    turn = ask(world.owner, "Hello")
    link = link_to(turn)
    conversation = turn.message.conversation
    Generation.objects.update(status="completed")
    conversation.messages.filter(id=turn.reply.id).update(text="Done", html="<p>Done</p>")
    conversation.messages.filter(id=turn.message.id).update(text="Edited since")
    conversation.ask("Later", "c2")
    for _ in range(3):
        shown = get(world.team_mate, link)
        assert "<p>Done</p>" in shown and "Edited" not in shown and "Later" not in shown
    assert link.revisions.count() == 2
