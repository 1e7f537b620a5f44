"""Shared links: a copy for those it is meant for, at an address that ends when its owner says so."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from chat import markdown
from chat.models import Conversation, Generation, Message, ShareLink, ShareRevision, Turn, User
from tests.conftest import World

HTMX = {"HX-Request": "true"}
QUICK = ["django.contrib.auth.hashers.MD5PasswordHasher"]
SECRET = "sk-abcdefghij0123456789"
KEY = re.compile(r'name="digest" value="(\w+)"')
ADDRESS = re.compile(r'value="(http://testserver/s/[\w-]+/)"')


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def finish(turn: Turn, text: str = "Fine.", reasoning: str = "", **fields: Any) -> Turn:
    Message.objects.filter(id=turn.reply.id).update(
        text=text, html=markdown.render(text), reasoning=reasoning, reasoning_html=markdown.render(reasoning)
    )
    generation = {"status": "completed", "model": "tiny-1", "ended_at": timezone.now(), **fields}
    Generation.objects.filter(id=turn.generation.id).update(**generation)
    return turn


@pytest.fixture
def turn(world: World) -> Turn:
    """A finished turn of the owner: its thinking, a key and an address are in it."""
    question = f"How are <b>you</b>? Write to olga@example.org, my key is {SECRET}"
    return finish(Conversation.start(world.owner, question, "first-client-id"), "**Fine**, thanks.", "I ponder.")


def ticks(dialog: str, name: str) -> list[str]:
    """The values of the ticked boxes of one name."""
    boxes = re.findall(rf'<input type="checkbox"\s+name="{name}"\s+value="([^"]+)"\s*(checked)?', dialog)
    return [value for value, is_ticked in boxes if is_ticked]


def share(client: Client, turn: Turn, **changed: Any) -> str:
    """Share by the dialog as it stands, but for what is changed; the path of the link."""
    answer = submit(client, turn, **changed)
    assert answer.status_code == 200, answer.content.decode()
    return urlsplit(ADDRESS.findall(answer.content.decode())[0]).path


def submit(client: Client, turn: Turn, **changed: Any) -> Any:
    address = reverse("link_create", args=[turn.message.conversation_id])
    dialog = client.get(address, {"upto": turn.reply.id}, headers=HTMX).content.decode()
    fields = {"audience": "members", "days": 30, "models": "on", "messages": ticks(dialog, "messages")}
    fields |= {"digest": KEY.findall(dialog)[0], "upto": turn.reply.id, **changed}
    return client.post(address, fields, headers=HTMX)


def only_link() -> ShareLink:
    return ShareLink.objects.get()


# Who may open it


@pytest.mark.parametrize(
    ("audience", "readers"),
    [
        ("named", {"owner", "team_mate"}),
        ("members", {"owner", "team_mate", "outsider", "admin"}),
        ("public", {"owner", "team_mate", "outsider", "admin", "anonymous"}),
    ],
)
def test_P1_those_it_is_meant_for_open_it_and_nobody_else(
    world: World, turn: Turn, settings: Settings, audience: str, readers: set[str]
) -> None:
    settings.HAS_PUBLIC_LINKS = True
    path = share(signed_in(world.owner), turn, audience=audience, people=world.team_mate.email.upper())
    clients = {name: signed_in(getattr(world, name)) for name in ("owner", "team_mate", "outsider", "admin")}
    leaver = User.objects.create(email="leaver@example.org", name="Leaver")
    clients |= {"anonymous": Client(), "deactivated": signed_in(leaver)}
    User.objects.filter(id=leaver.id).update(is_active=False)
    for name, client in clients.items():
        answer = client.get(path)
        is_meant = name in readers or (audience == "public" and name == "deactivated")
        assert answer.status_code == (200 if is_meant else 404), name
        assert ("<strong>Fine</strong>" in answer.content.decode()) == is_meant
    assert only_link().num_views == len(readers) - 1 + (audience == "public"), "the owner's own look is not counted"


def test_a_reader_can_read_and_nothing_else(world: World, turn: Turn) -> None:
    """Incident "Share branch gives write or delete": being able to open a link gives no right to anything behind it."""
    owner, reader = signed_in(world.owner), signed_in(world.team_mate)
    path = share(owner, turn)
    link = only_link()
    conversation, message, generation = turn.message.conversation_id, turn.message.id, turn.generation.id
    of_owner = [
        reverse("conversation_detail", args=[conversation]),
        reverse("message_create", args=[conversation]),
        reverse("reply_create", args=[conversation, message]),
        reverse("cancellation_create", args=[generation]),
        reverse("continuation_create", args=[generation]),
        reverse("conversation_rename", args=[conversation]),
        reverse("conversation_delete", args=[conversation]),
        reverse("link_create", args=[conversation]),
        reverse("link_detail", args=[link.id]),
        reverse("revision_create", args=[link.id]),
        reverse("revocation_create", args=[link.id]),
    ]
    assert reader.get(path).status_code == 200
    for address in of_owner:
        for method in ("get", "post", "put", "patch", "delete"):
            assert getattr(reader, method)(address).status_code in {404, 405}, (method, address)
    for method in ("put", "patch", "delete"):
        assert getattr(reader, method)(path).status_code == 404
    assert Conversation.objects.get().messages.count() == 2
    assert reader.get(path).status_code == 200
    for address in of_owner:
        assert Client().post(address).status_code in {302, 405}


def test_public_links_are_only_made_and_opened_where_the_setting_allows(
    world: World, turn: Turn, settings: Settings
) -> None:
    owner = signed_in(world.owner)
    refused = submit(owner, turn, audience="public")
    assert refused.status_code == 422
    assert "The administrator does not allow" in refused.content.decode()
    settings.HAS_PUBLIC_LINKS = True
    path = share(owner, turn, audience="public")
    page = Client().get(path)
    assert 'property="og:title"' in page.content.decode()
    settings.HAS_PUBLIC_LINKS = False
    assert Client().get(path).status_code == 404
    members_only = share(owner, turn)
    assert "og:" not in signed_in(world.outsider).get(members_only).content.decode()


def test_who_is_named_must_exist(world: World, turn: Turn) -> None:
    owner = signed_in(world.owner)
    for people, words in (("", "Name at least one person."), ("nobody@example.org", "Nobody here has this address")):
        answer = submit(owner, turn, audience="named", people=people)
        assert answer.status_code == 422
        assert words in answer.content.decode()
    assert not ShareLink.objects.exists()


# What is shared


def test_P1_the_dialog_shows_what_will_be_shared_and_the_page_shows_just_that(world: World, turn: Turn) -> None:
    owner = signed_in(world.owner)
    later = finish(Conversation.objects.get().ask("And later?", "second"), "Later words.")
    address = reverse("link_create", args=[turn.message.conversation_id])
    dialog = owner.get(address, {"upto": turn.reply.id}, headers=HTMX).content.decode()
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
        assert owner.get(address, {"upto": upto}).status_code == 404
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


@pytest.mark.parametrize("payload", ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><svg onload=a>'])
def test_hostile_words_do_nothing_on_the_shared_page(world: World, payload: str) -> None:
    """Incident "XSS by model output": as question, reply, thinking, title and name."""
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
        assert payload not in page.content.decode()


# The page


def test_P2_the_page_is_read_without_script_and_kept_by_nobody(world: World, turn: Turn) -> None:
    """Incident "Share links in search engines": no index, no cache, no trace of the address on other sites."""
    path = share(signed_in(world.owner), turn, author="on")
    reader = signed_in(world.team_mate)
    answer, gone = reader.get(path), reader.get(f"{path}no/such/thing")
    for response in (answer, gone):
        assert response["X-Robots-Tag"] == "noindex, nofollow, noarchive"
        assert response["Referrer-Policy"] == "no-referrer"
        assert response["Cache-Control"] == "no-store"
    page = answer.content.decode()
    assert '<meta name="robots" content="noindex">' in page
    assert "<title>How are &lt;b&gt;you&lt;/b&gt;? Write to █████" in page
    for shown in ("Continue in my account", "tiny-1", "by Olga", '<time datetime="', "<strong>Fine</strong>"):
        assert shown in page
    assert not re.search(r"src=\"https?:|<img|<iframe", page)
    assert Client().get("/sitemap.xml").status_code == 404


def test_a_link_holds_an_address_nobody_can_guess_and_the_database_does_not_know(world: World, turn: Turn) -> None:
    tokens = {share(signed_in(world.owner), turn).split("/")[2] for _ in range(3)}
    assert len(tokens) == 3
    assert all(len(token) == 43 for token in tokens), "256 bits"
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT to_jsonb(link)::text FROM chat_sharelink link")
        rows = " ".join(row[0] for row in cursor.fetchall())
    assert not any(token in rows for token in tokens)


def test_the_owner_sees_the_address_again_but_not_with_another_key(
    world: World, turn: Turn, settings: Settings
) -> None:
    owner = signed_in(world.owner)
    path = share(owner, turn)
    detail = reverse("link_detail", args=[only_link().id])
    assert path in owner.get(detail).content.decode()
    settings.SECRET_KEY = "another key that is long enough to be one, for this test alone 0123456789"
    again = signed_in(world.owner).get(detail).content.decode()
    assert "/s/" not in again
    assert "the key of the server was changed" in again


# How it ends


def ways_to_end(world: World) -> dict[str, Callable[[ShareLink], object]]:
    links = ShareLink.objects

    def deactivate(_: ShareLink) -> None:
        world.owner.is_active = False
        world.owner.save(update_fields=["is_active"])

    return {
        "revoked": lambda link: signed_in(world.owner).post(reverse("revocation_create", args=[link.id])),
        "expired": lambda link: links.filter(id=link.id).update(expires_at=timezone.now()),
        "not allowed": lambda link: links.filter(id=link.id).update(audience="named"),
        "owner deactivated": deactivate,
        "owner deactivated by another door": lambda _: User.objects.filter(id=world.owner.id).update(is_active=False),
        "chat deleted": lambda _: Conversation.objects.get().remove(),
        "owner deleted": lambda _: world.owner.delete(),
    }


@pytest.mark.parametrize(
    "way",
    [
        "revoked",
        "expired",
        "not allowed",
        "owner deactivated",
        "owner deactivated by another door",
        "chat deleted",
        "owner deleted",
    ],
)
def test_P2_a_link_that_ended_answers_like_one_that_never_was(
    world: World, turn: Turn, settings: Settings, way: str
) -> None:
    """Incidents "Share links in search engines" and "Delete conversation mid-reply": the same 404, at once."""
    settings.HAS_PUBLIC_LINKS, settings.PASSWORD_HASHERS = True, QUICK
    path = share(signed_in(world.owner), turn, audience="public", password="open sesame")
    link = only_link()
    ways_to_end(world)[way](link)
    unknown = f"/s/{'A' * 43}/"
    for client in (Client(), signed_in(world.outsider)):
        for method, below in (("get", ""), ("post", ""), ("get", "copies/"), ("post", "copies/"), ("get", "image.png")):
            fields = {"password": "open sesame", "revision": "1", "client_id": "x"}
            ended = getattr(client, method)(path + below, fields)
            never = getattr(client, method)(unknown + below, fields)
            assert (ended.status_code, never.status_code) == (404, 404), (method, below)
            assert ended.content == never.content
            differing = {"Set-Cookie"}
            assert {k: v for k, v in ended.items() if k not in differing} == dict(never.items())


def test_the_links_of_somebody_who_left_stay_dead_when_they_return(world: World, turn: Turn) -> None:
    path = share(signed_in(world.owner), turn)
    for is_active in (False, True):
        world.owner.is_active = is_active
        world.owner.save(update_fields=["is_active"])
        assert signed_in(world.team_mate).get(path).status_code == 404
    assert only_link().revoked_at is not None


def test_a_stranger_is_led_to_sign_in_and_back_whatever_is_there(world: World, turn: Turn) -> None:
    path = share(signed_in(world.owner), turn)
    for address in (path, f"/s/{'A' * 43}/"):
        gone = Client().get(address)
        assert (gone.status_code, "?sign-in" in gone.content.decode()) == (404, True)
        assert Client().get(f"{address}?sign-in")["Location"] == f"/accounts/login/?next={address}"
    assert "?sign-in" not in signed_in(world.outsider).get("/s/unknown/").content.decode()
    assert signed_in(world.outsider).get(path[:-1])["Location"] == path


def test_days_have_the_limit_of_the_setting(world: World, turn: Turn, settings: Settings) -> None:
    settings.LINK_DAYS = 7
    owner = signed_in(world.owner)
    for days in (0, 8, "x", ""):
        assert submit(owner, turn, days=days).status_code == 422, days
    share(owner, turn, days=7)
    assert timedelta(days=6) < only_link().expires_at - timezone.now() <= timedelta(days=7)


# Password


def test_a_password_is_asked_once_and_guesses_are_few(world: World, turn: Turn, settings: Settings) -> None:
    settings.HAS_PUBLIC_LINKS = True
    owner = signed_in(world.owner)
    assert submit(owner, turn, audience="public", password="short").status_code == 422
    path = share(owner, turn, audience="public", password="open sesame")
    assert owner.get(path).status_code == 200
    reader = Client()
    asked = reader.get(path).content.decode()
    assert "Fine" not in asked and "How are" not in asked and "og:" not in asked
    assert reader.post(f"{path}copies/", {"revision": "1", "client_id": "x"}).status_code == 404
    assert reader.post(path, {"password": "open sesame!"}).status_code == 422
    assert reader.post(path, {"password": "open sesame"})["Location"] == path
    assert "<strong>Fine</strong>" in reader.get(path).content.decode()
    cookie = reader.cookies["shared"]
    assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == (path, True, "Lax")
    assert only_link().password.startswith("argon2")

    other = share(owner, turn, audience="public", password="open sesame")
    second = Client()
    second.cookies["shared"] = cookie.value
    assert "Fine" not in second.get(other).content.decode(), "what opens one link opens no other"


def test_of_fifty_guesses_at_once_ten_are_looked_at(world: World, turn: Turn, settings: Settings) -> None:
    settings.PASSWORD_HASHERS = QUICK
    path = share(signed_in(world.owner), turn, password="open sesame")
    link = only_link()
    reader = signed_in(world.team_mate)
    answers = in_parallel(lambda _: reader_like(reader).post(path, {"password": "guess"}).status_code)
    assert sorted(answers) == [422] * 10 + [429] * 40
    ShareLink.objects.filter(id=link.id).update(tries_since=timezone.now() - ShareLink.TRIES_WITHIN)
    assert reader.post(path, {"password": "guess"}).status_code == 422


# Races


def in_parallel(act: Callable[[int], Any], num: int = 50) -> list[Any]:
    def run(number: int) -> Any:
        try:
            return act(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as threads:
        return list(threads.map(run, range(num)))


def reader_like(client: Client) -> Client:
    """Another browser with the same session."""
    twin = Client()
    twin.cookies.load({name: morsel.value for name, morsel in client.cookies.items()})
    return twin


def test_of_fifty_opens_at_once_each_is_counted(world: World, turn: Turn) -> None:
    path = share(signed_in(world.owner), turn)
    reader = signed_in(world.team_mate)
    assert in_parallel(lambda _: reader_like(reader).get(path).status_code) == [200] * 50
    assert only_link().num_views == 50


def test_opens_that_race_with_a_revoke_are_counted_or_refused(world: World, turn: Turn) -> None:
    owner = signed_in(world.owner)
    path = share(owner, turn)
    reader, link = signed_in(world.team_mate), only_link()
    revoke = reverse("revocation_create", args=[link.id])

    def act(number: int) -> int:
        if number == 25:
            return int(reader_like(owner).post(revoke).status_code)
        return int(reader_like(reader).get(path).status_code)

    answers = in_parallel(act)
    assert set(answers) <= {200, 302, 404}
    assert only_link().num_views == answers.count(200)
    assert reader.get(path).status_code == 404


def test_of_fifty_revokes_at_once_one_ends_it(world: World, turn: Turn) -> None:
    share(signed_in(world.owner), turn)
    numbers = in_parallel(lambda _: ShareLink.objects.filter(id=only_link().id).revoke())
    assert sorted(numbers) == [0] * 49 + [1]
    ended_at = only_link().revoked_at
    only_link().revoke()
    assert only_link().revoked_at == ended_at


def test_updates_at_once_make_one_version_each(world: World, turn: Turn) -> None:
    owner = signed_in(world.owner)
    share(owner, turn)
    finish(Conversation.objects.get().ask("More", "second"), "More words.")
    address = reverse("revision_create", args=[only_link().id])
    digest = KEY.findall(owner.get(address).content.decode())[0]
    answers = in_parallel(lambda _: reader_like(owner).post(address, {"digest": digest}).status_code, num=10)
    assert answers == [302] * 10
    assert sorted(ShareRevision.objects.values_list("number", flat=True)) == list(range(1, 12))


# Update, copy, lists


def test_P2_an_update_shows_the_difference_and_then_the_same_address_shows_it(world: World, turn: Turn) -> None:
    owner, reader = signed_in(world.owner), signed_in(world.team_mate)
    path = share(owner, turn)
    link = only_link()
    address = reverse("revision_create", args=[link.id])
    assert "Nothing has changed since version 1." in owner.get(address, headers=HTMX).content.decode()
    conversation = Conversation.objects.get()
    finish(conversation.ask("More, to oscar@example.org?", "second"), "More words.")
    conversation.rename("Better title")
    dialog = owner.get(address, headers=HTMX).content.decode()
    for shown in ("<ins>Better title</ins>", '<ins dir="auto">More words.</ins>', "More, to █████?", "version 1"):
        assert shown in dialog
    assert "<del" in dialog and '<ins dir="auto">**Fine' not in dialog
    assert "More words" not in reader.get(path).content.decode()

    stale = owner.post(address, {"digest": "stale"}, headers=HTMX)
    assert stale.status_code == 422
    done = owner.post(address, {"digest": KEY.findall(dialog)[0]}, headers=HTMX)
    assert path in done.content.decode()
    page = reader.get(path).content.decode()
    assert "More words." in page and "<title>Better title" in page and "oscar@" not in page
    owner.post(reverse("revocation_create", args=[link.id]))
    assert owner.get(address).status_code == 404


def test_P2_continuing_copies_the_version_that_was_seen(world: World, turn: Turn) -> None:
    owner, reader = signed_in(world.owner), signed_in(world.outsider)
    path = share(owner, turn)
    seen = reader.get(path).content.decode()
    client_id = re.findall(r'name="client_id" value="([^"]+)"', seen)[0]
    finish(Conversation.objects.get().ask("More", "second"), "More words.")
    address = reverse("revision_create", args=[only_link().id])
    owner.post(address, {"digest": KEY.findall(owner.get(address).content.decode())[0]})

    fields = {"revision": "1", "client_id": client_id}
    answers = {reader.post(f"{path}copies/", fields)["Location"] for _ in range(3)}
    copy = Conversation.objects.get(owner=world.outsider)
    assert answers == {f"/c/{copy.id}"}, "a second click makes no second copy"
    texts = [message.text for message in copy.branch()]
    assert texts == ["How are <b>you</b>? Write to █████, my key is █████", "**Fine**, thanks."]
    page = reader.get(f"/c/{copy.id}").content.decode()
    assert "<strong>Fine</strong>" in page
    assert owner.get(f"/c/{copy.id}").status_code == 404
    on = reader.post(reverse("message_create", args=[copy.id]), {"client_id": "on", "text": "Go on"}, headers=HTMX)
    assert on.status_code == 200
    assert Conversation.objects.get(owner=world.owner).messages.count() == 4


def test_a_copy_needs_an_account(world: World, turn: Turn, settings: Settings) -> None:
    settings.HAS_PUBLIC_LINKS = True
    path = share(signed_in(world.owner), turn, audience="public")
    answer = Client().post(f"{path}copies/", {"revision": "1", "client_id": "x"})
    assert answer["Location"] == f"/accounts/login/?next={path}"
    assert Conversation.objects.count() == 1


def test_P2_my_links_are_listed_with_revoke_and_only_mine(world: World, turn: Turn) -> None:
    owner = signed_in(world.owner)
    path = share(owner, turn)
    link = only_link()
    for client, is_mine in ((owner, True), (signed_in(world.team_mate), False)):
        assert (str(link.id) in client.get(reverse("links")).content.decode()) == is_mine
    assert Client().get(reverse("links")).status_code == 302
    sidebar = owner.get(reverse("chats")).content.decode()
    assert 'aria-label="Shared"' in sidebar
    assert owner.post(reverse("revocation_create", args=[link.id]))["Location"] == reverse("links")
    assert "Revoked" in owner.get(reverse("links")).content.decode()
    assert 'aria-label="Shared"' not in owner.get(reverse("chats")).content.decode()
    assert signed_in(world.team_mate).get(path).status_code == 404


def test_the_list_of_links_takes_the_same_queries_however_long_it_is(
    world: World, turn: Turn, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    owner = signed_in(world.owner)
    for _ in range(6):
        share(owner, turn, audience="named", people=world.team_mate.email)
    with CaptureQueriesContext(connections["default"]) as captured, django_assert_max_num_queries(5):
        owner.get(reverse("links"))
    assert not any("content" in query["sql"] for query in captured), "no list loads what is shared"


def test_the_administrator_sees_all_links_but_no_word_of_them(world: World, turn: Turn) -> None:
    owner, admin = signed_in(world.owner), signed_in(world.admin)
    turn.message.conversation.rename("Secret plan")
    paths = [share(owner, turn, password="open sesame") for _ in range(3)]
    other = finish(Conversation.start(world.team_mate, "Mine", "mine"))
    kept = share(signed_in(world.team_mate), other)
    changelist = reverse("admin:chat_sharelink_changelist")
    first = ShareLink.objects.filter(owner=world.owner).first()
    assert first
    for address in (changelist, reverse("admin:chat_sharelink_change", args=[first.id])):
        page = admin.get(address).content.decode()
        assert "Olga" in page
        for word in ("Secret plan", "How are", "argon2", *(path.split("/")[2] for path in paths)):
            assert word not in page, word
        assert owner.get(address).status_code == 302

    admin.post(changelist, {"action": "revoke", "_selected_action": [str(first.id)]})
    assert ShareLink.objects.filter(revoked_at=None).count() == 3
    admin.post(changelist, {"action": "revoke_all_of_the_owners", "_selected_action": [str(first.id)]})
    reader = signed_in(world.outsider)
    assert [reader.get(path).status_code for path in paths] == [404] * 3
    assert reader.get(kept).status_code == 200
    delete = reverse("admin:chat_user_delete", args=[world.owner.id])
    assert "Secret plan" not in admin.get(delete).content.decode()
    assert admin.post(delete, {"post": "yes"}).status_code == 302


def test_without_script_the_dialog_is_a_page_and_the_link_too(world: World, turn: Turn) -> None:
    owner = signed_in(world.owner)
    address = reverse("link_create", args=[turn.message.conversation_id])
    page = owner.get(address).content.decode()
    assert "<html" in page and "Create link" in page
    fields = {"audience": "members", "days": "30", "messages": ticks(page, "messages"), "digest": KEY.findall(page)[0]}
    made = owner.post(address, fields)
    assert made["Location"] == reverse("link_detail", args=[only_link().id])
    assert ADDRESS.search(owner.get(made["Location"]).content.decode())


def test_the_button_finds_the_chat_of_a_page_that_began_as_a_new_one(world: World, turn: Turn) -> None:
    owner, address = signed_in(world.owner), f"/c/{turn.message.conversation_id}"
    there = {**HTMX, "HX-Current-URL": f"http://testserver{address}"}
    assert "Create link" in owner.get("/share/", headers=there).content.decode()
    assert signed_in(world.team_mate).get("/share/", headers=there).status_code == 404
    assert owner.get("/share/").status_code == 404


FOUND = {
    "password: hunter2!": "hunter2!",
    "Das Passwort ist egal, password is Tr0ub4dor": "Tr0ub4dor",
    "密码：abcd1234": "abcd1234",
    "postgres://olga:s3cret@db/x": "s3cret",
    "AKIAIOSFODNN7EXAMPLE": "AKIAIOSFODNN7EXAMPLE",
    "ghp_0123456789abcdefABCDEF": "ghp_0123456789abcdefABCDEF",
    "Authorization: Bearer abc.def-ghi_123": "abc.def-ghi_123",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nxyz\n-----END RSA PRIVATE KEY-----": "MIIE\nxyz",
    "a.b+c@mail.example.co.uk": "a.b+c@mail.example.co.uk",
}


@pytest.mark.parametrize("text", FOUND)
def test_what_is_private_is_found_and_struck_out(world: World, text: str) -> None:
    turn = finish(Conversation.start(world.owner, f"Look: {text}", "first"), f"You wrote `{text}`\n\n```\n{text}\n```")
    page = signed_in(world.team_mate).get(share(signed_in(world.owner), turn)).content.decode()
    assert FOUND[text] not in page
    assert "█████" in page


@pytest.mark.parametrize("text", ["def f(a: int) -> str: ...", "a @ b", "https://example.org/a/b", "Fine. 12:30", ""])
def test_what_is_not_private_stays(world: World, text: str) -> None:
    turn = finish(Conversation.start(world.owner, "Look", "first"), f"`{text}`")
    assert "█" not in signed_in(world.team_mate).get(share(signed_in(world.owner), turn)).content.decode()
