"""The inference worker against a Postgres and a Valkey that come and go."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import InternalError, OperationalError
from django.utils import timezone

from chat import reply as reply_module
from chat import reply_stream, valkey
from chat.models import Conversation, Generation, Turn, UsageRecord, User, Worker
from chat.sweeper import rescue_orphans
from chat.worker import InferenceWorker
from qwenweb.up.postgres import Postgres
from qwenweb.up.valkey import Valkey
from tests.conftest import World, wait_for


def ask(user: User, text: str, client_id: str = "c1") -> Turn:
    return Conversation.start(user, text, client_id)


def is_over(turn: Turn) -> bool:
    turn.generation.refresh_from_db()
    return turn.generation.is_over


def test_a_reply_says_how_it_was_made(world: World, worker: InferenceWorker) -> None:
    turn = ask(world.owner, "[[tokens=7;rate=200;prefill_ms=20;reasoning=3]] Hello")
    wait_for(lambda: is_over(turn))

    made = turn.generation
    assert (made.status, made.finish_reason, made.model, made.revision) == ("completed", "stop", "scripted", "1")
    assert made.worker_id == worker.row.id
    assert made.seed is not None
    penalties = {"repetition_penalty", "presence_penalty", "frequency_penalty"}
    assert set(made.sampling) == {"temperature", "top_p", "top_k", "min_p", "max_tokens", "stop", *penalties}
    assert (made.reasoning_tokens, made.completion_tokens) == (3, 10)
    assert made.prompt_tokens > 0
    assert made.ttft_ms
    assert made.ttft_ms >= 20
    assert made.reasoning_ms > 0
    turn.reply.refresh_from_db()
    assert turn.reply.reasoning
    assert turn.reply.text
    assert UsageRecord.objects.get().completion_tokens == 10


def test_the_model_is_asked_with_the_whole_branch(world: World, worker: InferenceWorker) -> None:
    first = ask(world.owner, "[[say]]The capital is Paris.")
    wait_for(lambda: is_over(first))
    second = Conversation.objects.get().ask("[[tokens=3]] And of Spain?", "c2")
    wait_for(lambda: is_over(second))

    assert second.generation.prompt_tokens > first.generation.prompt_tokens
    assert [message.role for message in Conversation.objects.get().branch()] == ["user", "assistant"] * 2


def test_I12_a_reply_survives_a_valkey_killed_in_its_middle(
    world: World, worker: InferenceWorker, valkey_server: Valkey
) -> None:
    turn = ask(world.owner, "[[tokens=60;rate=60]] Hello")
    wait_for(lambda: valkey.client().exists(f"reply:{turn.generation.id}"))
    valkey_server.kill()
    valkey_server.start()
    wait_for(lambda: is_over(turn))

    assert turn.generation.status == "completed"
    assert turn.generation.completion_tokens == 60


def test_a_question_asked_while_valkey_is_away_is_answered(
    world: World, worker: InferenceWorker, valkey_server: Valkey
) -> None:
    valkey_server.kill()
    try:
        turn = ask(world.owner, "[[tokens=5;rate=200]] Hello")
        wait_for(lambda: is_over(turn))
    finally:
        valkey_server.start()
    assert turn.generation.status == "completed"


def test_I1_I5_a_reply_survives_a_postgres_killed_in_its_middle(
    world: World, worker: InferenceWorker, postgres: Postgres
) -> None:
    turn = ask(world.owner, "[[tokens=40;rate=40]] Hello")
    wait_for(lambda: Generation.objects.filter(status="running").exists())
    postgres.kill()
    postgres.start()
    from django.db import connection

    connection.close()
    wait_for(lambda: is_over(turn), timeout_s=20)

    assert turn.generation.status == "completed"
    assert turn.generation.completion_tokens == 40


def test_I3_a_reply_whose_question_could_not_be_read_at_once_is_taken_up_again(
    world: World, worker: InferenceWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, failures = reply_module._prompt, iter([OperationalError("gone"), OperationalError("still gone")])

    def read_later(generation: Generation) -> object:
        if error := next(failures, None):
            raise error
        return read(generation)

    monkeypatch.setattr(reply_module, "_prompt", read_later)
    turns = [ask(world.owner, "[[tokens=5]] One", "c1"), ask(world.team_mate, "[[tokens=5]] Two", "c2")]
    wait_for(lambda: all(is_over(turn) for turn in turns), timeout_s=15)
    assert {turn.generation.status for turn in turns} == {"completed"}
    assert {turn.generation.attempt for turn in turns} == {1}


def test_a_worker_that_stops_lets_go_of_its_replies_with_their_text(world: World, worker: InferenceWorker) -> None:
    turn = ask(world.owner, "[[tokens=500;rate=50]] Hello")
    wait_for(lambda: len(reply_stream.entries(valkey.client(), turn.generation.id)) > 5)
    worker.stop()

    turn.generation.refresh_from_db()
    assert (turn.generation.status, turn.generation.num_lost) == ("queued", 0)
    turn.reply.refresh_from_db()
    assert turn.reply.text
    assert Worker.objects.get(id=worker.row.id).state == Worker.State.STOPPED


def test_I3_a_hanging_engine_counts_as_dead(world: World, worker: InferenceWorker) -> None:
    turn = ask(world.owner, "[[tokens=50;rate=50;fail_at=10;mode=hang;stall_s=0.5]] Hello")
    wait_for(lambda: not Worker.live().exists(), timeout_s=15)
    # Whoever comes first, the sweeper or the worker that gives up.
    wait_for(lambda: rescue_orphans() or is_queued(turn))

    assert is_queued(turn)
    assert turn.generation.num_lost == 1
    turn.reply.refresh_from_db()
    assert turn.reply.text


def is_queued(turn: Turn) -> bool:
    turn.generation.refresh_from_db()
    return turn.generation.status == Generation.Status.QUEUED


def test_a_worker_whose_engine_hangs_says_so_hands_its_replies_over_and_leaves(
    world: World, worker: InferenceWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = threading.Event()
    monkeypatch.setattr(worker, "_leave", left.set)
    turns = [ask(world.owner, "[[tokens=5000;rate=50]] Hello", "c1")]
    wait_for(lambda: reply_stream.entries(valkey.client(), turns[0].generation.id))
    turns.append(ask(world.team_mate, "[[tokens=50;rate=50;fail_at=10;mode=hang]] Hello", "c2"))
    assert left.wait(20)

    gone = Worker.objects.get(id=worker.row.id)
    assert (gone.state, gone.notice) == (Worker.State.FAILED, "The model stopped working and is being started again.")
    assert not Worker.live().exists()
    for turn in turns:
        assert is_queued(turn)
        assert turn.generation.num_lost == 1
        turn.reply.refresh_from_db()
        assert turn.reply.text


def test_a_worker_whose_engine_broke_hands_its_replies_over_and_leaves(
    world: World, worker: InferenceWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = threading.Event()
    monkeypatch.setattr(worker, "_leave", left.set)
    turn = ask(world.owner, "[[tokens=5000;rate=50]] Hello")
    wait_for(lambda: reply_stream.entries(valkey.client(), turn.generation.id))
    monkeypatch.setattr(worker.engine, "work", lambda: 1 / 0)
    assert left.wait(20)

    assert is_queued(turn)
    assert turn.generation.num_lost == 1
    assert Worker.objects.get(id=worker.row.id).state == Worker.State.FAILED


def failing_once(worker: InferenceWorker, monkeypatch: pytest.MonkeyPatch, error: Exception) -> threading.Event:
    """The worker's next beat fails; what is set when another one has come through after it."""
    beat, errors, came_through = worker.row.beat, iter([error]), threading.Event()

    def fail_once(*args: Any, **kwargs: Any) -> Any:
        if waiting := next(errors, None):
            raise waiting
        came_through.set()
        return beat(*args, **kwargs)

    monkeypatch.setattr(worker.row, "beat", fail_once)
    return came_through


