"""Nonsense in the environment is refused at start, in one sentence that says what would do."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

SETTINGS = Path(__file__).resolve().parent.parent / "qwenweb" / "settings.py"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"QWENWEB_SECRET_KEY": "short"}, "too weak"),
        ({"QWENWEB_SECRET_KEY": "t0p-s3cr3t" * 2}, "too weak"),
        ({"QWENWEB_SECRET_KEY": "a" * 60}, "too weak"),
        ({"QWENWEB_SECRET_KEY": ""}, "There is no secret key"),
        ({"QWENWEB_SECOND_FACTOR": "always"}, "must be optional, admins or everybody, not “always”"),
        ({"QWENWEB_OIDC_ISSUER": "http://login.example.org"}, "must be an address with https://"),
        ({"QWENWEB_OIDC_ISSUER": "https://login.example.org"}, "needs QWENWEB_OIDC_CLIENT_ID"),
        ({"QWENWEB_MODERATION_REPLIES": "true"}, "needs QWENWEB_MODERATION_URL"),
        ({"QWENWEB_OIDC_JOIN": "perhaps"}, "must be true or false, not “perhaps”"),
    ],
)
def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch, values: dict[str, str], said: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured, match=said):
        runpy.run_path(str(SETTINGS))


def test_the_secret_of_another_server_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("between the two\n")
    monkeypatch.setenv("QWENWEB_OIDC_CLIENT_SECRET_FILE", str(secret))
    monkeypatch.setenv("QWENWEB_OIDC_ISSUER", "https://login.example.org/realms/staff/")
    monkeypatch.setenv("QWENWEB_OIDC_CLIENT_ID", "page")
    read = runpy.run_path(str(SETTINGS))
    assert (read["OIDC_CLIENT_SECRET"], read["OIDC_NAME"]) == ("between the two", "login.example.org")
