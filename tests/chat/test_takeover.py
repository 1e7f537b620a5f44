"""A reply goes on with another worker when its own dies, hangs or is drained: the same text, shown and counted once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from chat import reply_stream, stages, valkey
from chat import worker as worker_module
from chat.database import db
from chat.models import Conversation, Generation, Message, Turn, UsageRecord, Worker
from chat.reply_stream import Told
from chat.sweeper import rescue_orphans
from chat.worker import InferenceWorker
from inference.contract import Finished, Usage
from tests.chat.test_continuing import QUESTION, num_told, wait_for_end, whole_reply
from tests.chat.test_socket import drawn, follow, frames_until, page
from tests.conftest import World, wait_for


@contextmanager
def working(name: str) -> Iterator[InferenceWorker]:
    worker = InferenceWorker(name, "cpu")
    worker.start()
    try:
        wait_for(lambda: Worker.objects.filter(name=name, state=Worker.State.READY).exists(), timeout_s=60)
        yield worker
    finally:
        worker.stop()


@pytest.fixture
def second(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[InferenceWorker]:
    monkeypatch.setattr(worker_module, "LOOK_AGAIN_S", 0.05)
    with working("second") as worker:
        yield worker


def go_still(worker: InferenceWorker) -> None:
    """Its claims and beats end, as if its process had died or slept; what it runs in its threads is a zombie's."""
    worker._is_draining = worker._is_leaving = True
    beats = threading.Event()
    worker._beat = beats.set  # type: ignore[method-assign]
    assert beats.wait(10)  # now no earlier beat is on its way
    Worker.objects.filter(id=worker.row.id).update(beat_at=timezone.now() - timedelta(seconds=30))


@pytest.mark.parametrize("where", ["reasoning", "text"])
def test_I5_a_reply_whose_worker_goes_still_is_the_same_as_one_in_a_piece(
    world: World, worker: InferenceWorker, where: str
) -> None:
    whole = whole_reply(world)
    turn = Conversation.start(world.owner, QUESTION, "c1")
    wait_for(lambda: num_told(turn, where) > 3)
    go_still(worker)
    assert rescue_orphans() == 1
    assert rescue_orphans() == 0
    shown = Message.objects.get(id=turn.reply.id)
    with working("second") as second:
        made = wait_for_end(turn)

    assert shown.text + shown.reasoning
    assert (turn.reply.text, turn.reply.reasoning, turn.reply.html) == (whole.text, whole.reasoning, whole.html)
    assert (made.worker_id, made.attempt, made.num_lost) == (second.row.id, 3, 1)


def test_I4_a_zombie_that_writes_on_changes_neither_row_nor_stream(world: World, worker: InferenceWorker) -> None:
    turn = Conversation.start(world.owner, "[[tokens=40;rate=80]] Hello", "c1")
    wait_for(lambda: num_told(turn, "text") > 3)
    go_still(worker)
    rescue_orphans()
    shown = Message.objects.get(id=turn.reply.id).text
    wait_for(lambda: not worker._replies)  # it has written to the end, and found that it may not store it

    assert reply_stream.told(valkey.client(), turn.generation.id, 1).text == shown
    turn.generation.refresh_from_db()
    assert (turn.generation.status, Message.objects.get(id=turn.reply.id).text) == ("queued", shown)
    assert [record.attempt for record in UsageRecord.objects.all()] == [1]


def test_I11_each_attempt_is_counted_once_with_the_tokens_that_were_shown(
    world: World, worker: InferenceWorker
) -> None:
    turn = Conversation.start(world.owner, QUESTION, "c1")
    wait_for(lambda: num_told(turn, "text") > 3)
    go_still(worker)
    rescue_orphans()
    with working("second"):
        made = wait_for_end(turn)

    lost, ended = UsageRecord.objects.order_by("attempt")
    assert (lost.status, ended.status) == ("handed_over", "completed")
    assert lost.completion_tokens > lost.reasoning_tokens == 6
    assert lost.completion_tokens + ended.completion_tokens == made.completion_tokens == 46
    assert ended.reasoning_tokens == 0


