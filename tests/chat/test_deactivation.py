"""Whoever is deactivated is out, and so is a device that is signed out from another: what is open there ends (I8)."""

from __future__ import annotations

import asyncio

from django.test import Client

from chat.database import db
from chat.models import Audit, Generation
from chat.worker import InferenceWorker
from tests.chat.people import signed_in
from tests.chat.test_socket import ask, communicator, cookie_of, eventually, follow, frames_until, page
from tests.conftest import World

SOON_S = 2


async def test_I8_T4_deactivation_ends_sessions_sockets_and_running_replies_within_two_seconds(
    world: World, worker: InferenceWorker
) -> None:
    turn = await db(ask, world.owner, "[[tokens=4000;rate=50]] Hello")
    admin, theirs = await db(signed_in, world.admin), await db(signed_in, world.owner)
    desk, phone = [communicator(await db(cookie_of, world.owner)) for _ in range(2)]
    for socket in (desk, phone):
        assert await socket.connect() == (True, None)
    async with page(world.team_mate) as mate:
        await follow(desk, turn.generation)
        await frames_until(desk, "reply.blocks")
        choice = {"action": "deactivate", "_selected_action": [str(world.owner.id)]}
        await db(admin.post, "/admin/chat/user/", choice)
        async with asyncio.timeout(SOON_S):
            for socket in (desk, phone):
                await frames_until(socket, "session.ended")
                assert await socket.receive_output() == {"type": "websocket.close", "code": 4401}
                await socket.wait()
            await eventually(has_ended)
        assert await desk.receive_nothing()
        assert await mate.receive_nothing(), "nobody else is touched"
    assert (await db(theirs.get, "/")).status_code == 302
    assert await db(world.owner.sessions.count) == 0
    assert (await db(Audit.objects.latest, "id")).act == "user.deactivated"


async def has_ended() -> bool:
    return await db(Generation.objects.filter(status="stopped").exists)


async def test_I8_T1_a_device_that_is_signed_out_from_another_loses_its_page_alone(world: World) -> None:
    desk = await db(signed_in, world.owner)
    desk_socket, phone_socket = communicator(cookie(desk)), communicator(await db(cookie_of, world.owner))
    for socket in (desk_socket, phone_socket):
        assert await socket.connect() == (True, None)
    await asyncio.sleep(0.2)
    await db(end_the_other, world, desk)
    async with asyncio.timeout(SOON_S):
        await frames_until(phone_socket, "session.ended")
        assert await phone_socket.receive_output() == {"type": "websocket.close", "code": 4401}
    await phone_socket.wait()
    assert await desk_socket.receive_nothing()
    await desk_socket.disconnect()


def cookie(client: Client) -> str:
    return "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())


def end_the_other(world: World, desk: Client) -> None:
    [other] = world.owner.sessions.exclude(session_key=desk.session.session_key)
    desk.post(f"/settings/sessions/{other.mark}/ending/")
