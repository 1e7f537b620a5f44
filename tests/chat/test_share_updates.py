"""What becomes of shared links: updates, copies, lists; and many acts at the same moment."""

from __future__ import annotations

import re

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from chat.models import Conversation, ShareLink, ShareRevision, Turn
from tests.chat.sharing import (
    ADDRESS,
    HTMX,
    KEY,
    finish,
    in_parallel,
    only_link,
    reader_like,
    share,
    signed_in,
    ticks,
    told,
)
from tests.conftest import World


@pytest.fixture
def turn(world: World) -> Turn:
    return told(world.owner)


# Races


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
