"""Sign-in with another server: who it may bring, and whose account it may open."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.cache import cache
from django.test import Client

from chat.models import Audit, User
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
