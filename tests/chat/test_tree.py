"""A conversation is a tree: versions of messages and replies stand beside each other, and nothing is overwritten."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from chat.models import Conversation, Generation, Message, Refused, Turn, User, Worker
from chat.reply import _prompt
from chat.tasks import sweep
from tests.conftest import World

HTMX = {"HX-Request": "true"}


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def turn(world: World) -> Turn:
    return finish(Conversation.start(world.owner, "What is a tree?", "first"))


@pytest.fixture
def client(world: World, turn: Turn) -> Client:
    return signed_in(world.owner)


def finish(turn: Turn, text: str = "Fine.", **fields: object) -> Turn:
    Message.objects.filter(id=turn.reply.id).update(text=text, html=f"<p>{text}</p>")
    Generation.objects.filter(id=turn.generation.id).update(**{"status": "completed", "attempt": 1, **fields})
    return turn


def the(turn: Turn) -> Conversation:
    return Conversation.objects.get(id=turn.message.conversation_id)


def ask(turn: Turn, text: str) -> Turn:
    return finish(the(turn).ask(text, uuid4().hex), f"Answer to {text}")


def address(name: str, message: Message) -> str:
    return reverse(name, args=[message.conversation_id, message.id])


def post(client: Client, name: str, message: Message, **fields: str) -> str:
    """What the page gets for it."""
    answer = client.post(address(name, message), {"client_id": uuid4().hex, **fields}, headers=HTMX)
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


def texts(turn: Turn) -> list[str]:
    return [message.text for message in the(turn).branch()]


def newest() -> Message:
    """The reply that was asked for last."""
    return Message.objects.filter(role="assistant").latest("id")


ACTIONS = (
    "version_create",
    "reply_create",
    "branch_update",
    "branch_create",
    "message_delete",
    "message_restore",
    "feedback_update",
    "reasons_update",
    "reply_details",
    "repetition_create",
)


def test_nobody_else_can_act_on_a_message_nor_its_owner_through_another_conversation(world: World, turn: Turn) -> None:
    before = list(Message.objects.order_by("id").values())
    fields = {"client_id": "foreign", "text": "mine now", "value": "up"}
    for user in (world.team_mate, world.outsider, world.admin):
        foreign = signed_in(user)
        for name in ACTIONS:
            place = address(name, turn.message if name in {"version_create", "reply_create"} else turn.reply)
            for answer in (foreign.post(place, fields), foreign.get(place)):
                assert answer.status_code in {404, 405}, (user.name, name)
                assert "tree" not in answer.content.decode()
    assert list(Message.objects.order_by("id").values()) == before
    for name in ACTIONS:
        method = "get" if name == "reply_details" else "post"
        assert getattr(Client(), method)(address(name, turn.reply), headers=HTMX).status_code == 401
    client = signed_in(world.owner)
    other = Conversation.start(world.owner, "Another", "second")
    for name in ACTIONS:
        wrong = reverse(name, args=[other.message.conversation_id, turn.reply.id])
        assert client.post(wrong, {"client_id": "x", "value": "up"}).status_code in {404, 405}, name


# Versions of a message


def test_M3_an_edited_message_stands_beside_the_old_one_and_is_answered(turn: Turn, client: Client) -> None:
    ask(turn, "And a leaf?")
    form = client.get(address("version_create", turn.message), headers=HTMX).content.decode()
    assert "What is a tree?</textarea>" in form

    html = post(client, "version_create", turn.message, text="What is a bush?")
    assert "What is a bush?" in html
    assert "<reply-stream" in html
    assert "Version 2 of 2" in html
    assert "And a leaf?" not in html
    assert texts(turn) == ["What is a bush?", ""]

    html = post(client, "branch_update", turn.message)
    assert "Version 1 of 2" in html
    assert texts(turn) == ["What is a tree?", "Fine.", "And a leaf?", "Answer to And a leaf?"]
    page = client.get(reverse("conversation_detail", args=[turn.message.conversation_id])).content.decode()
    assert "1/2" in page
    assert "And a leaf?" in page
    assert "bush" not in page


def test_M3_a_later_message_is_edited_below_what_it_answered(turn: Turn, client: Client) -> None:
    second = ask(turn, "And a leaf?")
    html = post(client, "version_create", second.message, text="And a root?")
    assert f'data-message-id="{turn.reply.id}"' in html
    assert "What is a tree?" not in html
    assert texts(turn) == ["What is a tree?", "Fine.", "And a root?", ""]


def test_M3_editing_works_without_script(turn: Turn, client: Client) -> None:
    edit = address("version_create", turn.message)
    page = client.get(edit).content.decode()
    assert "<html" in page
    assert f'action="{edit}"' in page
    blank = client.post(edit, {"client_id": "e", "text": " "})
    assert (blank.status_code, "Write something first." in blank.content.decode()) == (422, True)
    conversation = reverse("conversation_detail", args=[turn.message.conversation_id])
    assert client.post(edit, {"client_id": "e", "text": "What is a bush?"})["Location"] == conversation
    shown = client.get(conversation).content.decode()
    assert "What is a bush?" in shown
    assert f'action="{address("branch_update", turn.message)}"' in shown
    assert client.post(address("branch_update", turn.message))["Location"] == conversation
    assert "What is a tree?" in client.get(conversation).content.decode()


def test_I2_the_same_edit_twice_makes_one_version_and_nonsense_none(turn: Turn, client: Client) -> None:
    answers = {post(client, "version_create", turn.message, client_id="same", text="What is a bush?") for _ in range(2)}
    assert len(answers) == 1
    assert client.get(address("version_create", turn.reply)).status_code == 404
    for text, words in ((" ", "Write something first."), ("x" * 200_001, "200,001")):
        fields = {"client_id": "e", "text": text}
        answer = client.post(address("version_create", turn.message), fields, headers=HTMX)
        assert (answer.status_code, words in answer.content.decode()) == (422, True)
    assert client.post(address("version_create", turn.message), {"text": "no id"}).status_code == 400
    assert Message.objects.filter(parent=None).count() == 2


def test_siblings_are_counted_in_the_same_number_of_queries_however_large_the_tree(
    world: World, turn: Turn, client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    conversation = the(turn)
    with django_assert_num_queries(2):
        conversation.branch()
    for number in range(4):
        second = ask(turn, f"Question {number}")
        for _ in range(3):
            finish(the(turn).reply_again(second.message, uuid4().hex))
            finish(the(turn).edit(second.message, "Other words", uuid4().hex))
    conversation = the(turn)
    with django_assert_num_queries(2):
        numbers = [message.siblings.number for message in conversation.branch() if message.siblings]
    assert numbers == [1, 1, 4, 1, 4, 1, 4, 1, 4, 1]
    Worker.online(world.owner.id)  # known for some seconds
    with django_assert_num_queries(5):
        post(client, "branch_update", turn.reply)


# Replies


def test_M4_a_regenerated_reply_stands_beside_the_others_and_ends_the_branch(turn: Turn, client: Client) -> None:
    ask(turn, "And a leaf?")
    html = post(client, "reply_create", turn.message, instead_of=str(turn.reply.id))
    assert "<reply-stream" in html
    assert "Version 2 of 2" in html
    assert texts(turn) == ["What is a tree?", ""]
    assert (
        "still being written"
        in client.post(address("reply_create", turn.message), {"client_id": "third"}, headers=HTMX).content.decode()
    )
    html = post(client, "branch_update", turn.reply)
    assert "Answer to And a leaf?" in html


def test_M4_thinking_is_changed_or_kept_as_it_was(turn: Turn, client: Client) -> None:
    conversation = reverse("conversation_detail", args=[turn.message.conversation_id])
    assert 'name="thinking" value="o' not in " ".join(client.get(conversation).content.decode().split())
    Message.objects.filter(id=turn.reply.id).update(reasoning="Hm.", reasoning_html="<p>Hm.</p>")
    assert 'name="thinking" value="off"' in " ".join(client.get(conversation).content.decode().split())

    reply = turn.reply
    for asked, is_thinking in ({"thinking": "off"}, False), ({}, False), ({"thinking": "on"}, True), ({}, True):
        post(client, "reply_create", turn.message, instead_of=str(reply.id), **asked)
        reply = newest()
        assert reply.generation.enable_thinking is is_thinking
        Generation.objects.filter(message=reply).update(status="completed")


def test_M4_a_reply_of_another_length_is_made_from_the_one_that_had_the_wrong_one(turn: Turn, client: Client) -> None:
    for length in ("shorter", "longer"):
        post(client, "reply_create", turn.message, instead_of=str(turn.reply.id), length=length)
        generation = newest().generation
        *above, wish = _prompt(generation)
        assert [message.content for message in above] == ["What is a tree?", "Fine."]
        assert length in wish.content
        assert wish.role == "user"
        Generation.objects.filter(id=generation.id).update(status="completed")
    # The wish is no part of the conversation: what comes later is asked without it.
    later = ask(turn, "And a leaf?")
    assert [message.content for message in _prompt(later.generation)] == ["What is a tree?", "And a leaf?"]


def test_a_wish_that_the_page_does_not_offer_is_refused(world: World, turn: Turn, client: Client) -> None:
    for nonsense in ({"thinking": "maybe"}, {"length": "huge"}, {"instead_of": "x"}):
        answer = client.post(address("reply_create", turn.message), {"client_id": "w", **nonsense}, headers=HTMX)
        assert answer.status_code == 400
    other = finish(Conversation.start(world.owner, "Another", "second"))
    wish = {"client_id": "w", "length": "shorter"}
    for former in (other.reply, turn.message):
        answer = client.post(address("reply_create", turn.message), {**wish, "instead_of": str(former.id)})
        assert answer.status_code == 404


# Deleting


def test_M6_a_deleted_message_is_gone_with_all_below_it_and_can_be_brought_back(turn: Turn, client: Client) -> None:
    second = ask(turn, "And a leaf?")
    html = post(client, "message_delete", second.message)
    assert "Message deleted" in html
    assert "And a leaf?" not in html
    assert texts(turn) == ["What is a tree?", "Fine."]
    for message in (second.message, second.reply):
        for name in ("branch_update", "message_delete", "branch_create"):
            assert client.post(address(name, message)).status_code == 404
    with pytest.raises(Refused, match="is gone"):
        the(turn).ask("And a root?", "third", parent=second.reply.id)

    html = post(client, "message_restore", second.message)
    assert "Answer to And a leaf?" in html
    assert texts(turn) == ["What is a tree?", "Fine.", "And a leaf?", "Answer to And a leaf?"]
    assert client.post(address("message_restore", second.message)).status_code == 404


def test_M6_what_is_left_is_shown_and_can_be_answered_again(turn: Turn, client: Client) -> None:
    again = finish(the(turn).reply_again(turn.message, "again"), "Better.")
    html = post(client, "message_delete", again.reply)
    assert "Fine." in html
    assert "Version" not in html
    assert texts(turn) == ["What is a tree?", "Fine."]

    html = post(client, "message_delete", turn.reply)
    assert 'aria-label="Regenerate"' in html
    post(client, "reply_create", turn.message)
    assert [message.role for message in the(turn).branch()] == ["user", "assistant"]

    assert "<article" not in post(client, "message_delete", turn.message)
    conversation = reverse("conversation_detail", args=[turn.message.conversation_id])
    assert client.get(conversation).status_code == 200
    assert texts(turn) == []
    assert texts(ask(turn, "Something else")) == ["Something else", "Answer to Something else"]


def test_M6_undo_works_without_script(turn: Turn, client: Client) -> None:
    gone = client.post(address("message_delete", turn.reply))["Location"]
    page = client.get(gone).content.decode()
    assert "Message deleted" in page
    assert f'action="{address("message_restore", turn.reply)}"' in page
    client.post(address("message_restore", turn.reply))
    assert texts(turn) == ["What is a tree?", "Fine."]
    for nonsense in ("x", str(uuid4()), str(turn.reply.id)):
        assert "Message deleted" not in client.get(gone.split("=")[0] + "=" + nonsense).content.decode()


def test_M6_replies_being_written_below_are_stopped(turn: Turn, client: Client) -> None:
    second = the(turn).ask("And a leaf?", "second")
    post(client, "message_delete", turn.reply)
    second.generation.refresh_from_db()
    assert second.generation.status == "stopped"

    third = the(turn).ask("And a root?", "third")
    Generation.objects.filter(id=third.generation.id).update(status="running")
    post(client, "message_delete", third.message)
    third.generation.refresh_from_db()
    assert third.generation.stop_requested_at


def later(**ago: float) -> None:
    Message.objects.filter(deleted_at__isnull=False).update(deleted_at=timezone.now() - timedelta(**ago))


def test_M6_the_sweeper_finishes_a_deletion_that_nobody_undid(turn: Turn, client: Client) -> None:
    second = ask(turn, "And a leaf?")
    post(client, "message_delete", second.message)
    later(seconds=50)
    sweep()
    assert Message.objects.count() == 4
    undone = client.post(address("message_restore", second.message), headers=HTMX)
    assert (undone.status_code, "too long ago" in undone.content.decode()) == (422, True)
    later(seconds=61)
    sweep()
    assert set(Message.objects.values_list("id", flat=True)) == {turn.message.id, turn.reply.id}
    assert client.post(address("message_restore", second.message)).status_code == 404


def test_M6_a_deletion_waits_for_a_worker_that_still_writes(turn: Turn, client: Client) -> None:
    Generation.objects.update(status="running", worker=Worker.objects.create(name="gpu0", state="ready"))
    post(client, "message_delete", turn.message)
    later(seconds=61)
    Message.finish_deletions()
    assert Message.objects.count() == 2
    Generation.objects.update(status="stopped")
    Message.finish_deletions()
    assert not Message.objects.exists()


def test_M6_what_was_sent_below_at_the_same_moment_is_not_lost(turn: Turn, client: Client) -> None:
    stale = the(turn)
    post(client, "message_delete", turn.reply)
    finish(stale.ask("And a leaf?", "second"))
    later(seconds=61)
    Message.finish_deletions()
    assert Message.objects.filter(deleted_at=None).count() == 4
    assert texts(turn) == ["What is a tree?", "Fine.", "And a leaf?", "Fine."]


# Branches


def test_a_message_is_branched_into_a_chat_of_its_own(turn: Turn, client: Client) -> None:
    second = ask(turn, "And a leaf?")
    finish(second, seed=7)
    for message, copied in (
        (turn.reply, ["What is a tree?", "Fine."]),
        (second.message, ["What is a tree?", "Fine.", "And a leaf?"]),
        (second.reply, ["What is a tree?", "Fine.", "And a leaf?", "Fine."]),
    ):
        moved = client.post(address("branch_create", message), headers=HTMX)
        copy = Conversation.objects.latest("id")
        assert moved["HX-Redirect"] == reverse("conversation_detail", args=[copy.id])
        assert [each.text for each in copy.branch()] == copied
        assert copy.title == the(turn).title
        assert copied[-1] in client.get(moved["HX-Redirect"]).content.decode()
    assert copy.branch()[-1].generation.seed == 7
    copy.ask("And a root?", "third")
    assert texts(turn) == copied
    assert client.post(address("branch_create", turn.reply)).status_code == 302
    unwritten = the(turn).ask("And a stem?", "fourth")
    answer = client.post(address("branch_create", unwritten.reply), headers=HTMX)
    assert (answer.status_code, "still being written" in answer.content.decode()) == (422, True)
    assert Conversation.objects.count() == 5


def test_a_send_from_a_tab_that_is_out_of_date_begins_a_branch_and_says_so(turn: Turn, client: Client) -> None:
    ask(turn, "And a leaf?")
    send = reverse("message_create", args=[turn.message.conversation_id])
    fields = {"text": "And a root?", "parent": str(turn.reply.id)}
    html = client.post(send, {"client_id": "stale", **fields}, headers=HTMX).content.decode()
    assert "began another branch" in html
    assert "Version 2 of 2" in html
    assert texts(turn) == ["What is a tree?", "Fine.", "And a root?", ""]
    assert Message.objects.filter(text="And a leaf?", deleted_at=None).exists()
    moved = client.post(send, {"client_id": "stale2", **fields})["Location"]
    assert "began another branch" in client.get(moved).content.decode()

    Generation.objects.update(status="completed")
    leaf = str(the(turn).active_leaf_id)
    fields = {"client_id": "fresh", "text": "And a stem?", "parent": leaf}
    for _ in range(2):  # sent again, as its answer was lost, it is no branch either
        assert "began another branch" not in client.post(send, fields, headers=HTMX).content.decode()
