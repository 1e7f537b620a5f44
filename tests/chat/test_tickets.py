"""A page follows a reply it has just asked for without a look into Postgres; nobody else gets anywhere with that."""

from __future__ import annotations

import asyncio
import json

import pytest
from django.test import Client

from chat import access
from chat.database import db
from chat.models import Generation
from chat.worker import InferenceWorker
from tests.chat.test_socket import ask, communicator, cookie_of, drawn, frames_until, page
from tests.communicator import WebsocketCommunicator
from tests.conftest import World


async def follow(socket: WebsocketCommunicator, generation: Generation, ticket: object) -> None:
    frame = {"type": "reply.follow", "generation": str(generation.id), "after": "0-0", "ticket": ticket}
    await socket.send_json_to(frame)


def test_the_page_gets_a_ticket_with_its_turn(world: World) -> None:
    client = Client()
    client.force_login(world.owner)
    turn = client.post("/c/", {"client_id": "c1", "text": "Hello"}, headers={"HX-Request": "true"}).content.decode()
    generation = Generation.objects.get()

    _, _, rest = turn.partition('data-ticket="')
    ticket, _, _ = rest.partition('"')
    assert access.holds_ticket(world.owner.id, generation.id, ticket)
    assert "data-ticket" not in client.get(f"/c/{generation.message.conversation_id}").content.decode()


async def test_a_reply_followed_with_a_ticket_is_shown_from_its_first_word(
    world: World, worker: InferenceWorker
) -> None:
    async with page(world.owner) as socket:
        turn = await db(ask, world.owner, "[[tokens=20;rate=200]] Hello")
        await follow(socket, turn.generation, access.ticket(turn.generation))
        frames = await frames_until(socket, "reply.end")

    html = (await db(Generation.objects.select_related("message").get)).message.html
    assert drawn(frames) == html


async def test_a_reply_that_waits_says_why_to_who_came_with_a_ticket(world: World) -> None:
    async with page(world.owner) as socket:
        turn = await db(ask, world.owner, "Hello")
        await follow(socket, turn.generation, access.ticket(turn.generation))
        frames = await frames_until(socket, "reply.status")
    assert frames[-1]["stage"] == "no_worker"


@pytest.mark.parametrize("kind", ["of the owner", "of another reply", "forged", "cut", "a number", "a list", "none"])
async def test_I7_no_ticket_shows_somebody_elses_reply(world: World, worker: InferenceWorker, kind: str) -> None:
    turn = await db(ask, world.owner, "[[tokens=20;rate=100]] Hello")
    own = await db(ask, world.outsider, "Hello")
    of_owner = access.ticket(turn.generation)
    ticket: object = {
        "of the owner": of_owner,
        "of another reply": access.ticket(own.generation),
        "forged": of_owner[:-1] + ("A" if of_owner[-1] != "A" else "B"),
        "cut": of_owner[:-4],
        "a number": 1,
        "a list": [of_owner],
        "none": None,
    }[kind]

    async with page(world.outsider) as socket:
        await follow(socket, turn.generation, ticket)
        frames = await frames_until(socket, "error")
        assert frames[-1]["text"] == "There is no such reply."
        await asyncio.sleep(0.3)
        while not await socket.receive_nothing(timeout=0.01):
            frames.append(json.loads(await socket.receive_from()))
    assert {frame["type"] for frame in frames} <= {"error", "conversation.changed"}
    assert str(turn.generation.id) not in json.dumps(frames)


async def test_a_ticket_that_ran_out_is_worth_a_look_into_postgres(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, removed = await db(ask, world.owner, "Hello", "c1"), await db(ask, world.owner, "Hello", "c2")
    tickets = access.ticket(kept.generation), access.ticket(removed.generation)
    await db(removed.message.conversation.remove)
    monkeypatch.setattr(access, "TICKET_S", -1)

    async with page(world.owner) as socket:
        await follow(socket, kept.generation, tickets[0])
        await frames_until(socket, "reply.status")
        await follow(socket, removed.generation, tickets[1])
        frames = await frames_until(socket, "error")
        assert frames[-1]["text"] == "There is no such reply."


@pytest.mark.parametrize("how", ["signed out", "deactivated"])
async def test_I8_a_ticket_shows_nothing_once_the_rights_have_ended(
    world: World, worker: InferenceWorker, how: str
) -> None:
    def end() -> None:
        if how == "signed out":
            client = Client()
            client.cookies.load(cookie)
            client.post("/accounts/logout/")
        else:
            world.owner.is_active = False
            world.owner.save(update_fields=["is_active"])

    cookie = await db(cookie_of, world.owner)
    socket = communicator(cookie)
    await socket.connect()
    turn = await db(ask, world.owner, "[[tokens=100;rate=50]] Hello")
    await db(end)
    await frames_until(socket, "session.ended")
    await follow(socket, turn.generation, access.ticket(turn.generation))

    assert (await socket.receive_output(timeout=5)) == {"type": "websocket.close", "code": 4401}
    assert await socket.receive_nothing(timeout=0.5)
    assert (await communicator(cookie).connect())[0] is False
