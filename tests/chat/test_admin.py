"""The administrator makes accounts, as sign-up is closed; nobody else comes in."""

from __future__ import annotations

from django.test import Client

from chat.models import Conversation, User
from tests.conftest import PASSWORD, World


def test_the_administrator_makes_an_account_that_can_sign_in(world: World) -> None:
    client = Client()
    client.force_login(world.admin)
    fields = {"email": "Nina@Example.org", "name": "Nina", "usable_password": "true"}
    answer = client.post("/admin/chat/user/add/", {**fields, "password1": PASSWORD, "password2": PASSWORD})
    assert answer.status_code == 302, answer.content

    answer = Client().post("/accounts/login/", {"login": "nina@example.org", "password": PASSWORD})
    assert (answer.status_code, answer["Location"]) == (302, "/")


def test_the_administrator_finds_and_deactivates_a_person(world: World) -> None:
    client = Client()
    client.force_login(world.admin)
    assert b"olga@example.org" in client.get("/admin/chat/user/?q=olga").content
    fields = {"email": world.owner.email, "name": "Olga"}
    assert client.post(f"/admin/chat/user/{world.owner.id}/change/", fields).status_code == 302
    assert not User.objects.get(id=world.owner.id).is_active


def test_I7_the_page_that_deletes_a_person_shows_no_word_of_theirs(world: World) -> None:
    Conversation.start(world.owner, "My secret plan", "c1")
    client = Client()
    client.force_login(world.admin)
    address = f"/admin/chat/user/{world.owner.id}/delete/"
    assert b"secret" not in client.get(address).content
    assert client.post(address, {"post": "yes"}).status_code == 302
    assert not Conversation.objects.exists()


def test_nobody_else_comes_in(world: World) -> None:
    for person in (world.owner, world.team_mate, world.outsider):
        client = Client()
        client.force_login(person)
        assert client.get("/admin/chat/user/").status_code == 302
