"""What a shared link shows: what its owner was shown before, and not a byte more."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from django.urls import reverse

from chat.models import Conversation, Generation, Message, ShareLink, ShareRevision, Turn, User
from tests.chat.sharing import (
    HTMX,
    SECRET,
    finish,
    only_link,
    share,
    signed_in,
    submit,
    told,
)
from tests.conftest import World


@pytest.fixture
def turn(world: World) -> Turn:
    return told(world.owner)


def test_P1_the_dialog_shows_what_will_be_shared_and_the_page_shows_just_that(world: World, turn: Turn) -> None:
    owner = signed_in(world.owner)
    later = finish(Conversation.objects.get().ask("And later?", "second"), "Later words.")
    address = reverse("link_create", args=[turn.message.conversation_id])
    dialog = owner.get(address, {"upto": str(turn.reply.id)}, headers=HTMX).content.decode()
    for words in (
        "This chat up to “Fine, thanks.”. What comes later is not shared.",
        "2 messages are shared:",
        "2 messages that are later",
        "tiny-1",
        "Thinking",
    ):
        assert words in dialog
    for label in ("Who can open it", "Named people", "Everyone signed in", "Anyone with the link", "Create link"):
        assert label in dialog
    _, _, preview = dialog.partition('id="share-preview"')
    assert "<strong>Fine</strong>" in preview
    assert not [word for word in ("I ponder", SECRET, "olga@", "Later") if word in preview]

    path = share(owner, turn)
    page = signed_in(world.team_mate).get(path).content.decode()
    assert "How are &lt;b&gt;you&lt;/b&gt;? Write to █████, my key is █████" in page
    assert "tiny-1" in page
    secrets = ["I ponder", SECRET, "olga", "Olga", "Later", "And later"]
    ids = [turn.message.id, turn.reply.id, turn.generation.id, turn.message.conversation_id, later.reply.id]
    for private in [*secrets, *map(str, ids), turn.generation.client_id]:
        assert private not in page, private
    article = page.partition('role="log"')[2].partition("</main>")[0].partition("<footer")[0]
    assert not re.search(r"<form|<button class|<template|hx-", article), "nothing in a message asks for anything"


def test_what_is_ticked_is_shared(world: World, turn: Turn) -> None:
    owner = signed_in(world.owner)
    address = reverse("link_create", args=[turn.message.conversation_id])
    dialog = owner.get(address, headers=HTMX).content.decode()
    keys = re.findall(r'name="keep"\s+value="(\w+)"', dialog)
    assert len(keys) == 2
    path = share(owner, turn, thinking="on", author="on", models="", keep=keys[:1], messages=[turn.reply.id])
    page = signed_in(world.team_mate).get(path).content.decode()
    assert "I ponder." in page
    assert "by Olga" in page
    assert "How are" not in page.partition("<main")[2].partition('role="log"')[2]
    assert "tiny-1" not in page
    assert "olga@example.org" in page, "the title holds what was kept"
    both = share(owner, turn, keep=keys)
    assert SECRET in signed_in(world.team_mate).get(both).content.decode()


def test_a_preview_shares_nothing_and_follows_the_ticks(world: World, turn: Turn) -> None:
    answer = submit(signed_in(world.owner), turn, preview="1", thinking="on", days="", audience="")
    assert answer.status_code == 200
    assert "I ponder." in answer.content.decode().partition('id="share-preview"')[2]
    assert not ShareLink.objects.exists()


def test_what_has_changed_since_it_was_shown_is_shown_again_first(world: World, turn: Turn) -> None:
    for changed in ({"digest": "stale"}, {"digest": ""}):
        answer = submit(signed_in(world.owner), turn, **changed)
        assert answer.status_code == 422
        assert "This chat has changed since it was shown here." in answer.content.decode()
    assert not ShareLink.objects.exists()


def test_a_link_is_a_snapshot(world: World, turn: Turn) -> None:
    """Incident "Share is live": what is written, edited or renamed after sharing is not seen."""
    path = share(signed_in(world.owner), turn)
    reader = signed_in(world.team_mate)
    before = re.sub(r'value="[^"]+"', "", reader.get(path).content.decode())
    conversation = Conversation.objects.get()
    finish(conversation.ask("A later secret", "second"), "Later words.")
    finish(conversation.reply_again(turn.message, "again"), "Another version.")
    Message.objects.filter(id=turn.reply.id).update(text="Edited.", html="<p>Edited.</p>")
    conversation.rename("New title")
    assert re.sub(r'value="[^"]+"', "", reader.get(path).content.decode()) == before


def test_sharing_while_a_reply_is_written_shares_finished_turns_only(world: World, turn: Turn) -> None:
    """Incident "Share while streaming": the snapshot holds finished turns only."""
    running = Conversation.objects.get().ask("Half a question", "second")
    Message.objects.filter(id=running.reply.id).update(text="Half an answer", html="<p>Half an answer</p>")
    Generation.objects.filter(id=running.generation.id).update(status="running")
    path = share(signed_in(world.owner), running)
    page = signed_in(world.team_mate).get(path).content.decode()
    assert "<strong>Fine</strong>" in page
    assert "Half" not in page
    assert "<reply-stream" not in page
    assert [len(each.content) for each in ShareRevision.objects.all()] == [2]


def test_there_must_be_something_to_share(world: World) -> None:
    running = Conversation.start(world.owner, "Hello", "first")
    answer = submit(signed_in(world.owner), running)
    assert answer.status_code == 422
    assert "There is nothing to share here yet." in answer.content.decode()
    assert not ShareLink.objects.exists()


def test_nested_ids_are_looked_up_with_their_parent(world: World, turn: Turn) -> None:
    other = finish(Conversation.start(world.owner, "Another", "second"))
    foreign = finish(Conversation.start(world.team_mate, "Foreign", "third"))
    owner = signed_in(world.owner)
    address = reverse("link_create", args=[turn.message.conversation_id])
    for upto in (other.reply.id, foreign.reply.id, uuid4()):
        assert owner.get(address, {"upto": str(upto)}).status_code == 404
        assert owner.post(address, {"upto": upto, "audience": "members"}).status_code == 404
    assert owner.get(address, {"upto": "nonsense"}).status_code == 400
    refused = submit(owner, turn, messages=[str(other.reply.id)])
    assert refused.status_code == 422
    assert not ShareLink.objects.exists()

    reader = signed_in(world.team_mate)
    one, _ = share(owner, turn), share(owner, other)
    for number in ("2", "0", "-1", "x", "", "٣", "9" * 30):
        fields = {"revision": number, "client_id": "copy"}
        assert reader.post(f"{one}copies/", fields).status_code == 404, number


def test_hostile_words_do_nothing_on_the_shared_page(world: World) -> None:
    """Incident "XSS by model output": as question, reply, thinking, title and name."""
    payload = '<script>alert(1)</script><img src=x onerror=alert(1)>"><svg onload=a>'
    User.objects.filter(id=world.owner.id).update(name=payload)
    turn = finish(Conversation.start(world.owner, payload, "first"), payload, payload)
    turn.message.conversation.rename(payload)
    owner = signed_in(User.objects.get(id=world.owner.id))
    path = share(owner, turn, thinking="on", author="on")
    admin = signed_in(world.admin)
    link = only_link()
    pages = [
        signed_in(world.team_mate).get(path),
        owner.get(reverse("links")),
        owner.get(reverse("link_detail", args=[link.id])),
        owner.get(reverse("revision_create", args=[link.id])),
        owner.get(reverse("link_create", args=[turn.message.conversation_id])),
        admin.get(reverse("admin:chat_sharelink_changelist")),
    ]
    for page in pages:
        assert page.status_code == 200
        assert not [part for part in ("<script>alert", "<img src=x", "<svg onload") if part in page.content.decode()]


FOUND = {
    "password: hunter2!": "hunter2!",
    "Das Passwort ist egal, password is Tr0ub4dor": "Tr0ub4dor",
    "密码：abcd1234": "abcd1234",
    "postgres://olga:s3cret@db/x": "s3cret",
    "AKIAIOSFODNN7EXAMPLE": "AKIAIOSFODNN7EXAMPLE",
    "commit 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef": "0123456789abcdef" * 4,
    "ghp_0123456789abcdefABCDEF": "ghp_0123456789abcdefABCDEF",
    "Authorization: Bearer abc.def-ghi_123": "abc.def-ghi_123",
    "api_key = 'abc123xyz'": "abc123xyz",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nxyz\n-----END RSA PRIVATE KEY-----": "MIIE\nxyz",
    "a.b+c@mail.example.co.uk": "a.b+c@mail.example.co.uk",
}


PLAIN = (
    "def f(a: int) -> str: ...",
    "token = secrets.token_urlsafe(32)",
    "a @ b",
    "https://example.org/a/b",
    "Fine. 12:30",
)


def test_what_is_private_is_found_and_struck_out_and_the_rest_stays(world: World) -> None:
    owner, reader = signed_in(world.owner), signed_in(world.team_mate)
    question, *_ = FOUND
    code = "\n\n".join(f"You wrote `{text}`\n\n```\n{text}\n```" for text in FOUND)
    turn = finish(Conversation.start(world.owner, f"Look: {question}", "first"), code)
    page = reader.get(share(owner, turn)).content.decode()
    for part in FOUND.values():
        assert part not in page and part[:16] not in page
    assert page.count("█████") >= 2 * len(FOUND)

    plain = finish(Conversation.start(world.owner, "Look", "second"), "\n\n".join(f"`{text}`" for text in PLAIN))
    assert "█" not in reader.get(share(owner, plain)).content.decode()


def test_a_title_that_is_cut_shows_no_beginning_of_a_key(world: World) -> None:
    commit = "0123456789abcdef" * 8
    turn = finish(Conversation.start(world.owner, f"See {commit}", "first"))
    assert turn.message.conversation.title.endswith("…")
    assert commit[:16] not in signed_in(world.team_mate).get(share(signed_in(world.owner), turn)).content.decode()
