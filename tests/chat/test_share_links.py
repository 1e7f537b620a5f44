"""Shared links: a copy for those it is meant for, at an address that ends when its owner says so."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from chat.models import Conversation, ShareLink, Turn, User
from tests.chat.sharing import QUICK, in_parallel, only_link, reader_like, share, signed_in, submit, told
from tests.conftest import World


@pytest.fixture
def turn(world: World) -> Turn:
    return told(world.owner)


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
            assert dict(ended.items()) == dict(never.items())


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
