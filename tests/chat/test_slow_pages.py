"""A page that reads nothing: it costs little, holds up nobody, and is let go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from chat.consumers import PageConsumer
from chat.database import db
from chat.models import Generation, User
from chat.worker import InferenceWorker
from qwenweb.asgi import application
from tests.chat.test_socket import ORIGIN, ask, cookie_of, drawn, eventually, follow, frames_until, page
from tests.conftest import World


class DeafPage:
    """Takes the handshake and then nothing more: whatever is sent to it waits."""

    def __init__(self, cookie: str) -> None:
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.num_sent = 0
        headers = [(b"cookie", cookie.encode()), (b"origin", ORIGIN)]
        scope = {"type": "websocket", "path": "/ws/", "query_string": b"", "headers": headers}
        self.inbox.put_nowait({"type": "websocket.connect"})
        self.is_accepted = asyncio.Event()
        self.task = asyncio.create_task(application(scope, self.inbox.get, self._send))

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.accept":
            self.is_accepted.set()
            return
        self.num_sent += 1
        await asyncio.Event().wait()

    def say(self, frame: object) -> None:
        self.inbox.put_nowait({"type": "websocket.receive", "text": json.dumps(frame)})


@asynccontextmanager
async def deaf_page(user: User) -> AsyncIterator[DeafPage]:
    deaf = DeafPage(await db(cookie_of, user))
    await asyncio.wait_for(deaf.is_accepted.wait(), 5)
    yield deaf
    deaf.task.cancel()
    await asyncio.gather(deaf.task, return_exceptions=True)


async def test_others_see_their_replies_beside_it(world: World, worker: InferenceWorker) -> None:
    async with deaf_page(world.owner) as deaf, page(world.owner) as socket:
        turn = await db(ask, world.owner, "[[tokens=40;rate=100]] Hello")
        deaf.say({"type": "reply.follow", "generation": str(turn.generation.id), "after": "0-0"})
        await follow(socket, turn.generation)
        frames = await frames_until(socket, "reply.end")

    html = (await db(Generation.objects.select_related("message").get)).message.html
    assert drawn(frames) == html
    assert deaf.num_sent == 1


async def test_I9_what_it_asks_for_is_not_kept_without_end(world: World) -> None:
    turn = await db(ask, world.owner, "Hello")
    async with deaf_page(world.owner) as deaf:
        for _ in range(1000):
            deaf.say({"type": "reply.follow", "generation": str(turn.generation.id), "after": "0-0"})
        await eventually(_is_steady(deaf))
        assert deaf.inbox.qsize() > 900 - PageConsumer.MOST_UNSENT


async def test_I8_it_is_let_go_when_its_rights_end(world: World) -> None:
    def deactivate() -> None:
        world.owner.is_active = False
        world.owner.save(update_fields=["is_active"])

    async with deaf_page(world.owner) as deaf:
        deaf.say({"type": "nonsense"})
        await asyncio.sleep(0.2)
        await db(deactivate)
        await asyncio.wait_for(deaf.task, 5)


def _is_steady(deaf: DeafPage) -> Any:
    """Whether it takes nothing more out of the inbox."""

    async def is_steady() -> bool:
        before = deaf.inbox.qsize()
        await asyncio.sleep(0.5)
        return before == deaf.inbox.qsize()

    return is_steady
