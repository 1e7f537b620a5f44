"""The dialog of settings, and signing out everywhere else."""

from __future__ import annotations

import re

from django.test import Client
from django.urls import reverse

from tests.conftest import World

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
