"""The administrator makes accounts, as sign-up is closed; nobody else comes in."""

from __future__ import annotations

import re
from datetime import timedelta

from django.test import Client
from django.utils import timezone
from django.utils.formats import date_format

from chat.models import Audit, Conversation, Invitation, User
from tests.chat.people import auditor, entry, signed_in
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


def rows(client: Client, query: str) -> list[str]:
    """The addresses of the people that the list shows."""
    page = client.get(f"/admin/chat/user/?{query}").content.decode()
    return re.findall(r'field-email"><a[^>]*>([^<]*)', page)


def test_T4_people_are_found_by_words_status_and_role_with_when_they_were_last_active(world: World) -> None:
    client = signed_in(world.admin)
    auditor()
    record = entry(world.owner, days_ago=3)
    entry(world.team_mate, days_ago=40)
    world.outsider.deactivate()
    assert rows(client, "q=tari") == rows(client, "q=tariq@example.org") == ["tariq@example.org"]
    assert rows(client, "is_active__exact=0") == ["oscar@example.org"]
    assert rows(client, "role=auditor") == ["aud@example.org"]
    assert rows(client, "role=admin&is_active__exact=1") == ["ada@example.org"]
    lately = rows(client, "o=-6")
    assert lately.index("olga@example.org") < lately.index("tariq@example.org")
    page = client.get("/admin/chat/user/?q=olga").content.decode()
    assert date_format(record.created_at, "N j, Y") in page


def test_T4_an_invitation_has_a_role_and_an_end_and_is_shown_once(world: World) -> None:
    client = signed_in(world.admin)
    until = timezone.now() + timedelta(days=2)
    fields = {"email": "", "role": "auditor", "expires_at_0": f"{until:%Y-%m-%d}", "expires_at_1": f"{until:%H:%M:%S}"}
    page = client.post("/admin/chat/invitation/add/", fields, follow=True).content.decode()
    [link] = re.findall(r"<code>(http://testserver/invitation/[\w-]+/)</code>", page)
    assert link not in client.get("/admin/chat/invitation/").content.decode()
    assert str(Invitation.objects.get().role) == "auditor"
    assert Invitation.objects.get().expires_at == until.replace(microsecond=0)
    assert Client().get(link).status_code == 200
    Invitation.objects.update(expires_at=timezone.now())
    assert Client().get(link).status_code == 404
    assert Audit.objects.filter(act="invitation.added").count() == 1
