"""Each process of the running stack is killed while a reply is written; what people saw stays, and it goes on."""

from __future__ import annotations

import asyncio
import random
import re
from uuid import uuid4

import pytest

from tests.stack import RunningStack
from tests.visitor import CONVERSATION, GENERATION, Visitor

STAMP = re.compile(r"‹(\d+):\d+›")
REPLY = "[[stamp;tokens=120;rate=40]] Count, please."


def numbers(text: str) -> list[int]:
    return [int(number) for number in STAMP.findall(text)]


async def ask_and_watch(stack: RunningStack, session: str, disturb: str) -> Visitor:
    """Ask, kill a process when the first words are there, watch to the end."""
    visitor = Visitor(stack.port, session)
    generation = await visitor.ask(REPLY)
    watching = asyncio.create_task(visitor.watch(generation))
    while len(numbers(visitor.text)) < 20:
        await asyncio.sleep(0.05)
        assert not watching.done()
    stack.kill(disturb)
    await watching
    return visitor


async def is_answered(stack: RunningStack, session: str) -> None:
    """I12: a new question is answered, and soon."""
    visitor = Visitor(stack.port, session)
    async with asyncio.timeout(15):
        while True:
            try:
                generation = await visitor.ask("[[tokens=5;rate=100]] Are you there?")
                break
            except (OSError, RuntimeError):
                await asyncio.sleep(0.2)
    await visitor.watch(generation, timeout_s=15)
    assert visitor.end
    assert visitor.end["status"] == "completed"


@pytest.mark.parametrize("process", ["web", "valkey", "postgres", "inference"])
async def test_a_reply_is_whole_although_this_was_killed(
    stack: RunningStack, sessions: list[str], process: str
) -> None:
    visitor = await ask_and_watch(stack, sessions[0], process)

    assert visitor.end
    assert visitor.end["status"] == "completed"
    assert numbers(visitor.end["html"].partition("<template")[0]) == list(range(120))
    for earlier, later in zip(visitor.history, visitor.history[1:], strict=False):
        assert numbers(later)[: len(numbers(earlier))] == numbers(earlier)
    await is_answered(stack, sessions[1])


async def test_a_worker_whose_model_hangs_is_started_again_by_itself(stack: RunningStack, sessions: list[str]) -> None:
    before = stack.child("inference")
    visitor = Visitor(stack.port, sessions[0])
    await visitor.watch(await visitor.ask("[[stamp;tokens=120;rate=40;fail_at=30;mode=hang]] Count, please."))

    assert visitor.end
    assert visitor.end["status"] == "interrupted"
    assert numbers(visitor.end["html"].partition("<template")[0]) == list(range(30))
    async with asyncio.timeout(30):
        after = before
        while after in (None, before):
            await asyncio.sleep(0.1)
            after = stack.child("inference")
    await is_answered(stack, sessions[1])


@pytest.mark.parametrize("process", ["inference", "valkey"])
async def test_a_question_asked_while_this_is_away_is_answered_when_it_is_back(
    stack: RunningStack, sessions: list[str], process: str
) -> None:
    stack.kill(process)
    visitor = Visitor(stack.port, sessions[0])
    generation = await visitor.ask("[[tokens=5;rate=100]] Are you there?")
    await visitor.watch(generation)
    assert visitor.end
    assert visitor.end["status"] == "completed"


async def test_a_page_reloaded_at_twenty_random_moments_shows_every_word_once(
    stack: RunningStack, sessions: list[str]
) -> None:
    first = Visitor(stack.port, sessions[0])
    answer = await first.post("/c/", {"client_id": str(uuid4()), "text": REPLY})
    generation, conversation = GENERATION.findall(answer)[0], CONVERSATION.findall(answer)[0]

    async def reload(after_s: float) -> str:
        await asyncio.sleep(after_s)
        page = await first.get(f"/c/{conversation}")
        visitor = Visitor(stack.port, sessions[0])
        if GENERATION.search(page) is None:
            return page
        await visitor.watch(generation)
        assert visitor.end
        assert numbers(visitor.text) == sorted(set(numbers(visitor.text)))
        return str(visitor.end["html"])

    moments = random.Random(7)
    pages = await asyncio.gather(*(reload(moments.uniform(0, 3.2)) for _ in range(20)))
    for page in pages:
        assert numbers(page.partition("<template")[0])[-120:] == list(range(120))


async def test_I2_the_same_question_sent_twenty_times_at_once_is_asked_once(
    stack: RunningStack, sessions: list[str]
) -> None:
    visitor = Visitor(stack.port, sessions[0])
    asked = await asyncio.gather(
        *(visitor.ask("[[tokens=200;rate=50]] Once?", client_id="twenty-times-at-once") for _ in range(20))
    )
    assert len(set(asked)) == 1
