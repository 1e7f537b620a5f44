"""The dialog of settings, and signing out everywhere else."""

from __future__ import annotations

import re
from datetime import timedelta

from django.test import Client
from django.urls import reverse
from django.utils import timezone

from chat.models import User
from tests.conftest import PASSWORD, World

HTMX = {"HX-Request": "true"}


def signed_in(world: World, name: str = "owner") -> Client:
    client = Client()
    client.force_login(getattr(world, name))
    return client


def test_T1_the_dialog_has_its_parts_and_leads_only_to_what_is_there(world: World) -> None:
    client = signed_in(world)
    dialog = client.get("/settings/", headers=HTMX).content.decode()
    assert "<html" not in dialog
    page = client.get("/settings/").content.decode()
    assert "<html" in page
    for html in (dialog, page):
        parts = re.findall(r"<h3[^>]*>([^<]*)", html)
        assert parts[:2] == ["General", "Chat"]
        assert "Security" in parts
        for address in set(re.findall(r'href="(/[^"]*)"', html)):
            assert address.startswith("/static/") or client.get(address).status_code == 200, address
    assert Client().get("/settings/").status_code == 302
    assert Client().get("/settings/", headers=HTMX).status_code == 401


def test_T1_signing_out_elsewhere_ends_the_other_sessions_of_this_person_alone(world: World) -> None:
    desk, phone, tablet, mate = signed_in(world), signed_in(world), signed_in(world), signed_in(world, "team_mate")
    address = reverse("sessions_end")
    assert desk.get(address).status_code == 405
    assert "2 other devices" in desk.post(address, headers=HTMX).content.decode()
    assert [client.get("/").status_code for client in (desk, phone, tablet, mate)] == [200, 302, 302, 200]
    assert "nowhere else" in desk.post(address).content.decode()
    assert Client().post(address).status_code == 302


FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 "
    "Mobile/15E148 Safari/604.1"
)


def on_device(user: User, user_agent: str) -> Client:
    client = Client(headers={"user-agent": user_agent})
    client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    return client


def test_T1_sessions_are_listed_by_device_and_each_can_be_ended_from_another(world: World) -> None:
    desk, phone = on_device(world.owner, FIREFOX), on_device(world.owner, IPHONE)
    signed_in(world, "team_mate")
    phone_session = world.owner.sessions.get(user_agent=IPHONE)
    dialog = desk.get("/settings/", headers=HTMX).content.decode()
    listed = re.findall(r"<bdi>(.*?)</bdi>", dialog)
    assert sorted(listed) == ["Firefox on Windows", "Safari on iPhone"]
    assert dialog.count("This device") == 1
    assert phone_session.session_key not in dialog, "a key in the page would open the session"
    [address] = re.findall(r'hx-post="(/settings/sessions/\w{32}/ending/)"', dialog)
    assert "signed out already" in signed_in(world, "team_mate").post(address, headers=HTMX).content.decode()
    assert phone.get("/").status_code == 200
    assert "Signed out there" in desk.post(address, headers=HTMX).content.decode()
    assert phone.get("/").status_code == 302
    assert desk.get("/").status_code == 200


def test_a_session_says_when_it_was_last_used_and_writes_that_down_seldom(world: World) -> None:
    client = signed_in(world)
    world.owner.sessions.update(used_at=timezone.now() - timedelta(hours=3))
    [session] = world.owner.sessions.all()
    other = signed_in(world)
    assert "Last used 3\xa0hours ago" in other.get("/settings/").content.decode()
    client.get("/settings/")
    session.refresh_from_db()
    used_at = session.used_at
    assert timezone.now() - used_at < timedelta(minutes=1)
    client.get("/settings/")
    session.refresh_from_db()
    assert session.used_at == used_at


def test_T1_another_password_ends_the_other_sessions_and_the_list_does_not_show_them(world: World) -> None:
    desk, phone = on_device(world.owner, FIREFOX), on_device(world.owner, IPHONE)
    fields = {"oldpassword": PASSWORD, "password1": "quite another password", "password2": "quite another password"}
    assert desk.post("/accounts/password/change/", fields).status_code == 302
    assert (desk.get("/").status_code, phone.get("/").status_code) == (200, 302)
    dialog = desk.get("/settings/", headers=HTMX).content.decode()
    assert re.findall(r"<bdi>(.*?)</bdi>", dialog) == ["Firefox on Windows"]
    assert "Sign them out" not in dialog


def test_who_is_activated_again_signs_in_again(world: World) -> None:
    client = signed_in(world)
    world.owner.deactivate()
    world.owner.activate()
    assert client.get("/").status_code == 302
    assert not world.owner.sessions.exists()
