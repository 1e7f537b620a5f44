"""The page's socket: whole replies for whoever may see them, whenever they join; nothing for anybody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from chat import valkey
from chat.database import db
from chat.models import Conversation, Generation, Turn, User
from chat.worker import InferenceWorker
from qwenweb.asgi import application
from tests.communicator import WebsocketCommunicator
from tests.conftest import World, wait_for

ORIGIN = b"http://testserver"


def cookie_of(user: User) -> str:
    client = Client()
    client.force_login(user)
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


def communicator(cookie: str, origin: bytes | None = ORIGIN) -> WebsocketCommunicator:
    headers = [(b"cookie", cookie.encode()), *([(b"origin", origin)] if origin is not None else [])]
    return WebsocketCommunicator(application, "/ws/", headers=headers)


@asynccontextmanager
async def page(user: User) -> AsyncIterator[WebsocketCommunicator]:
    socket = communicator(await db(cookie_of, user))
    is_connected, _ = await socket.connect()
    assert is_connected
    yield socket
    await socket.disconnect()


async def follow(socket: WebsocketCommunicator, generation: Generation, after: str = "0-0") -> None:
    await socket.send_json_to({"type": "reply.follow", "generation": str(generation.id), "after": after})


async def frames_until(socket: WebsocketCommunicator, kind: str) -> list[dict[str, Any]]:
    frames: list[dict[str, Any]] = []
    while not frames or frames[-1]["type"] != kind:
        frames.append(json.loads(await socket.receive_from(within_s=10)))
        if frames[-1]["type"] == "reply.blocks":
            cursor = frames[-1]["cursor"]
            await socket.send_json_to({"type": "reply.ack", "generation": frames[-1]["generation"], "cursor": cursor})
    return frames


def drawn(frames: list[dict[str, Any]]) -> str:
    """What a page shows after these frames."""
    blocks: dict[int, str] = {}
    for frame in frames:
        for patch in frame.get("answer", []):
            if "append" in patch:
                assert len(blocks[patch["i"]].encode("utf-16-le")) // 2 == patch["at"]
                blocks[patch["i"]] += patch["append"]
            else:
                blocks[patch["i"]] = patch.get("code", patch["html"])
    return "".join(blocks[i] for i in sorted(blocks))


def ask(user: User, text: str, client_id: str = "c1") -> Turn:
    return Conversation.start(user, text, client_id)


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(500):
        if await condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("This did not become true in time.")


async def test_a_reply_is_shown_as_it_comes_and_ends_with_the_stored_message(
    world: World, worker: InferenceWorker
) -> None:
    async with page(world.owner) as socket:
        turn = await db(ask, world.owner, "[[tokens=20;rate=200]] Hello")
        await follow(socket, turn.generation)
        frames = await frames_until(socket, "reply.end")

    generation = await db(Generation.objects.select_related("message").get)
    assert generation.status == frames[-1]["status"] == "completed"
    assert drawn(frames) == generation.message.html
    assert str(generation.message.id) in frames[-1]["html"]
    assert len([frame for frame in frames if frame["type"] == "reply.blocks"]) > 1


async def test_I6_viewers_who_join_at_any_moment_see_the_same_reply(world: World, worker: InferenceWorker) -> None:
    turn = await db(ask, world.owner, "[[tokens=300;rate=60]] Hello")

    async def watch(delay_s: float) -> str:
        await asyncio.sleep(delay_s)
        async with page(world.owner) as socket:
            await follow(socket, turn.generation)
            return drawn(await frames_until(socket, "reply.end"))

    shown = await asyncio.gather(*(watch(delay_s) for delay_s in (0, 0.1, 0.2, 0.3, 0.4, 0.5)))
    html = (await db(Generation.objects.select_related("message").get)).message.html
    assert set(shown) == {html}


async def test_I5_a_page_that_returns_gets_only_what_it_lacks(world: World, worker: InferenceWorker) -> None:
    turn = await db(ask, world.owner, "[[tokens=60;rate=100]] Hello")
    async with page(world.owner) as socket:
        await follow(socket, turn.generation)
        first = await frames_until(socket, "reply.blocks")
    async with page(world.owner) as socket:
        await follow(socket, turn.generation, after=first[-1]["cursor"])
        rest = await frames_until(socket, "reply.end")

    assert rest[-1]["status"] == "completed"
    html = (await db(Generation.objects.select_related("message").get)).message.html
    assert drawn(first + rest) == html


async def test_a_reply_that_ended_long_ago_is_shown_at_once(world: World, worker: InferenceWorker) -> None:
    turn = await db(ask, world.owner, "[[tokens=5;rate=500]] Hello")
    await db(wait_for, lambda: Generation.objects.filter(status="completed").exists())
    valkey.client().flushall()
    async with page(world.owner) as socket:
        await follow(socket, turn.generation)
        frames = await frames_until(socket, "reply.end")
    assert frames[-1]["status"] == "completed"


async def test_a_stop_ends_the_reply_and_keeps_the_text_shown(world: World, worker: InferenceWorker) -> None:
    turn = await db(ask, world.owner, "[[tokens=500;rate=50]] Hello")
    async with page(world.owner) as socket:
        await follow(socket, turn.generation)
        shown = await frames_until(socket, "reply.blocks")
        await db(turn.generation.stop)
        frames = shown + await frames_until(socket, "reply.end")

    generation = await db(Generation.objects.select_related("message").get)
    assert generation.status == frames[-1]["status"] == "stopped"
    assert generation.message.text
    assert drawn(frames) == generation.message.html


async def test_a_stop_while_the_reply_waits_is_told_at_once(world: World) -> None:
    turn = await db(ask, world.owner, "Hello")
    async with page(world.owner) as socket:
        await follow(socket, turn.generation)
        await frames_until(socket, "reply.status")
        await asyncio.sleep(0.2)
        await db(turn.generation.stop)
        frames = await frames_until(socket, "reply.end")
    assert frames[-1]["status"] == "stopped"


async def test_a_failure_is_told_and_the_text_is_kept(world: World, worker: InferenceWorker) -> None:
    turn = await db(ask, world.owner, "[[tokens=50;rate=200;fail_at=10]] Hello")
    async with page(world.owner) as socket:
        await follow(socket, turn.generation)
        frames = await frames_until(socket, "reply.end")

    generation = await db(Generation.objects.select_related("message").get)
    assert generation.status == frames[-1]["status"] == "failed"
    assert generation.message.text
    assert generation.error_text
    assert "Traceback" not in frames[-1]["html"]


async def test_a_reply_that_waits_says_why_and_starts_when_a_worker_comes(world: World) -> None:
    turn = await db(ask, world.owner, "[[tokens=3;rate=200]] Hello")
    async with page(world.owner) as socket:
        await follow(socket, turn.generation)
        (status,) = await frames_until(socket, "reply.status")
        assert status["stage"] == "no_worker"
        late = InferenceWorker("late", "cpu")
        late.start()
        frames = await frames_until(socket, "reply.end")
        await db(late.stop)
    assert frames[-1]["status"] == "completed"


async def test_S2_who_waits_for_a_long_prompt_is_told_its_length(world: World, worker: InferenceWorker) -> None:
    text = "[[tokens=3;prefill_ms=1200]]" + " a long story" * 400
    turn = await db(ask, world.owner, text)
    async with page(world.owner) as socket, page(world.owner) as second:
        await follow(socket, turn.generation)
        told = [frame for frame in await frames_until(socket, "reply.blocks") if frame["type"] == "reply.status"]
        await follow(second, turn.generation)  # the words are there, so there is nothing to say any more
        assert "reply.status" not in [frame["type"] for frame in await frames_until(second, "reply.end")]
        await frames_until(socket, "reply.end")
    number = (await db(Generation.objects.get)).prompt_tokens
    assert number > 1000
    assert told[-1]["text"] == f"Reading {number:,} tokens"
    assert told[-1]["prompt_tokens"] == number


async def test_S2_who_waits_for_a_reply_that_is_checked_first_is_told_so(
    world: World, worker: InferenceWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "MODERATES_REPLIES", True)
    monkeypatch.setattr("chat.model_check.flagged", lambda text: None)
    turn = await db(ask, world.owner, "[[tokens=8;rate=20]] Hello")
    async with page(world.owner) as socket:
        await follow(socket, turn.generation)
        *told, blocks = await frames_until(socket, "reply.blocks")
        assert told[-1]["text"] == "Writing. The reply is checked before it is shown"
        assert drawn([blocks, *await frames_until(socket, "reply.end")])


async def test_I7_nobody_follows_a_reply_of_somebody_else(world: World, worker: InferenceWorker) -> None:
    turn = await db(ask, world.owner, "[[tokens=20;rate=100]] Hello")
    for stranger in (world.team_mate, world.outsider, world.admin):
        async with page(stranger) as socket:
            await follow(socket, turn.generation)
            (error,) = await frames_until(socket, "error")
            assert error["text"] == "There is no such reply."
            assert await socket.receive_nothing(timeout=0.2)


@pytest.mark.parametrize(
    "origin",
    [
        None,
        b"",
        b"null",
        b"http://testserver:81",
        b"https://testserver",
        b"http://evil.example",
        b"http://testserver.evil.example",
        b"http://evil.example\\@testserver",
        b"http://user@testserver",
        b"file://testserver",
        b"http://testserver:80x",
        b"http://TESTSERVER.",
    ],
)
async def test_a_socket_of_another_origin_is_refused(world: World, origin: bytes | None) -> None:
    socket = communicator(await db(cookie_of, world.owner), origin)
    assert (await socket.connect())[0] is False


@pytest.mark.parametrize("cookie", ["", "session=", "session=x", "session=" + "a" * 32, "session=../../etc"])
async def test_a_socket_without_a_session_is_refused(world: World, cookie: str) -> None:
    socket = communicator(cookie)
    assert (await socket.connect())[0] is False


@pytest.mark.parametrize("how", ["signed out", "deactivated", "deleted", "password changed"])
async def test_I8_a_socket_ends_with_the_right_to_it(world: World, how: str) -> None:
    def end() -> None:
        if how == "signed out":
            client = Client()
            client.cookies.load(cookie)
            client.post("/accounts/logout/")
        elif how == "deactivated":
            world.owner.is_active = False
            world.owner.save(update_fields=["is_active"])
        elif how == "deleted":
            world.owner.delete()
        else:
            world.owner.set_password("another long password")
            world.owner.save()

    cookie = await db(cookie_of, world.owner)
    socket = communicator(cookie)
    await socket.connect()
    await asyncio.sleep(0.2)
    await db(end)
    frames = await frames_until(socket, "session.ended")
    assert frames[-1] == {"type": "session.ended"}
    assert (await socket.receive_output(timeout=5)) == {"type": "websocket.close", "code": 4401}
    await socket.wait()


async def test_other_pages_of_a_person_hear_of_a_new_message(world: World) -> None:
    async with page(world.owner) as mine, page(world.team_mate) as theirs:
        await asyncio.sleep(0.2)
        turn = await db(ask, world.owner, "Hello")
        frames = await frames_until(mine, "conversation.changed")
        assert frames[-1]["conversation"] == str(turn.message.conversation_id)
        assert await theirs.receive_nothing(timeout=0.2)


BAD_FRAMES = [
    "",
    "x",
    "null",
    "[]",
    "1",
    '"reply.follow"',
    "{}",
    '{"type": 1}',
    '{"type": "reply.follow"}',
    '{"type": "reply.follow", "generation": 7}',
    '{"type": "reply.follow", "generation": null, "after": "0-0"}',
    '{"type": "reply.follow", "generation": "x", "after": "0-0"}',
    '{"type": "reply.follow", "generation": "0190b0a0-0000-7000-8000-000000000000", "after": "0-0"}',
    '{"type": "reply.follow", "generation": "0190b0a0-0000-7000-8000-000000000000", "after": 5}',
    '{"type": "reply.follow", "generation": "\\u0000", "after": "0-0"}',
    '{"type": "reply.follow", "generation": "\\ud800", "after": "0-0"}',
    '{"type": "shutdown", "generation": "0190b0a0-0000-7000-8000-000000000000"}',
    "[" * 4000,
    "9" * 4000,
    "NaN",
    '{"a":' * 500,
    "x" * 100_000,
]


@pytest.mark.parametrize("text", BAD_FRAMES, ids=lambda text: text[:40])
async def test_I10_a_bad_frame_is_answered_in_words_and_the_socket_lives(world: World, text: str) -> None:
    async with page(world.owner) as socket:
        await socket.send_input({"type": "websocket.receive", "text": text})
        frames = await frames_until(socket, "error")
        assert "Traceback" not in frames[-1]["text"]
        turn = await db(ask, world.owner, "Hello")
        await follow(socket, turn.generation)
        await frames_until(socket, "reply.status")


async def test_a_socket_that_sends_only_nonsense_is_closed(world: World) -> None:
    socket = communicator(await db(cookie_of, world.owner))
    await socket.connect()
    for _ in range(20):
        await socket.send_to(bytes_data=b"\xff\x00")
        await socket.receive_from()
    assert (await socket.receive_output(timeout=5)) == {"type": "websocket.close", "code": 1008}
    await socket.wait()
