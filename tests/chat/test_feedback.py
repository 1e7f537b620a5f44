"""People say what they think of a reply, change their mind, and give reasons if they want to."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from chat.models import Conversation, Feedback, Generation, Message, Turn
from tests.conftest import World

HTMX = {"HX-Request": "true"}


@pytest.fixture
def turn(world: World) -> Turn:
    turn = Conversation.start(world.owner, "My secret question", "first")
    Message.objects.filter(id=turn.reply.id).update(text="A secret answer", html="<p>A secret answer</p>")
    Generation.objects.update(status="completed", model="Qwen/Qwen9")
    return turn


@pytest.fixture
def client(world: World) -> Client:
    client = Client()
    client.force_login(world.owner)
    return client


def address(name: str, turn: Turn) -> str:
    return reverse(name, args=[turn.message.conversation_id, turn.reply.id])


def pressed(html: str) -> list[str]:
    """Which of the two thumbs are shown as pressed."""
    votes = html.partition("<vote-buttons")[2].partition("</vote-buttons>")[0]
    states = [part.split('"')[0] for part in votes.split('aria-pressed="')[1:]]
    return [thumb for thumb, state in zip(("up", "down"), states[-2:], strict=True) if state == "true"]


def test_M5_a_vote_holds_until_it_is_changed_or_taken_back(turn: Turn, client: Client) -> None:
    for value, shown in (("up", ["up"]), ("down", ["down"]), ("down", []), ("up", ["up"])):
        answer = client.post(address("feedback_update", turn), {"value": value}, headers=HTMX).content.decode()
        assert pressed(answer) == shown
        assert ("data-why" in answer) == (shown == ["down"])
    page = client.get(reverse("conversation_detail", args=[turn.message.conversation_id])).content.decode()
    assert pressed(page) == ["up"]


def test_M5_reasons_are_optional_and_kept(turn: Turn, client: Client) -> None:
    reasons = address("reasons_update", turn)
    assert client.get(reasons).status_code == 404
    assert client.post(address("feedback_update", turn), {"value": "down"})["Location"] == reasons
    assert "What was not good?" in client.get(reasons).content.decode()
    assert client.post(reasons, {}, headers=HTMX).status_code == 204
    assert Feedback.objects.get().reasons == []

    said = {"reasons": ["wrong", "style"], "comment": "Too <b>terse</b>\x00"[:-1]}
    assert client.post(reasons, said).status_code == 302
    feedback = Feedback.objects.get()
    assert (feedback.reasons, feedback.comment) == (["wrong", "style"], "Too <b>terse</b>")
    again = client.get(reasons, headers=HTMX).content.decode()
    assert again.count(" checked") == 2
    assert "Too &lt;b&gt;terse" in again
    for nonsense in ({"reasons": ["ugly"]}, {"comment": "x" * 1001}, {"comment": "\x00"}):
        assert client.post(reasons, nonsense, headers=HTMX).status_code == 422
    assert Feedback.objects.get().comment == "Too <b>terse</b>"


def test_what_is_no_vote_is_refused(turn: Turn, client: Client) -> None:
    for value in ("", "sideways", "\x00"):
        assert client.post(address("feedback_update", turn), {"value": value}).status_code == 400
    question = reverse("feedback_update", args=[turn.message.conversation_id, turn.message.id])
    assert client.post(question, {"value": "up"}).status_code == 404
    assert not Feedback.objects.exists()


def test_I7_administrators_see_votes_and_reasons_but_no_word_of_the_chat(world: World, turn: Turn) -> None:
    Feedback.vote(turn.reply, "down")
    feedback = Feedback.objects.get()
    feedback.explain(["wrong"], "It is 4.")
    admin = Client()
    admin.force_login(world.admin)
    pages = [admin.get("/admin/chat/feedback/"), admin.get(f"/admin/chat/feedback/{feedback.id}/change/")]
    for page in pages:
        html = page.content.decode()
        assert page.status_code == 200
        assert "It is 4." in html
        assert "Qwen/Qwen9" in html
        assert "secret" not in html
        assert str(turn.message.conversation_id) not in html
    assert admin.get("/admin/chat/feedback/add/").status_code == 403
    assert admin.post(f"/admin/chat/feedback/{feedback.id}/delete/", {"post": "yes"}).status_code == 403
    for person in (world.owner, world.team_mate, world.outsider):
        other = Client()
        other.force_login(person)
        assert other.get("/admin/chat/feedback/").status_code == 302