def test_a_worker_beats_on_when_postgres_fell_down_over_its_question(
    worker: InferenceWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    came_through = failing_once(worker, monkeypatch, InternalError("could not write to log file: No space left"))
    assert came_through.wait(10)


def test_a_worker_that_lost_one_of_its_loops_leaves(worker: InferenceWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    left = threading.Event()
    monkeypatch.setattr(worker, "_leave", left.set)
    came_through = failing_once(worker, monkeypatch, ZeroDivisionError())
    assert left.wait(10)
    assert not came_through.is_set()


def test_a_new_process_of_a_name_ends_the_lease_of_the_old_one(world: World) -> None:
    old = Worker.objects.create(name="gpu0", state=Worker.State.READY)
    ask(world.owner, "Hello")
    Generation.claim(old, 1)
    new = Worker.objects.create(name="gpu0", state=Worker.State.READY)
    new.replace_predecessors()

    assert list(Worker.live()) == [new]
    assert rescue_orphans() == 1


def test_a_young_postgres_interrupts_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Worker.objects.create(name="gpu0", beat_at=timezone.now() - timedelta(hours=1))
    ask(world.owner, "Hello")
    Generation.claim(gpu, 1)
    monkeypatch.setattr(Worker, "lease", lambda: timedelta(days=1))

    assert rescue_orphans() == 0


def test_a_stop_that_nobody_heard_is_noticed(world: World, worker: InferenceWorker) -> None:
    turn = ask(world.owner, "[[tokens=500;rate=50]] Hello")
    wait_for(lambda: valkey.client().exists(f"reply:{turn.generation.id}"))
    Generation.objects.update(stop_requested_at=timezone.now())
    wait_for(lambda: is_over(turn))

    assert turn.generation.status == "stopped"


def test_a_reply_of_a_deleted_chat_frees_its_place(world: World, worker: InferenceWorker) -> None:
    turn = ask(world.owner, "[[tokens=500;rate=50]] Hello")
    wait_for(lambda: valkey.client().exists(f"reply:{turn.generation.id}"))
    Conversation.objects.get().remove()
    wait_for(lambda: not worker._replies)

    assert not Generation.objects.exists()
