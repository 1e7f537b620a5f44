"""The second factor: set up by the person, asked for at sign-in, demanded by the operator, and no way around it."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.core.cache import cache
from django.test import Client

from chat.database import db
from chat.models import Audit, User
from tests.chat.factor import code_of, set_up
from tests.chat.people import auditor, signed_in
from tests.chat.test_routes import routes
from tests.chat.test_socket import communicator, frames_until
from tests.conftest import PASSWORD, World

# What is open to those who must set a factor up first.
OPEN = {
    *("mfa_index", "mfa_activate_totp", "mfa_add_webauthn", "mfa_view_recovery_codes", "mfa_generate_recovery_codes"),
    *("mfa_reauthenticate", "mfa_reauthenticate_webauthn", "account_reauthenticate", "account_logout"),
    *("language_update", "healthz", "readyz"),
}
AUTHENTICATE = "/accounts/factor/authenticate/"


@pytest.fixture(autouse=True)
def nobody_has_tried() -> None:
    cache.clear()


def at_sign_in(user: User) -> Client:
    """Somebody who has just given their password."""
    client = Client()
    client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    return client


def set_up_long_ago(user: User) -> tuple[str, list[str]]:
    """An app whose code of just now was not used up by setting it up."""
    found = set_up(at_sign_in(user))
    cache.clear()
    return found


def test_a_person_sets_up_an_app_and_is_asked_for_its_code(world: World) -> None:
    client = at_sign_in(world.owner)
    secret, codes = set_up(client)
    assert len(set(codes)) == 10
    again = client.get("/accounts/factor/recovery-codes/").content.decode()
    assert "not shown again" in again and codes[0] not in again
    kept = str(Authenticator.objects.values_list("data", flat=True))
    assert secret not in kept and codes[0] not in kept

    client = at_sign_in(world.owner)
    assert client.get("/")["Location"].startswith("/accounts/login/")
    assert "not correct" not in client.get(AUTHENTICATE).content.decode()
    assert "Incorrect code" in client.post(AUTHENTICATE, {"code": "000000"}).content.decode()
    assert client.get("/").status_code == 302
    code = code_of(secret)
    assert client.post(AUTHENTICATE, {"code": code})["Location"] == "/"
    assert client.get("/").status_code == 200

    cache.clear()  # as another web process, or a while later
    other = at_sign_in(world.owner)
    assert "Incorrect code" in other.post(AUTHENTICATE, {"code": f" {code} "}).content.decode(), "a code is good once"
    early, late, gone = (code_of(secret, time.time() + 30 * periods) for periods in (1, -1, -3))
    assert "Incorrect code" in other.post(AUTHENTICATE, {"code": gone}).content.decode()
    for near in (early, late):
        assert at_sign_in(world.owner).post(AUTHENTICATE, {"code": near})["Location"] == "/", "clocks differ a little"
    assert other.post(AUTHENTICATE, {"code": codes[3]})["Location"] == "/"
    other = at_sign_in(world.owner)
    assert "Incorrect code" in other.post(AUTHENTICATE, {"code": codes[3]}).content.decode()
    acts = Audit.objects.filter(object_id=str(world.owner.id)).order_by("id").values_list("act", "details")
    added = [("second_factor.added", {"kind": kind}) for kind in ("totp", "recovery_codes")]
    assert sorted(acts, key=str) == sorted(added, key=str)


def test_codes_cannot_be_guessed(world: World) -> None:
    secret, _ = set_up_long_ago(world.owner)
    client = at_sign_in(world.owner)
    for _attempt in range(5):
        assert "Incorrect code" in client.post(AUTHENTICATE, {"code": "123456"}).content.decode()
    answer = client.post(AUTHENTICATE, {"code": code_of(secret)})
    assert "Too many" in answer.content.decode()
    assert client.get("/").status_code == 302


def test_the_sessions_that_were_made_without_it_end(world: World) -> None:
    before, client = signed_in(world.owner), at_sign_in(world.owner)
    assert before.get("/").status_code == 200
    set_up(client)
    assert before.get("/").status_code == 302
    assert client.get("/").status_code == 200


def test_it_is_changed_only_by_who_has_just_shown_who_they_are(world: World) -> None:
    stolen = signed_in(world.owner)
    for page in ("totp/activate/", "passkeys/add/"):
        answer = stolen.get(f"/accounts/factor/{page}")
        assert answer["Location"].startswith("/accounts/reauthenticate/")
    answer = stolen.post("/accounts/reauthenticate/", {"password": PASSWORD, "next": "/accounts/factor/totp/activate/"})
    assert answer["Location"] == "/accounts/factor/totp/activate/"
    set_up(stolen)
    answer = stolen.post("/accounts/factor/totp/deactivate/")
    assert answer["Location"] == "/accounts/factor/"
    assert not User.objects.get(id=world.owner.id).has_second_factor
    assert not Authenticator.objects.exists(), "recovery codes alone are good for nothing"


def test_a_passkey_is_renamed_by_its_owner_who_has_just_shown_who_they_are(world: World) -> None:
    passkey = Authenticator.objects.create(user=world.owner, type="webauthn", data={"name": "Key", "credential": {}})
    address = f"/accounts/factor/passkeys/{passkey.pk}/name/"

    def name() -> str:
        return str(Authenticator.objects.get(pk=passkey.pk).wrap().name)

    assert signed_in(world.owner).post(address, {"name": "Stolen"})["Location"].startswith("/accounts/reauthenticate/")
    assert at_sign_in(world.team_mate).post(address, {"name": "Theirs"}).status_code == 404
    client = signed_in(world.owner)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD, "next": address})
    assert f'href="{address}"' in client.get("/accounts/factor/").content.decode()
    assert 'value="Key"' in client.get(address).content.decode()
    for nonsense in ("", "  ", "x" * 61, "a\x00b"):
        assert client.post(address, {"name": nonsense}).status_code == 200
    assert name() == "Key"
    assert client.post(address, {"name": " My <b>phone</b> "})["Location"] == "/accounts/factor/"
    assert name() == "My <b>phone</b>"
    assert "My &lt;b&gt;phone&lt;/b&gt;" in client.get("/accounts/factor/").content.decode()
    assert Audit.objects.get(act="second_factor.renamed").details == {"kind": "webauthn"}


def test_the_admin_has_no_entrance_of_its_own(world: World) -> None:
    set_up_long_ago(world.admin)
    client = Client()
    answer = client.post("/admin/login/?next=/admin/chat/", {"username": world.admin.email, "password": PASSWORD})
    assert answer["Location"] == "/accounts/login/?next=/admin/chat/"
    assert client.get("/admin/").status_code == 302
    assert signed_in(world.owner).get("/admin/login/").status_code == 403
    assert signed_in(world.admin).get("/admin/login/")["Location"] == "/admin/"
    assert signed_in(auditor()).get("/admin/mfa/authenticator/").status_code == 404, "secrets are not for reading"


async def test_I8_a_socket_is_not_opened_before_the_second_factor(world: World) -> None:
    await db(set_up_long_ago, world.owner)
    client = await db(at_sign_in, world.owner)
    socket = communicator("; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items()))
    assert await socket.connect() == (False, 4401)


def is_led(client: Client, address: str, **headers: str) -> bool:
    answer = client.get(address, headers=headers)
    return answer.status_code == 302 and answer["Location"] == "/accounts/factor/"


def test_who_must_have_one_and_has_none_is_led_there_and_can_do_nothing_else(world: World, settings: Any) -> None:
    settings.SECOND_FACTOR = "everybody"
    client = at_sign_in(world.owner)
    shut = [route for route in routes() if route.name not in OPEN]
    ids = [name for route in shut for name in re.findall(r"<uuid:(\w+)>", route.path)]
    known: dict[str, object] = {"pk": 1, **dict.fromkeys(ids, world.owner.id)}
    assert len(shut) > 100
    assert [route.path for route in shut if not is_led(client, route.address(known))] == []
    assert client.get("/", headers={"HX-Request": "true"}).status_code == 401
    assert "asks you for a second factor" in client.get("/accounts/factor/").content.decode()
    set_up(client)
    assert client.get("/").status_code == 200
    client.post("/accounts/factor/totp/deactivate/")
    assert is_led(client, "/")


def test_the_operator_may_ask_it_of_those_alone_who_come_into_the_admin(world: World, settings: Any) -> None:
    settings.SECOND_FACTOR = "admins"
    assert is_led(signed_in(world.admin), "/admin/")
    assert is_led(signed_in(auditor()), "/")
    assert signed_in(world.owner).get("/").status_code == 200


@pytest.mark.parametrize("is_open", [False, True])
async def test_a_socket_follows_what_the_operator_asks(world: World, settings: Any, is_open: bool) -> None:
    client = await db(signed_in, world.owner)
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    settings.SECOND_FACTOR = "optional" if is_open else "everybody"
    socket = communicator(cookie)
    assert (await socket.connect())[0] is is_open
    if is_open:
        await asyncio.sleep(0.2)
        settings.SECOND_FACTOR = "everybody"
        await db(world.owner.save)
        await frames_until(socket, "session.ended")
        await socket.wait()


def test_an_administrator_forgets_the_factor_of_who_lost_it(world: World) -> None:
    client = at_sign_in(world.owner)
    set_up(client)
    assert (
        world.owner.email in signed_in(world.admin).get("/admin/chat/user/?has_second_factor__exact=1").content.decode()
    )
    action = {"action": "forget_second_factor", "_selected_action": [str(world.owner.id)]}
    signed_in(auditor()).post("/admin/chat/user/", action)
    assert client.get("/").status_code == 200
    signed_in(world.admin).post("/admin/chat/user/", action)
    assert client.get("/").status_code == 302
    assert at_sign_in(world.owner).get("/").status_code == 200
    assert Audit.objects.latest("id").act == "user.second_factor_forgotten"
