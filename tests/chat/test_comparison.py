"""One message, two replies by two models, side by side until one is preferred or the conversation goes on."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from chat.models import Conversation, Feedback, Generation, Message, Quota, User, Worker
from chat.worker import InferenceWorker
from tests.chat.people import live_worker, signed_in
from tests.conftest import World, wait_for

HTMX = {"HX-Request": "true"}


@pytest.fixture
def client(world: World) -> Client:
    live_worker("a", model="small", adapters=["poet"])
    return signed_in(world.owner)


def compare(client: Client, path: str = "/c/", **fields: str) -> Any:
    chosen = {"client_id": str(uuid4()), "text": "Which is better?", "compare": "poet"}
    return client.post(path, chosen | fields, headers=HTMX)


def replies() -> list[Message]:
    return list(Message.objects.filter(role="assistant").select_related("generation").order_by("id"))


def finish() -> None:
    for reply in replies():
        made_by = reply.generation.asked_model
        Message.objects.filter(id=reply.id, text="").update(text=f"By {made_by}", html=f"<p>By {made_by}</p>")
    Generation.objects.exclude(status="completed").update(status="completed", attempt=1)


def prefer(client: Client, reply: Message) -> Any:
    address = reverse("preference_create", args=[reply.conversation_id, reply.id])
    return client.post(address, headers=HTMX)


def page(client: Client) -> str:
    return client.get(f"/c/{Conversation.objects.get().id}").content.decode()


def shown(html: str) -> list[str]:
    return re.findall(r'data-message-id="([^"]+)"\s+data-role="assistant"', html)


def test_both_models_answer_side_by_side_also_after_a_reload(client: Client) -> None:
    html = compare(client).content.decode()
    first, second = replies()
    assert [reply.generation.asked_model for reply in (first, second)] == ["small", "poet"]
    assert first.parent_id == second.parent_id
    assert Conversation.objects.get().active_leaf_id == first.id
    for view in (html, page(client)):
        assert shown(view) == [str(first.id), str(second.id)]
        assert view.count("<reply-stream") == 2
        assert view.count("Prefer this") == 2
        assert view.count("data-beside") == 1
    finish()
    assert "By poet" in page(client)

    names = re.findall(r'name="compare".*?</select>', page(client), re.DOTALL)[0]
    assert re.findall(r'value="([^"]*)"', names) == ["", "small", "poet"]


def test_a_repeat_makes_nothing_new_and_shows_both(client: Client) -> None:
    first = compare(client, client_id="once").content.decode()
    again = compare(client, client_id="once").content.decode()
    assert shown(first) == shown(again) == [str(reply.id) for reply in replies()]
    assert Message.objects.count() == 3


def test_preferring_one_is_kept_as_what_people_think_and_ends_the_comparison(world: World, client: Client) -> None:
    compare(client)
    finish()
    first, second = replies()
    html = prefer(client, second).content.decode()
    assert shown(html) == [str(second.id)]
    assert "Version 2 of 2" in html
    assert Conversation.objects.get().active_leaf_id == second.id
    vote = Feedback.objects.get()
    assert (vote.message_id, vote.value, vote.over_id) == (second.id, "up", first.id)
    assert shown(page(client)) == [str(second.id)]

    prefer(client, first)  # from a page that is out of date: it shows that one, and the preference stays
    assert shown(page(client)) == [str(first.id)]
    assert Feedback.objects.get() == vote

    Generation.objects.filter(id=first.generation.id).update(model="small")
    Generation.objects.filter(id=second.generation.id).update(model="poet")
    table = signed_in(world.admin).get("/admin/chat/feedback/").content.decode()
    assert re.search(r"poet</td>.*small</td>", table, re.DOTALL)
    assert "Which is better?" not in table

    client.post(reverse("feedback_update", args=[second.conversation_id, second.id]), {"value": "down"})
    assert Feedback.objects.get().over is None


def test_when_the_conversation_goes_on_the_first_is_on_the_branch(client: Client) -> None:
    compare(client)
    finish()
    first, second = replies()
    conversation = Conversation.objects.get()
    client.post(f"/c/{conversation.id}/messages/", {"client_id": "on", "text": "Go on", "parent": str(first.id)})
    html = page(client)
    assert str(second.id) not in shown(html)
    assert "Version 1 of 2" in html
    assert "Prefer this" not in html
    client.post(reverse("branch_update", args=[conversation.id, second.id]))
    assert shown(page(client)) == [str(second.id)]


def test_one_that_is_deleted_leaves_the_other_alone(client: Client) -> None:
    compare(client)
    finish()
    first, second = replies()
    client.post(reverse("message_delete", args=[first.conversation_id, first.id]), headers=HTMX)
    assert shown(page(client)) == [str(second.id)]
    client.post(reverse("message_restore", args=[first.conversation_id, first.id]), headers=HTMX)
    assert shown(page(client)) == [str(first.id), str(second.id)]
    Conversation.objects.get().remove()
    assert not Message.objects.exists()


def test_either_of_the_two_can_be_continued(client: Client) -> None:
    compare(client)
    finish()
    Generation.objects.update(status="stopped")
    for reply in replies():
        answer = client.post(reverse("continuation_create", args=[reply.generation.id]), headers=HTMX)
        assert answer.status_code == 200
    assert set(Generation.objects.values_list("status", flat=True)) == {"queued"}


def test_what_cannot_be_compared_is_refused_and_the_text_given_back(client: Client) -> None:
    for fields in ({"model": "poet"}, {"compare": "huge"}, {"model": "huge"}):
        answer = compare(client, **fields)
        assert answer.status_code == 422, fields
        assert "model" in answer.content.decode()
    assert not Message.objects.exists()
    fields = {"client_id": "plain", "text": "Which is better?", "compare": "huge"}
    assert "Which is better?</textarea>" in client.post("/c/", fields).content.decode()

    Worker.objects.update(adapters=[])
    assert 'name="compare"' not in client.get("/").content.decode()


def test_a_quota_and_the_queue_have_room_for_both_or_for_none(world: World, client: Client, settings: Any) -> None:
    Quota.objects.create(measure="replies", most=3)
    assert compare(client).status_code == 200
    refused = compare(client)
    assert refused.status_code == 422
    assert "quota" in refused.content.decode()
    assert Message.objects.count() == 3
    assert all(Generation.objects.values_list("reserved_tokens", flat=True))
    Quota.objects.all().delete()

    settings.USER_QUEUED = 3
    assert "waiting for an answer" in compare(client).content.decode()
    assert Message.objects.count() == 3


def test_nobody_else_prefers_and_no_question_is_preferred(world: World, client: Client) -> None:
    compare(client)
    finish()
    _, second = replies()
    for stranger in (world.team_mate, world.outsider, world.admin):
        assert prefer(signed_in(stranger), second).status_code == 404
    assert prefer(Client(), second).status_code == 401
    assert second.parent
    assert prefer(client, second.parent).status_code == 404
    assert not Feedback.objects.exists()


def ended(user: User) -> list[Generation]:
    made = list(Generation.objects.filter(requested_by=user).select_related("message").order_by("message"))
    return made if all(generation.is_over for generation in made) else []


@pytest.fixture
def poetic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QWENWEB_SCRIPT", "tokens=4;adapters=poet")


def test_each_model_makes_its_own_reply_and_both_are_counted(
    world: World, poetic: None, worker: InferenceWorker
) -> None:
    compare(signed_in(world.owner))
    first, second = wait_for(lambda: ended(world.owner))
    assert (first.model, second.model) == ("scripted", "poet")
    assert first.message.text
    assert second.message.text
    assert first.message.text != second.message.text
    assert first.prompt_tokens == second.prompt_tokens > 0
