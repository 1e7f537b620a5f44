"""A reply that ended too early goes on in its place, as if nothing had happened: shown, stored and counted once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from chat import reply_stream, valkey
from chat.database import db
from chat.models import Conversation, Generation, Message, Refused, Turn, UsageRecord, Worker
from chat.reply_stream import Told
from chat.sweeper import rescue_orphans
from chat.worker import InferenceWorker
from inference.contract import Finished, Timings, Usage
from tests.chat.test_socket import drawn, follow, frames_until, page
from tests.conftest import World, wait_for

HTMX = {"HX-Request": "true"}
QUESTION = "[[tokens=40;reasoning=6;rate=100]] Go on."


def whole_reply(world: World, question: str = QUESTION) -> Message:
    """What the model says when nobody interrupts it; the prompt is all that it depends on."""
    turn = Conversation.start(world.team_mate, question, "whole")
    wait_for_end(turn)
    return Message.objects.get(id=turn.reply.id)


def wait_for_end(turn: Turn, status: str = "completed", timeout_s: float = 10) -> Generation:
    def ended() -> bool:
        turn.generation.refresh_from_db()
        return turn.generation.is_over

    wait_for(ended, timeout_s)
    turn.reply.refresh_from_db()
    assert turn.generation.status == status
    return turn.generation


def num_told(turn: Turn, kind: str) -> int:
    entries = reply_stream.entries(valkey.client(), turn.generation.id)
    return sum(1 for cursor, told, _ in entries if told == kind and cursor.attempt == turn.generation.open_attempt)


def stop_at(turn: Turn, kind: str) -> str:
    """Stop a reply when a few words of this kind are there; what it has then."""
    wait_for(lambda: num_told(turn, kind) > 3)
    turn.generation.stop()
    wait_for_end(turn, "stopped")
    return turn.reply.text


def resume(turn: Turn) -> None:
    Generation.objects.select_related("message__conversation").get(id=turn.generation.id).resume()
    turn.generation.refresh_from_db()


@pytest.mark.parametrize("where", ["reasoning", "text"])
def test_I5_a_stopped_reply_that_is_continued_is_the_same_as_one_in_a_piece(
    world: World, worker: InferenceWorker, where: str
) -> None:
    whole = whole_reply(world)
    turn = Conversation.start(world.owner, QUESTION, "c1")
    stop_at(turn, where)
    first, thought_ms = Message.objects.get(id=turn.reply.id), turn.generation.reasoning_ms
    resume(turn)
    made = wait_for_end(turn)

    reply = turn.reply
    assert (reply.text, reply.reasoning, reply.html) == (whole.text, whole.reasoning, whole.html)
    assert reply.text.startswith(first.text)
    assert reply.reasoning.startswith(first.reasoning)
    assert len(reply.text) > len(first.text)
    assert (made.reasoning_ms > thought_ms) == (reply.reasoning != first.reasoning)


def test_I11_each_run_of_a_continued_reply_is_counted_once(world: World, worker: InferenceWorker) -> None:
    turn = Conversation.start(world.owner, QUESTION, "c1")
    for _ in range(2):
        stop_at(turn, "text")
        resume(turn)
    made = wait_for_end(turn)

    records = UsageRecord.objects.order_by("attempt")
    assert [(record.attempt, record.status) for record in records] == [
        (1, "stopped"),
        (2, "stopped"),
        (3, "completed"),
    ]
    assert sum(record.completion_tokens for record in records) == made.completion_tokens == 46
    assert sum(record.reasoning_tokens for record in records) == made.reasoning_tokens == 6
    assert sum(record.device_s or 0 for record in records) == pytest.approx(made.device_s)


def test_a_reply_cut_at_its_longest_length_goes_on_for_that_length_again(
    world: World, worker: InferenceWorker, settings: Settings
) -> None:
    whole = whole_reply(world)
    settings.MAX_TOKENS = 20
    turn = Conversation.start(world.owner, QUESTION, "c1")
    for num_tokens in (20, 40):
        made = wait_for_end(turn)
        assert (made.finish_reason, made.completion_tokens) == ("length", num_tokens)
        resume(turn)
    made = wait_for_end(turn)
    assert (made.finish_reason, made.completion_tokens) == ("stop", 46)
    assert turn.reply.text == whole.text


@pytest.fixture
def gpu(world: World) -> Worker:
    return Worker.objects.create(name="gpu0", state=Worker.State.READY)


def lose(gpu: Worker) -> None:
    Worker.objects.filter(id=gpu.id).update(beat_at=timezone.now() - timedelta(seconds=30))
    assert rescue_orphans() == 1
    Worker.objects.filter(id=gpu.id).update(beat_at=timezone.now())


def tell(generation: Generation, *entries: tuple[str, str]) -> None:
    for n, (kind, data) in enumerate(entries, start=1):
        valkey.client().xadd(reply_stream.key(generation.id), {"k": kind, "d": data}, id=f"{generation.attempt}-{n}")


def test_I5_a_worker_lost_again_and_again_takes_nothing_of_the_text_away(world: World, gpu: Worker) -> None:
    turn = Conversation.start(world.owner, "Hello", "c1")
    for told, kept, status in (
        ([("stage", "reading"), ("text", "As far ")], "As far ", "queued"),
        ([], "As far ", "interrupted"),
        ([("stage", "reading"), ("text", "As far "), ("text", "as shown")], "As far as shown", "queued"),
        ([("stage", "reading")], "As far as shown", "interrupted"),
    ):
        (claimed,) = Generation.claim(gpu, 1)
        tell(claimed, *told)
        lose(gpu)
        assert Message.objects.get(id=turn.reply.id).text == kept
        turn.generation.refresh_from_db()
        assert turn.generation.status == status
        if status == "interrupted":
            resume(turn)
    ends = UsageRecord.objects.order_by("attempt").values_list("attempt", "status")
    assert list(ends) == [(1, "handed_over"), (3, "interrupted"), (5, "handed_over"), (7, "interrupted")]


def test_a_reply_whose_worker_was_lost_has_room_to_go_on(
    world: World, worker: InferenceWorker, settings: Settings
) -> None:
    settings.MAX_TOKENS = 10
    turn = Conversation.start(world.owner, "[[tokens=0]]", "c1")
    wait_for_end(turn)
    Message.objects.filter(id=turn.reply.id).update(text="said by those that are gone " * 9)
    UsageRecord.objects.update(status="interrupted")
    Generation.objects.update(status="interrupted")
    Message.objects.filter(id=turn.message.id).update(text="[[mode=no_eos]]")
    resume(turn)
    assert wait_for_end(turn).completion_tokens >= 10


def finished(gpu: Worker, told: Told, reason: str) -> Generation:
    (claimed,) = Generation.claim(gpu, 1)
    claimed.finish(told, None, Finished(reason, Usage(9, 3), Timings(device_s=1.0)))  # type: ignore[arg-type]
    return Generation.objects.select_related("message__conversation").get(id=claimed.id)


@pytest.mark.parametrize("reason", ["stop", "error"])
def test_a_reply_that_is_done_or_failed_is_not_continued(world: World, gpu: Worker, reason: str) -> None:
    Conversation.start(world.owner, "Hello", "c1")
    generation = finished(gpu, Told("Hi"), reason)
    client = Client()
    client.force_login(world.owner)
    address = reverse("continuation_create", args=[generation.id])

    answer = client.post(address, headers=HTMX)
    assert (answer.status_code, "nothing left to continue" in answer.content.decode()) == (422, True)
    assert "nothing left to continue" in client.post(address).content.decode()
    with pytest.raises(Refused):
        generation.resume()
    assert Generation.objects.get().status == generation.status
    shown = client.get(reverse("conversation_detail", args=[generation.message.conversation_id])).content.decode()
    assert str(generation.message_id) in shown
    assert address not in shown


def test_a_reply_from_which_the_conversation_went_on_is_not_continued(world: World, gpu: Worker) -> None:
    turn = Conversation.start(world.owner, "Hello", "c1")
    generation = finished(gpu, Told("Hi"), "cancelled")
    turn.message.conversation.ask("And now?", "c2")
    with pytest.raises(Refused, match="has gone on"):
        Generation.objects.get(id=generation.id).resume()


def test_I2_a_reply_continued_thirty_times_at_once_is_continued_once(world: World, gpu: Worker) -> None:
    turn = Conversation.start(world.owner, "Hello", "c1")
    generation = finished(gpu, Told("Hi"), "cancelled")
    address = reverse("continuation_create", args=[generation.id])

    def post(_: int) -> int:
        client = Client()
        client.cookies = cookies
        try:
            return client.post(address, headers=HTMX).status_code
        finally:
            connections.close_all()

    client = Client()
    client.force_login(world.owner)
    cookies = client.cookies
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(post, range(30))) == {200}
    assert Generation.claim(gpu, 5) == [turn.generation]
    assert client.post(address, headers=HTMX).status_code == 200
    assert Generation.claim(gpu, 5) == []
    assert Generation.objects.get().attempt == 2


def test_a_stop_while_the_continuation_waits_keeps_the_text_and_counts_nothing(world: World, gpu: Worker) -> None:
    turn = Conversation.start(world.owner, "Hello", "c1")
    finished(gpu, Told("Hi"), "cancelled")
    resume(turn)
    turn.generation.stop()
    wait_for_end(turn, "stopped")

    assert turn.reply.text == "Hi"
    assert turn.generation.completion_tokens == 3
    assert UsageRecord.objects.count() == 1


def test_a_continued_reply_waits_its_turn(world: World, gpu: Worker) -> None:
    turn = Conversation.start(world.owner, "Hello", "c1")
    finished(gpu, Told("Hi"), "cancelled")
    other = Conversation.start(world.team_mate, "Hello", "c1")
    resume(turn)
    assert Generation.claim(gpu, 1) == [other.generation]


def test_without_script_a_form_continues_the_reply(world: World, gpu: Worker) -> None:
    turn = Conversation.start(world.owner, "Hello", "c1")
    finished(gpu, Told("Hi"), "cancelled")
    client = Client(enforce_csrf_checks=True)
    client.force_login(world.owner)
    conversation = reverse("conversation_detail", args=[turn.message.conversation_id])
    shown = client.get(conversation)
    address = reverse("continuation_create", args=[turn.generation.id])
    assert f'action="{address}"' in shown.content.decode()
    fields = {"csrfmiddlewaretoken": str(shown.context["csrf_token"])}

    assert client.post(address, fields)["Location"] == conversation
    assert Generation.objects.get().status == "queued"
    shown = client.get(conversation)
    assert "Hi" in shown.content.decode()
    assert "<reply-stream" in shown.content.decode()


def test_a_tab_that_missed_the_continuation_gets_the_reply_again(world: World, gpu: Worker) -> None:
    turn = Conversation.start(world.owner, "Hello", "c1")
    ended_at = finished(gpu, Told("Hi"), "cancelled").ended_at
    assert ended_at
    client = Client()
    client.force_login(world.owner)
    known = {"after": str(turn.reply.id), "ended": ended_at.isoformat()}
    address = reverse("message_create", args=[turn.message.conversation_id])
    page = client.get(reverse("conversation_detail", args=[turn.message.conversation_id])).content.decode()
    assert f'data-ended="{ended_at.isoformat()}"' in page

    assert client.get(address, known).status_code == 204
    resume(turn)
    assert "<reply-stream" in client.get(address, known).content.decode()
    finished(gpu, Told("Hi there"), "stop")
    assert "Hi there" in client.get(address, known).content.decode()
    assert client.get(address, {**known, "ended": ""}).status_code == 204


@pytest.mark.parametrize("forget", [lambda: None, lambda: valkey.client().flushall()], ids=["kept", "lost"])
async def test_I6_every_viewer_of_a_continued_reply_sees_all_of_it_once(
    world: World, worker: InferenceWorker, forget: Callable[[], None]
) -> None:
    turn = await db(Conversation.start, world.owner, QUESTION, "c1")
    async with page(world.owner) as first, page(world.owner) as second:
        await follow(first, turn.generation)
        await follow(second, turn.generation)
        shown = await frames_until(first, "reply.blocks")
        await db(stop_at, turn, "text")
        shown += await frames_until(first, "reply.end")
        await frames_until(second, "reply.end")
        await db(forget)
        await db(resume, turn)
        await follow(first, turn.generation, after=shown[-2].get("cursor", "0-0"))
        rest = await frames_until(first, "reply.blocks")
        async with page(world.owner) as late:
            await follow(late, turn.generation)
            late_frames = await frames_until(late, "reply.end")
        rest += await frames_until(first, "reply.end")
        await follow(second, turn.generation)
        await frames_until(second, "reply.end")

    html = (await db(Generation.objects.select_related("message").get)).message.html
    assert drawn(shown + rest) == drawn(late_frames) == html
    assert rest[-1]["status"] == "completed"