def test_a_reply_that_was_taken_over_ends_at_the_same_length_as_without(
    world: World, worker: InferenceWorker, settings: Settings
) -> None:
    settings.MAX_TOKENS = 30
    turn = Conversation.start(world.owner, QUESTION, "c1")
    wait_for(lambda: num_told(turn, "text") > 3)
    go_still(worker)
    rescue_orphans()
    with working("second"):
        made = wait_for_end(turn)
    assert (made.finish_reason, made.completion_tokens) == ("length", 30)


def test_I3_a_reply_that_its_worker_cannot_bring_to_its_end_is_taken_up_again(
    world: World, worker: InferenceWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = whole_reply(world)
    finish, num_tried = Generation.finish, 0

    def fail_first(self: Generation, *args: Any, **how: Any) -> str | None:
        nonlocal num_tried
        num_tried += 1
        if num_tried == 1:
            raise RuntimeError("No room to think")
        return finish(self, *args, **how)

    monkeypatch.setattr(Generation, "finish", fail_first)
    turn = Conversation.start(world.owner, QUESTION, "c1")
    made = wait_for_end(turn)
    assert (turn.reply.text, turn.reply.reasoning) == (whole.text, whole.reasoning)
    assert (made.status, made.attempt, made.num_lost) == ("completed", 3, 1)


def test_I3_a_reply_for_which_there_is_no_thread_is_begun_when_there_is_one(
    world: World, worker: InferenceWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start
    refused: list[str] = []

    def refuse_first(self: threading.Thread) -> None:
        if self.name.startswith("reply-") and self.name != "reply-writer" and not refused:
            refused.append(self.name)
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refuse_first)
    turn = Conversation.start(world.owner, "[[tokens=3;rate=100]] Hello", "c1")
    made = wait_for_end(turn)
    assert (len(refused), made.status, made.attempt) == (1, "completed", 1)


@pytest.fixture
def gpu(world: World) -> Worker:
    return Worker.objects.create(name="gpu0", state=Worker.State.READY, num_slots=4)


def lose(worker: Worker) -> None:
    Worker.objects.filter(id=worker.id).update(beat_at=timezone.now() - timedelta(seconds=30))
    rescue_orphans()
    Worker.objects.filter(id=worker.id).update(beat_at=timezone.now())


def test_I3_the_second_death_interrupts_and_a_continued_reply_may_lose_a_worker_again(
    world: World, gpu: Worker
) -> None:
    turn = Conversation.start(world.owner, "Hello", "c1")
    client, key = valkey.client(), reply_stream.key(turn.generation.id)
    Generation.claim(gpu, 1)
    client.xadd(key, {"k": "reasoning", "d": "Hm"}, id="1-1")
    client.xadd(key, {"k": "text", "d": "As far "}, id="1-2")
    client.xadd(key, {"k": "text", "d": "as shown"}, id="1-3")
    lose(gpu)
    with pytest.raises(Exception, match="equal or smaller"):
        client.xadd(key, {"k": "text", "d": "zombie"}, id="1-4")
    (again,) = Generation.claim(gpu, 1)
    assert (again.attempt, again.message.text, again.message.reasoning) == (3, "As far as shown", "Hm")
    lose(gpu)

    lost = Generation.objects.get()
    assert (lost.status, lost.error_code, lost.can_resume) == ("interrupted", "worker_lost", True)
    assert Message.objects.get(id=turn.reply.id).text == "As far as shown"
    assert client.xrevrange(key, count=1) == [("4-2", {"k": "end", "d": "interrupted"})]
    lost.resume()
    Generation.claim(gpu, 1)
    lose(gpu)
    assert Generation.objects.get().status == "queued"


def test_a_reply_that_was_to_stop_is_not_taken_over(world: World, gpu: Worker) -> None:
    turn = Conversation.start(world.owner, "Hello", "c1")
    Generation.claim(gpu, 1)
    valkey.client().xadd(reply_stream.key(turn.generation.id), {"k": "text", "d": "Some"}, id="1-1")
    turn.generation.stop()
    lose(gpu)

    lost = Generation.objects.select_related("message").get()
    assert (lost.status, lost.finish_reason, lost.message.text) == ("stopped", "cancelled", "Some")


def test_what_was_handed_over_goes_before_what_is_new(world: World, gpu: Worker) -> None:
    first = Conversation.start(world.owner, "Hello", "c1").generation
    Generation.claim(gpu, 1)
    Conversation.start(world.team_mate, "Hello", "c1")
    lose(gpu)
    assert Generation.claim(gpu, 1) == [first]


async def test_I6_who_watches_sees_a_pause_and_then_the_rest_once(world: World, worker: InferenceWorker) -> None:
    whole = await db(whole_reply, world)
    turn = await db(Conversation.start, world.owner, QUESTION, "c1")
    async with page(world.owner) as first:
        await follow(first, turn.generation)
        shown = await frames_until(first, "reply.blocks")
        await db(wait_for, lambda: num_told(turn, "text") > 3)
        await db(go_still, worker)
        await db(rescue_orphans)
        async with page(world.owner) as late:
            await follow(late, turn.generation)
            successor = await db(InferenceWorker, "second", "cpu")
            await db(successor.start)
            late_frames = await frames_until(late, "reply.end")
        shown += await frames_until(first, "reply.end")
        await db(successor.stop)

    assert drawn(shown) == drawn(late_frames) == whole.html
    assert not [frame for frame in shown if frame.get("stage") == "moving"]


def tell_some(turn: Turn, gpu: Worker) -> None:
    Generation.claim(gpu, 1)
    valkey.client().xadd(reply_stream.key(turn.generation.id), {"k": "text", "d": "Some"}, id="1-1")


async def test_a_move_is_told_when_it_takes_more_than_two_seconds(world: World, gpu: Worker) -> None:
    turn = await db(Conversation.start, world.owner, "Hello", "c1")
    await db(tell_some, turn, gpu)
    async with page(world.owner) as socket:
        await follow(socket, turn.generation)
        await frames_until(socket, "reply.blocks")
        handed_over_at = time.monotonic()
        await db(lose, gpu)
        await db(Worker.objects.update, beat_at=timezone.now() + timedelta(minutes=1), num_slots=0)
        frame: dict[str, Any] = {}
        while frame.get("stage") != "moving":
            frame = (await frames_until(socket, "reply.status"))[-1]
        assert time.monotonic() - handed_over_at > 1.8
    assert frame["text"] == "Moving to another worker"


# Drain

LONG = "[[tokens=80;reasoning=6;rate=50]] Go on."


def test_a_drained_worker_hands_its_replies_over_at_a_token_and_takes_no_more(
    world: World, worker: InferenceWorker, second: InferenceWorker
) -> None:
    go_on_alone = Worker.objects.get(id=second.row.id)
    go_on_alone.drain()
    wait_for(lambda: second._is_draining)
    whole = whole_reply(world, LONG)
    turn = Conversation.start(world.owner, LONG, "c1")
    wait_for(lambda: num_told(turn, "text") > 3)
    call_command("workers", "undrain", "second")
    wait_for(lambda: not second._is_draining)
    call_command("workers", "drain", "test")
    made = wait_for_end(turn)

    assert (made.worker_id, made.num_lost) == (second.row.id, 0)
    assert (turn.reply.text, turn.reply.reasoning) == (whole.text, whole.reasoning)
    records = UsageRecord.objects.filter(user=world.owner).order_by("attempt")
    assert [record.status for record in records] == ["handed_over", "completed"]
    assert sum(record.completion_tokens for record in records) == made.completion_tokens == 86
    late = Conversation.start(world.owner, "[[tokens=3]] And now?", "c2")
    assert wait_for_end(late).worker_id == second.row.id


def test_a_reply_that_ends_within_the_grace_is_not_moved(
    world: World, worker: InferenceWorker, settings: Settings
) -> None:
    settings.DRAIN_S = 10
    turn = Conversation.start(world.owner, QUESTION, "c1")
    wait_for(lambda: num_told(turn, "text") > 3)
    worker.stop()
    assert wait_for_end(turn).attempt == 1


def test_a_stop_that_comes_while_the_reply_moves_is_kept(world: World, gpu: Worker) -> None:
    Conversation.start(world.owner, "Hello", "c1")
    (claimed,) = Generation.claim(gpu, 1)
    claimed.stop()
    cancelled = Finished("cancelled", Usage(9, 3))
    assert claimed.hand_over(Told("Some"), None, cancelled, is_lost=False) == "stopped"


def test_operators_see_and_drain_workers(
    world: World, worker: InferenceWorker, capsys: pytest.CaptureFixture[str]
) -> None:
    turn = Conversation.start(world.owner, "[[tokens=500;rate=100]] Hello", "c1")
    wait_for(lambda: Worker.objects.filter(id=worker.row.id, tokens_per_s__gt=5).exists())
    Worker.objects.create(name="gone", beat_at=timezone.now() - timedelta(minutes=5))
    call_command("workers")
    head, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head == ["NAME", "STATE", "MODEL", "DEVICE", "RUNNING", "TOKENS/S", "LAST", "BEAT"]
    assert [row[:2] for row in rows] == [["gone", "lost"], ["test", "ready"]]
    assert rows[1][2:5] == ["scripted", "cpu", "1/1000"]
    assert int(rows[1][5]) > 5
    with pytest.raises(CommandError, match="No worker named gone lives"):
        call_command("workers", "drain", "gone")

    client = Client()
    client.force_login(world.admin)
    shown = client.get("/admin/workers/").content.decode()
    assert "scripted" in shown
    assert "1 of 1000" in shown
    drain = f"/admin/workers/{worker.row.id}/drain/"
    assert shown.count(f'action="{drain}"') == 1
    assert client.post(drain)["Location"] == "/admin/workers/"
    wait_for(lambda: worker._is_draining)
    shown = client.get("/admin/workers/").content.decode()
    assert "draining" in shown
    assert client.post(f"{drain}end/").status_code == 302
    wait_for(lambda: not worker._is_draining)
    turn.generation.stop()


def test_nobody_else_drains_a_worker(world: World, gpu: Worker) -> None:
    for person in (None, world.owner):
        client = Client()
        if person:
            client.force_login(person)
        assert client.get("/admin/workers/").status_code == 302
        for address in (f"/admin/workers/{gpu.id}/drain/", f"/admin/workers/{gpu.id}/drain/end/"):
            assert client.post(address).status_code == 302
    assert not Worker.objects.get().is_draining


def test_a_drained_worker_is_none_that_people_wait_for(world: World, gpu: Worker) -> None:
    assert stages.stage_of("queued").stage == "waiting"
    gpu.drain()
    stages._waiting.cache_clear()
    assert stages.stage_of("queued").stage == "no_worker"


@pytest.mark.model
def test_a_greedy_reply_of_the_default_model_is_the_same_text_after_a_takeover(
    world: World, default_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inference.engine import LocalEngine

    monkeypatch.setattr(worker_module, "LOOK_AGAIN_S", 0.05)
    engine = LocalEngine.open(default_model_dir)
    monkeypatch.setattr(worker_module, "open_engine", lambda *_: engine)
    shut_down = engine.shutdown
    monkeypatch.setattr(engine, "shutdown", lambda: None)  # loading it twice would take too long

    def asked(client_id: str) -> Turn:
        turn = Conversation.start(world.owner, "Write a Python function that reverses a list.", client_id)
        Generation.objects.filter(id=turn.generation.id).update(sampling={"temperature": 0, "max_tokens": 30})
        return turn

    try:
        with working("first") as first:
            whole = asked("whole")
            wait_for_end(whole, timeout_s=60)
            turn = asked("cut")
            wait_for(lambda: num_told(turn, "text") > 3, timeout_s=60)
            go_still(first)
            rescue_orphans()
            shown = Message.objects.get(id=turn.reply.id).text
            for reply in list(first._replies.values()):
                reply.cancel()
            with working("second"):
                made = wait_for_end(turn, timeout_s=60)
    finally:
        shut_down()
    assert 0 < len(shown) < len(turn.reply.text)
    assert (turn.reply.text, made.num_lost, made.completion_tokens) == (whole.reply.text, 1, 30)
