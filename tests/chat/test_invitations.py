"""How people get accounts: invited, or by themselves where the operator lets them."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group
from django.core import mail
from django.db import connections
from django.test import Client
from django.utils import timezone

from chat.models import Audit, Invitation, User
from tests.chat.people import signed_in
from tests.conftest import PASSWORD, World

FIELDS = {"name": "Nina", "email": "nina@example.org", "password": PASSWORD}


def invite(world: World, **fields: Any) -> str:
    """The address of a link that the administrator makes in the admin."""
    expires = timezone.now() + timedelta(days=1)
    given = {"role": "member", "expires_at_0": f"{expires:%Y-%m-%d}", "expires_at_1": f"{expires:%H:%M:%S}", **fields}
    client = signed_in(world.admin)
    answer = client.post("/admin/chat/invitation/add/", given, follow=True)
    found = re.search(r"http://testserver(/invitation/[\w-]{43}/)", answer.content.decode())
    assert found, answer.content.decode()[-3000:]
    assert found[1] not in client.get("/admin/chat/invitation/").content.decode()
    return found[1]


def use(address: str, **fields: str) -> int:
    return Client().post(address, {**FIELDS, **fields}).status_code


def test_an_invited_person_makes_an_account_with_the_role_and_group_they_were_meant_for(world: World) -> None:
    group = Group.objects.create(name="Research")
    address = invite(world, email="Nina@example.org", role="auditor", group=group.id)
    [letter] = mail.outbox
    assert (letter.to, address in letter.body) == (["nina@example.org"], True)
    client = Client()
    assert "nina@example.org" in client.get(address).content.decode()
    assert client.post(address, {**FIELDS, "password": "short"}).status_code == 422
    assert client.post(address, {**FIELDS, "email": "other@example.org"})["Location"] == "/"
    nina = User.objects.get(email="nina@example.org")
    assert (nina.role, nina.name, list(nina.groups.all())) == ("auditor", "Nina", [group])
    assert client.get("/").status_code == 200
    assert use(address) == Client().get(address).status_code == 404
    assert {line.act: line.actor for line in Audit.objects.all()} == {
        "invitation.added": "ada@example.org",
        "invitation.used": "nina@example.org",
    }


def test_of_fifty_uses_of_an_invitation_at_once_one_makes_an_account(world: World) -> None:
    address = invite(world)

    def try_it(number: int) -> int:
        try:
            return use(address, email=f"nina{number}@example.org")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(try_it, range(50)))
    assert sorted(answers) == [302] + [404] * 49
    assert User.objects.filter(email__startswith="nina").count() == 1


def test_a_link_ends_with_its_time_its_maker_or_its_deletion_and_takes_no_address_twice(world: World) -> None:
    addresses = [invite(world) for _ in range(3)]
    assert use(addresses[0], email="OLGA@example.org") == 422
    Invitation.objects.filter(id=Invitation.objects.earliest("created_at").id).update(expires_at=timezone.now())
    assert use(addresses[0]) == 404
    Invitation.objects.earliest("created_at").delete()
    User.objects.filter(id=world.admin.id).update(is_superuser=False)
    assert use(addresses[1]) == use(addresses[2]) == use("/invitation/wrong/") == 404
    User.objects.filter(id=world.admin.id).update(is_superuser=True)
    Invitation.objects.latest("created_at").delete()
    assert (use(addresses[2]), use(addresses[1])) == (404, 302)


def test_who_signs_up_waits_for_an_administrator_where_approval_is_needed(world: World, settings: Any) -> None:
    settings.IS_SIGNUP_OPEN = settings.NEEDS_APPROVAL = True
    fields = {"email": "nina@example.org", "password1": PASSWORD, "password2": PASSWORD}
    client = Client()
    assert client.post("/accounts/signup/", fields)["Location"] == "/accounts/inactive/"
    assert client.get("/").status_code == 302
    nina = User.objects.get(email="nina@example.org")
    signed_in(world.admin).post("/admin/chat/user/", {"action": "activate", "_selected_action": [str(nina.id)]})
    client.post("/accounts/login/", {"login": "nina@example.org", "password": PASSWORD})
    assert client.get("/").status_code == 200
    acts = list(Audit.objects.order_by("id").values_list("act", flat=True))
    assert acts == ["user.signed_up", "user.activated"]


def test_people_of_a_domain_get_a_letter_and_nobody_learns_who_has_an_account(world: World, settings: Any) -> None:
    assert Client().get("/invitation/").status_code == 404
    settings.SIGNUP_DOMAINS = ["example.org"]
    answers = {
        Client().post("/invitation/", {"email": email}).content
        for email in ("nina@example.org", "nina@example.org", "olga@example.org", "eve@evil.org", "eve@notexample.org")
    }
    assert len(answers) == 1
    [letter] = mail.outbox
    assert letter.to == ["nina@example.org"]
    found = re.search(r"http://testserver(/invitation/\S+)", str(letter.body))
    assert found
    assert use(found[1], email="eve@evil.org") == 302
    assert User.objects.get(name="Nina").email == "nina@example.org"
    assert Client().post("/invitation/", {"email": "x"}).status_code == 422
