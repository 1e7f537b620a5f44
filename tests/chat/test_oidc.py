"""Sign-in with another server: who it may bring, and whose account it may open."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.db import connections
from django.test import Client
from django.utils import timezone

from chat.models import Audit, Invitation, Session, User
from tests.chat.factor import set_up
from tests.chat.oidc_server import CLIENT_ID, CLIENT_SECRET, OidcServer, oidc_server
from tests.conftest import PASSWORD, World

NINA = {"sub": "17", "email": "Nina@Example.org", "email_verified": True, "name": "Nina  Simone"}


@pytest.fixture(scope="module")
def one_server() -> Iterator[OidcServer]:
    with oidc_server() as server:
        yield server


@pytest.fixture
def server(one_server: OidcServer, settings: Any) -> OidcServer:
    cache.clear()
    one_server.who = dict(NINA)
    settings.OIDC_ISSUER, settings.OIDC_NAME = one_server.issuer, "Example"
    settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = CLIENT_ID, CLIENT_SECRET
    return one_server


def asked_there(location: str) -> str:
    """What the browser is sent back to by the other server; its path at our own."""
    parts = urlsplit(location)
    connection = http.client.HTTPConnection(parts.netloc)
    connection.request("GET", f"{parts.path}?{parts.query}")
    back = connection.getresponse().headers["Location"]
    connection.close()
    assert back.startswith("http://testserver/accounts/oidc/callback/")
    return back.removeprefix("http://testserver")


def come_in(client: Client, query: str = "") -> Any:
    return client.get(asked_there(client.get(f"/accounts/oidc/login/{query}")["Location"]))


def is_in(client: Client) -> bool:
    return client.get("/").status_code == 200


def test_the_button_is_there_only_where_a_server_is_set(world: World, server: OidcServer, settings: Any) -> None:
    page = Client().get("/accounts/login/?next=/c/").content.decode()
    assert "Sign in with Example" in page and 'href="/accounts/oidc/login/?next=/c/"' in page
    settings.OIDC_ISSUER = ""
    assert "oidc" not in Client().get("/accounts/login/").content.decode()
    assert Client().get("/accounts/oidc/login/").status_code == 404


def test_somebody_new_comes_in_where_anybody_may_sign_up(world: World, server: OidcServer, settings: Any) -> None:
    settings.IS_SIGNUP_OPEN = True
    client = Client()
    assert come_in(client, "?next=/settings/")["Location"] == "/settings/"
    assert is_in(client)
    nina = User.objects.get(email="nina@example.org")
    assert (nina.name, str(nina.role), nina.has_usable_password()) == ("Nina Simone", "member", False)
    server.who["email"] = "nina.s@example.org"  # known by who she is there, not by her address
    again = Client()
    come_in(again)
    assert is_in(again)
    assert User.objects.count() == 5
    assert Audit.objects.get(act="user.signed_up").details == {"is_active": True, "by": "oidc"}
    nina.deactivate()
    assert "not active" in Client().get(come_in(Client())["Location"]).content.decode()


def test_nobody_new_comes_in_where_sign_up_is_closed(world: World, server: OidcServer, settings: Any) -> None:
    client = Client()
    assert "by invitation" in come_in(client).content.decode()
    settings.SIGNUP_DOMAINS = ["example.com"]
    assert "by invitation" in come_in(client).content.decode()
    settings.SIGNUP_DOMAINS = ["example.org"]
    for unsure in (False, None, "false", 1):
        server.who["email_verified"] = unsure
        assert "by invitation" in come_in(client).content.decode(), unsure
    assert not is_in(client)
    server.who["email_verified"] = "true"
    come_in(client)
    assert is_in(client)


def test_somebody_new_waits_where_approval_is_needed(world: World, server: OidcServer, settings: Any) -> None:
    settings.IS_SIGNUP_OPEN = settings.NEEDS_APPROVAL = True
    client = Client()
    assert come_in(client)["Location"] == "/accounts/inactive/"
    assert not is_in(client)
    User.objects.get(email="nina@example.org").activate()
    come_in(client)
    assert is_in(client)


def invited(world: World, **fields: Any) -> str:
    """The token of an invitation."""
    made = Invitation(created_by=world.admin, expires_at=timezone.now() + timedelta(days=1), **fields)
    token = made.renew()
    made.save()
    return token


def test_who_is_invited_comes_in_by_it_with_the_role_and_group_they_were_meant_for(
    world: World, server: OidcServer, settings: Any
) -> None:
    settings.NEEDS_APPROVAL = True
    group = Group.objects.create(name="Research")
    token = invited(world, email="nina@example.org", role="auditor", group=group)
    way = f"/accounts/oidc/login/?invitation={token}"
    assert f'href="{way}"' in Client().get(f"/invitation/{token}/").content.decode()
    assert Client().get("/accounts/oidc/login/?invitation=wrong").status_code == 404

    server.who["email"] = "other@example.org"
    answer = come_in(Client(), way.rpartition("/")[2])
    assert (answer.status_code, "for another address: nina@example.org" in answer.content.decode()) == (403, True)
    server.who["email"] = "Nina@example.org"
    first, second = Client(), Client()
    back = [asked_there(client.get(way)["Location"]) for client in (first, second)]
    assert token not in str([session.get_decoded() for session in Session.objects.all()]), "only its hash is kept"
    assert first.get(back[0])["Location"] == "/"
    assert is_in(first)
    nina = User.objects.get(email="nina@example.org")
    assert (nina.role, list(nina.groups.all()), nina.has_usable_password()) == ("auditor", [group], False)
    assert Invitation.objects.get().used_by == nina
    lines = {line.act: (line.actor, line.details) for line in Audit.objects.all()}
    assert lines == {"invitation.used": ("nina@example.org", {"role": "auditor", "by": "oidc"})}

    second.get(back[1])
    assert is_in(second), "they have an account by now, and need no invitation"
    server.who.update(sub="18", email="olga.b@example.org")
    assert Client().get(way).status_code == 404
    late = Client()
    back = [asked_there(late.get(f"/accounts/oidc/login/?invitation={invited(world)}")["Location"])]
    Invitation.objects.filter(used_at=None).update(expires_at=timezone.now())
    answer = late.get(back[0])
    assert (answer.status_code, "not good any more" in answer.content.decode()) == (404, True)
    assert not User.objects.filter(email="olga.b@example.org").exists()


def test_of_many_who_come_back_at_once_with_one_invitation_one_gets_an_account(
    world: World, server: OidcServer
) -> None:
    way = f"/accounts/oidc/login/?invitation={invited(world)}"
    coming = []
    for number in range(8):
        server.who.update(sub=f"p{number}", email=f"p{number}@example.org")
        client = Client()
        coming.append((client, asked_there(client.get(way)["Location"])))

    def come_back(one: tuple[Client, str]) -> int:
        try:
            return int(one[0].get(one[1]).status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(come_back, coming))
    assert sorted(answers) == [302] + [404] * 7
    assert User.objects.filter(email__startswith="p", email__endswith="@example.org").count() == 1


@pytest.mark.parametrize(("joins", "verified"), [(False, True), (True, False), (True, "false"), (True, None)])
def test_an_account_of_the_same_address_is_not_opened(
    world: World, server: OidcServer, settings: Any, joins: bool, verified: object
) -> None:
    settings.IS_SIGNUP_OPEN, settings.OIDC_JOIN = True, joins
    server.who.update(email=world.owner.email.upper(), email_verified=verified)
    client = Client()
    answer = come_in(client)
    assert (answer.status_code, "sign in with its password" in answer.content.decode()) == (403, True)
    assert not is_in(client)
    assert User.objects.get(id=world.owner.id).has_usable_password()


def test_it_is_joined_where_the_operator_allows_it_and_the_address_is_verified(
    world: World, server: OidcServer, settings: Any
) -> None:
    settings.OIDC_JOIN = True
    server.who["email"] = world.owner.email
    before = Client()
    before.force_login(world.owner)
    client = Client()
    come_in(client)
    assert is_in(client)
    assert not is_in(before), "who made the account need not be whose address it is"
    assert not User.objects.get(id=world.owner.id).has_usable_password()
    assert Audit.objects.get(act="user.joined").object_name == world.owner.email
    settings.OIDC_JOIN = False
    again = Client()
    come_in(again)
    assert is_in(again)


def test_the_second_factor_is_asked_for_here_too(world: World, server: OidcServer, settings: Any) -> None:
    settings.OIDC_JOIN = True
    server.who["email"] = world.owner.email
    theirs = Client()
    theirs.post("/accounts/login/", {"login": world.owner.email, "password": PASSWORD})
    _, codes = set_up(theirs)
    client = Client()
    assert come_in(client)["Location"] == "/accounts/factor/authenticate/"
    assert not is_in(client)
    client.post("/accounts/factor/authenticate/", {"code": codes[0]})
    assert is_in(client)
    settings.SECOND_FACTOR = "everybody"
    settings.IS_SIGNUP_OPEN = True
    server.who.update(sub="18", email="new@example.org")
    come_in(client := Client())
    assert client.get("/")["Location"] == "/accounts/factor/"
    set_up(client)
    assert is_in(client)


def test_what_goes_wrong_there_is_said_in_words(world: World, server: OidcServer, settings: Any) -> None:
    settings.IS_SIGNUP_OPEN = True
    client = Client()
    back = asked_there(client.get("/accounts/oidc/login/")["Location"])
    stranger = Client().get(back)
    assert (stranger.status_code, "did not say who you are" in stranger.content.decode()) == (401, True)
    assert not is_in(client)
    assert client.get("/accounts/oidc/callback/?error=access_denied").status_code == 401
    settings.OIDC_CLIENT_SECRET = "another"
    assert come_in(client).status_code == 401
    settings.OIDC_CLIENT_SECRET = CLIENT_SECRET
    del server.who["email"]
    assert "did not tell your e-mail" in come_in(client).content.decode()
    settings.OIDC_ISSUER = "http://127.0.0.1:9"
    assert client.get("/accounts/oidc/login/").status_code == 401
    assert not is_in(client)
