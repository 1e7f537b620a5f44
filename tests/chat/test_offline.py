from __future__ import annotations

import pytest
from django.test import Client

from tests.conftest import World


def test_the_page_that_is_kept_says_nothing_of_anybody(world: World) -> None:
    client = Client()
    client.force_login(world.owner)
    response = client.get("/offline/?language=en")
    page = response.content.decode()
    assert "The server cannot be reached" in page
    assert not [word for word in (world.owner.name, world.owner.email, "csrf") if word in page]
    assert "unsafe" not in response["Content-Security-Policy"]
    assert page == Client().get("/offline/?language=en").content.decode()


@pytest.mark.parametrize("language", ["ar", "zh-hans"])
def test_it_is_kept_in_the_language_of_the_reader(transactional_db: None, language: str) -> None:
    assert f'<html lang="{language}"' in Client().get(f"/offline/?language={language}").content.decode()
    assert f"/offline/?language={language}" in Client().get(f"/worker.js?language={language}").content.decode()


def test_the_service_worker_keeps_what_the_page_loads_and_is_never_stale(transactional_db: None) -> None:
    response = Client().get("/worker.js?language=en")
    assert response["Content-Type"] == "text/javascript"
    assert "no-cache" in response["Cache-Control"]
    assert "worker-src 'self'" in response["Content-Security-Policy"]
    head = response.content.decode().split("\n")[0]
    for part in ("css/base.", "css/tokens.", "css/components/entrance.", "js/early.", "js/pages/offline-page."):
        assert f'"/static/{part}' in head


def test_the_service_worker_is_another_when_the_page_is(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Client().get("/worker.js").content
    assert Client().get("/worker.js").content == first
    monkeypatch.setattr("chat.views.offline.render_to_string", lambda _: "another page")
    assert Client().get("/worker.js").content != first
