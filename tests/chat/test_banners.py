"""Banners of the administrator above every page: for whom, from when until when, and dismissed for good."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.test import Client
from django.utils import timezone

from chat.models import Audit, Banner
from tests.chat.people import auditor, signed_in
from tests.conftest import World

PAGES = ("/", "/settings/usage/", "/settings/links/", "/archive/")


def banner(text: str, **fields: Any) -> Banner:
    return Banner.objects.create(text=text, **fields)


def shows(client: Client, text: str, address: str = "/") -> bool:
    return text in client.get(address, follow=True).content.decode()


def form_of(level: str, text: str, **fields: str) -> dict[str, str]:
    given = {"level": level, "text": text, "audience": "everyone", "starts_at_0": "2026-01-01", "starts_at_1": "00:00"}
    return {**given, "ends_at_0": "", "ends_at_1": "", **fields}


def test_T5_the_administrator_sets_a_banner_and_each_person_dismisses_it_for_good(world: World) -> None:
    admin, owner, team_mate = (signed_in(person) for person in (world.admin, world.owner, world.team_mate))
    added = admin.post("/admin/chat/banner/add/", form_of("warning", "Updates <b>tonight</b>, see https://example.org"))
    assert added.status_code == 302
    found = Banner.objects.get()
    for client, pages in ((owner, PAGES), (team_mate, PAGES), (admin, ("/admin/", "/admin/usage/")), (Client(), "/")):
        for page in pages:
            assert shows(client, "Updates &lt;b&gt;tonight&lt;/b&gt;", page), page
    html = owner.get("/").content.decode()
    assert 'role="status"' in html[html.index("notices__item--warning") :][:60]
    assert '<a href="https://example.org" rel="nofollow">' in html

    address = f"/banners/{found.id}/dismissal/"
    assert owner.post(address, {"next": "/archive/"})["Location"] == "/archive/"
    assert team_mate.post(address, {"next": "https://evil.example/"})["Location"] == "/"
    assert not any(shows(client, "Updates", page) for client in (owner, team_mate) for page in PAGES)
    assert not shows(signed_in(world.owner), "Updates"), "nor on another device"
    assert shows(signed_in(world.outsider), "Updates")
    answer = signed_in(world.outsider).post(address, headers={"HX-Request": "true"})
    assert (answer.status_code, answer.content) == (200, b"")

    changed = form_of("warning", "Updates tomorrow")
    assert admin.post(f"/admin/chat/banner/{found.id}/change/", changed).status_code == 302
    assert shows(owner, "Updates tomorrow"), "other words are another banner"
    acts = list(Audit.objects.order_by("id").values_list("act", flat=True))
    assert acts == ["banner.added", "banner.changed"]


def test_T5_an_error_stays_and_a_banner_has_a_start_and_an_end_and_readers(world: World) -> None:
    now = timezone.now()
    error = banner("Disk full", level="error")
    inside = banner("For us", audience="admins")
    later = banner("Not yet", starts_at=now + timedelta(hours=1))
    over = banner("Over", starts_at=now - timedelta(hours=2), ends_at=now - timedelta(hours=1))
    owner, admin, looker = signed_in(world.owner), signed_in(world.admin), signed_in(auditor())
    page = owner.get("/").content.decode()
    assert 'role="alert"' in page[page.index("notices__item--error") :][:60]
    assert f"/banners/{error.id}/" not in page, "there is nothing to dismiss an error with"
    assert [shows(owner, text) for text in ("Disk full", "For us", "Not yet", "Over")] == [True, False, False, False]
    assert [shows(client, "For us") for client in (admin, looker)] == [True, True]
    for hidden in (error, inside, later, over):
        assert owner.post(f"/banners/{hidden.id}/dismissal/").status_code == 404
    assert owner.post(f"/banners/{uuid4()}/dismissal/").status_code == 404
    assert shows(owner, "Disk full")
    assert Client().post(f"/banners/{error.id}/dismissal/").status_code == 302

    backwards = form_of("info", "x", ends_at_0="2025-12-31", ends_at_1="00:00")
    assert "The end comes before the start" in admin.post("/admin/chat/banner/add/", backwards).content.decode()
    for refused in (owner, looker):
        assert refused.post("/admin/chat/banner/add/", form_of("info", "x")).status_code in {302, 403}
    assert Banner.objects.count() == 4


def test_sending_a_message_asks_for_no_banner(world: World) -> None:
    banner("Hello all")
    client = signed_in(world.owner)
    answer = client.post("/c/", {"text": "Hi", "client_id": "c1"}, headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert "Hello all" not in answer.content.decode()
