"""Who is served next, and that nobody is served twice."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import connections
from django.db.models.functions import Now

from chat.models import Conversation, Generation, Message, UsageRecord, User, Worker, queue
from chat.reply_stream import Told
from chat.worker import InferenceWorker
from inference.contract import Finished, Started, Timings, Usage
from tests.conftest import World, wait_for

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FINISHED = Finished("stop", Usage(12, 3, 0, 4), Timings(1, 2, 3, 0.5))


@pytest.fixture
def gpu(transactional_db: None) -> Worker:
    return Worker.objects.create(name="gpu0", state=Worker.State.READY)


def ask(user: User, num: int) -> list[Generation]:
    return [Conversation.start(user, f"Question {i}", f"{user.name}-{i}").generation for i in range(num)]


def test_the_longest_wait_goes_first(world: World, gpu: Worker) -> None:
    first, second = ask(world.owner, 2)
    claimed = Generation.claim(gpu, 1)

    assert claimed == [first]
    assert (claimed[0].status, claimed[0].attempt, claimed[0].worker) == ("running", 1, gpu)
    assert Generation.claim(gpu, 5) == [second]
    assert Generation.claim(gpu, 5) == []


def test_a_worker_finds_what_was_claimed_for_it_although_the_answer_got_lost(world: World, gpu: Worker) -> None:
    lost, known, _ = ask(world.owner, 3)
    Generation.claim(gpu, 2)
    other = Worker.objects.create(name="gpu1", state=Worker.State.READY)
    Generation.claim(other, 1)

    assert Generation.held(gpu, [known.id]) == [lost]
    assert Generation.held(gpu, [lost.id, known.id]) == []


def test_one_busy_person_does_not_go_before_the_others(world: World, gpu: Worker) -> None:
    busy = ask(world.owner, 5)
    other = ask(world.team_mate, 1)

    assert set(Generation.claim(gpu, 2)) == {busy[0], other[0]}


def test_who_has_replies_running_waits_for_who_has_none(world: World, gpu: Worker) -> None:
    busy = ask(world.owner, 4)
    Generation.claim(gpu, 2)
    late = ask(world.outsider, 1)

    assert Generation.claim(gpu, 1) == late
    assert set(Generation.claim(gpu, 5)) == set(busy[2:])


def test_interactive_replies_go_before_background_work(world: World, gpu: Worker) -> None:
    background, interactive = ask(world.owner, 2)
    Generation.objects.filter(id=background.id).update(priority=Generation.Priority.BACKGROUND)

    assert Generation.claim(gpu, 1) == [interactive]


@pytest.fixture
def followed_up(world: World, gpu: Worker) -> Generation:
    """A question to a conversation whose last reply `gpu` made; `gpu` has a free slot."""
    Worker.objects.filter(id=gpu.id).update(num_slots=1)
    (first,) = ask(world.owner, 1)
    (claimed,) = Generation.claim(gpu, 1)
    claimed.finish(Told("Hi", ""), Started(12, 4, 2, seed=7), FINISHED)
    return Conversation.objects.get(id=first.message.conversation_id).ask("And?", "next").generation


def left_by(other: Worker) -> tuple[list[Generation], list[UUID]]:
    """What another worker claims, and to whom it leaves something."""
    left: list[UUID] = []
    return Generation.claim(other, 5, left.extend), left


def test_what_follows_up_is_left_to_the_worker_that_has_the_conversation_in_memory(
    world: World, gpu: Worker, followed_up: Generation
) -> None:
    other = Worker.objects.create(name="gpu1", state=Worker.State.READY, num_slots=9)
    (new,) = ask(world.team_mate, 1)
    assert left_by(other) == ([new], [gpu.id])
    assert left_by(gpu) == ([followed_up], [])


@pytest.mark.parametrize(
    "holder", [{"num_slots": 0}, {"is_draining": True}, {"state": "failed"}, {"beat_at": LONG_AGO}], ids=str
)
def test_nobody_waits_for_a_worker_that_cannot_take_it_now(
    gpu: Worker, followed_up: Generation, holder: dict[str, object]
) -> None:
    Worker.objects.filter(id=gpu.id).update(**holder)
    other = Worker.objects.create(name="gpu1", state=Worker.State.READY, num_slots=9)
    assert left_by(other) == ([followed_up], [])


def test_what_a_worker_did_not_take_soon_is_anybodys(gpu: Worker, followed_up: Generation) -> None:
    other = Worker.objects.create(name="gpu1", state=Worker.State.READY, num_slots=9)
    Generation.objects.filter(id=followed_up.id).update(queued_at=Now() - timedelta(seconds=queue.KEPT_S))
    assert left_by(other) == ([followed_up], [])


def test_what_another_model_is_asked_for_is_passed_on_to_who_has_it(world: World, gpu: Worker) -> None:
    (asked,) = ask(world.owner, 1)
    Generation.objects.filter(id=asked.id).update(asked_model="poet")
    poet = Worker.objects.create(name="gpu1", state=Worker.State.READY, num_slots=1, model="big", adapters=["poet"])
    assert left_by(gpu) == ([], [poet.id])
    Worker.objects.filter(id=poet.id).update(num_slots=0)
    assert left_by(gpu) == ([], [])
    assert left_by(poet) == ([asked], [])


def test_the_worker_to_which_something_was_left_is_woken(
    world: World, worker: InferenceWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ask(world.owner, 1)[0]
    wait_for(lambda: Generation.objects.filter(id=first.id, status="completed").exists())
    monkeypatch.setattr("chat.worker.LOOK_AGAIN_S", 60)
    time.sleep(0.1)  # it may still be in its last short wait
    other = Worker.objects.create(name="gpu1", state=Worker.State.READY, num_slots=9)
    followed_up = Conversation.objects.get(id=first.message.conversation_id).ask("And?", "next").generation
    assert Generation.claim(other, 5) == []
    wait_for(lambda: Generation.objects.filter(id=followed_up.id, status="completed", worker=worker.row).exists())


def test_parallel_claims_never_share_a_reply(world: World, gpu: Worker) -> None:
    for person in (world.owner, world.team_mate, world.outsider, world.admin):
        ask(person, 5)

    def claim(_: int) -> list[str]:
        try:
            return [str(generation.id) for generation in Generation.claim(gpu, 3)]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        claimed = [id_ for ids in threads.map(claim, range(16)) for id_ in ids]
    assert len(claimed) == len(set(claimed)) == 20


def test_an_end_is_stored_with_text_tokens_and_one_line_in_the_ledger(world: World, gpu: Worker) -> None:
    ask(world.owner, 1)
    (generation,) = Generation.claim(gpu, 1)
    status = generation.finish(
        Told("**Hi** there", "Hm"), Started(12, 4, 2, seed=7), FINISHED, model="tiny", ttft_ms=5.0
    )

    generation = Generation.objects.select_related("message").get()
    assert status == generation.status == "completed"
    assert generation.message.text == "**Hi** there"
    assert "<strong>Hi</strong>" in generation.message.html
    assert (generation.seed, generation.num_dropped_messages, generation.completion_tokens) == (7, 2, 3)
    usage = UsageRecord.objects.get()
    assert (usage.user, usage.completion_tokens, usage.cached_tokens, usage.device_s) == (world.owner, 3, 4, 0.5)
    assert usage.model == "tiny"


def test_I4_a_stale_attempt_changes_nothing(world: World, gpu: Worker) -> None:
    ask(world.owner, 1)
    (zombie,) = Generation.claim(gpu, 1)
    Generation.objects.update(attempt=2)

    assert zombie.finish(Told("late"), None, FINISHED) is None
    assert Message.objects.get(role="assistant").text == ""
    assert not UsageRecord.objects.exists()


def test_I11_an_end_is_counted_once_and_outlives_chat_and_user(world: World, gpu: Worker) -> None:
    ask(world.owner, 1)
    (generation,) = Generation.claim(gpu, 1)
    assert generation.finish(Told("Hi"), None, FINISHED) == "completed"
    assert generation.finish(Told("Hi"), None, FINISHED) is None

    Conversation.objects.get().remove()
    owner_id = world.owner.id
    world.owner.delete()
    usage = UsageRecord.objects.get()
    assert (usage.user, usage.user_pseudonym) == (None, owner_id)


def test_a_queued_reply_is_stopped_at_once(world: World, gpu: Worker) -> None:
    (generation,) = ask(world.owner, 1)
    generation.stop()

    assert Generation.claim(gpu, 1) == []
    generation.refresh_from_db()
    assert generation.status == "stopped"
    generation.stop()
    generation.refresh_from_db()
    assert (generation.status, generation.stop_requested_at) == ("stopped", None)
