"""What is asked of the model travels with the message; a named model answers, and no other."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

from django.test import Client
from django.urls import reverse

from chat import stages
from chat.models import Conversation, Generation, Message, User, Worker
from chat.worker import InferenceWorker
from tests.chat.people import live_worker
from tests.conftest import World, wait_for


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def send(client: Client, text: str, path: str = "/c/", **fields: Any) -> Any:
    return client.post(path, {"client_id": str(uuid4()), "text": text, **fields}, headers={"HX-Request": "true"})


def ended(user: User) -> Generation:
    def over() -> Generation | None:
        newest = Generation.objects.filter(requested_by=user).select_related("message").latest("id")
        return newest if newest.is_over else None

    found: Generation = wait_for(over)
    return found


def test_thinking_and_its_budget_are_asked_for_with_the_message(world: World, worker: InferenceWorker) -> None:
    client = client_of(world.owner)
    send(client, "[[tokens=3;reasoning=9]] Hello", thinking="off")
    assert ended(world.owner).reasoning_tokens == 0

    path = f"/c/{Conversation.objects.get().id}/messages/"
    assert send(client, "[[tokens=3;reasoning=9]] Hello", path, thinking="on", thinking_budget="4").status_code == 200
    thought = ended(world.owner)
    assert (thought.reasoning_tokens, thought.completion_tokens) == (4, 7)
    assert (thought.enable_thinking, thought.thinking_budget) == (True, 4)

    assert send(client, "Hello", path, thinking="perhaps").status_code == 400
    assert send(client, "Hello", path, thinking_budget="-1").status_code == 400


def test_a_system_prompt_is_part_of_what_the_model_reads(world: World, worker: InferenceWorker) -> None:
    Conversation.start(world.owner, "[[tokens=1]] Hello", "plain")
    plain = ended(world.owner).prompt_tokens
    Conversation.start(world.owner, "[[tokens=1]] Hello", "told", system_prompt="Answer in one word.")
    assert ended(world.owner).prompt_tokens > plain


def test_a_generation_that_names_a_model_is_claimed_only_by_a_worker_that_serves_it(world: World) -> None:
    small, large = live_worker("a", model="small", adapters=["poet"]), live_worker("b", model="large")
    for number, asked in enumerate(["large", "poet", "small", ""]):
        Conversation.start(world.owner, "Hello", f"c{number}", asked_model=asked)

    assert {each.asked_model for each in Generation.claim(large, 1)} == {"large"}
    assert {each.asked_model for each in Generation.claim(small, 2)} == {"poet", "small"}
    assert [each.asked_model for each in Generation.claim(large, 9)] == [""]


def test_a_model_that_nobody_serves_is_refused_and_the_text_given_back(world: World) -> None:
    live_worker("a", model="small")
    client = client_of(world.owner)
    answer = send(client, "Keep me", model="huge")
    assert answer.status_code == 422
    assert "There is no model “huge” here" in answer.content.decode()
    assert not Generation.objects.exists()
    assert "Keep me" in client.post("/c/", {"client_id": "c1", "text": "Keep me", "model": "huge"}).content.decode()


def test_regenerate_takes_another_model(world: World) -> None:
    live_worker("a", model="small", adapters=["poet"])
    turn = Conversation.start(world.owner, "Hello", "c1")
    Generation.objects.update(status="completed")
    path = reverse("reply_create", args=[turn.message.conversation_id, turn.message.id])

    for stranger in (world.team_mate, world.outsider, world.admin):
        assert client_of(stranger).post(path, {"client_id": "again", "model": "poet"}).status_code == 404
    client_of(world.owner).post(path, {"client_id": "again", "model": "poet"})
    assert list(Generation.objects.order_by("id").values_list("asked_model", flat=True)) == ["", "poet"]


def test_M4_a_reply_offers_the_models_online_other_than_its_own(world: World) -> None:
    live_worker("a", model="small", adapters=["poet"])
    gone = live_worker("b", model="large")
    Worker.objects.filter(id=gone.id).update(state=Worker.State.STOPPED)
    turn = Conversation.start(world.owner, "Hello", "c1")
    Generation.objects.update(status="completed", model="poet")
    client = client_of(world.owner)

    def offered() -> list[str]:
        page = client.get(f"/c/{turn.message.conversation_id}").content.decode()
        return re.findall(r'name="model"\s+value="([^"]*)">With', page)

    assert offered() == ["small"]
    Worker.objects.update(state=Worker.State.STOPPED)
    assert offered() == []


def test_answer_now_ends_the_thinking_and_only_its_owner_may_ask_for_it(world: World, worker: InferenceWorker) -> None:
    turn = Conversation.start(world.owner, "[[tokens=4;reasoning=5000;rate=50]] Hello", "c1")
    wait_for(lambda: Generation.objects.filter(status="running").exists())
    path = reverse("answer_create", args=[turn.generation.id])

    for stranger in (world.team_mate, world.outsider, world.admin):
        assert client_of(stranger).post(path).status_code == 404
    assert client_of(world.owner).post(path, headers={"HX-Request": "true"}).status_code == 204
    answered = ended(world.owner)
    assert answered.status == "completed"
    assert answered.reasoning_tokens < 5000
    assert answered.completion_tokens == answered.reasoning_tokens + 4
    assert answered.message.text
    assert client_of(world.owner).post(path).status_code == 302  # one that is over stays as it is


def test_answer_now_asked_for_while_the_reply_waits_holds(world: World, worker: InferenceWorker) -> None:
    turn = Conversation.start(world.owner, "Hello", "c0", asked_model="scripted")
    ended(world.owner)
    Message.objects.filter(id=turn.message.id).update(text="[[tokens=4;reasoning=5000;rate=50]] Hello")
    Generation.objects.update(status="queued", answer_requested_at="2026-01-01T00:00Z", ended_at=None)
    Message.objects.filter(id=turn.reply.id).update(text="")
    assert ended(world.owner).reasoning_tokens < 5000


def test_the_page_shows_what_each_model_can_do_and_the_last_choice(world: World) -> None:
    live_worker("a", model="small", adapters=["poet"], context_length=4096, tokens_per_s=41.4)
    gone = live_worker("b", model="large", has_thinking=True, context_length=32768)
    Worker.objects.filter(id=gone.id).update(state=Worker.State.STOPPED)
    turn = Conversation.start(world.owner, "Hello", "c1", asked_model="poet", enable_thinking=False)
    client = client_of(world.owner)

    for path in ("/", f"/c/{turn.message.conversation_id}"):
        page = " ".join(client.get(path).content.decode().split())
        assert "41 tokens/s now" in page
        assert "adapter of small" in page
        assert "large · offline" in page
        assert "thinks" in page
        assert '<option value="poet" selected' in page
        assert 'aria-pressed="false">Thinking' in page
    assert '<option value="poet" selected' not in client_of(world.team_mate).get("/").content.decode()


def test_E2_without_a_worker_administrators_are_told_where_to_look(world: World) -> None:
    people = ((world.owner, False), (world.team_mate, False), (world.outsider, False), (world.admin, True))
    for person, is_told in people:
        client = client_of(person)
        page = client.get("/?text=My+draft").content.decode()
        for shown in (page, client.get("/model/").content.decode()):
            assert "No model is running right now" in shown
            assert ("log of the worker" in shown) is is_told
            assert ('href="/admin/workers/"' in shown) is is_told
        assert "My draft</textarea>" in page
    assert client_of(world.admin).get("/admin/workers/").status_code == 200

    Worker.objects.create(name="gpu0")
    stages._waiting.cache_clear()
    loading = client_of(world.admin).get("/").content.decode()
    assert "The model is loading" in loading
    assert "log of the worker" not in loading, "there is nothing to look into"

    assert send(client_of(world.owner), "Keep me").status_code == 200  # it waits, and is answered later
    assert Generation.objects.get().status == "queued"
