from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from chat.models import Feedback, Generation, Quota, UsageRecord, User
from tests.chat.people import signed_in


def test_the_demo_fills_a_team_that_can_be_looked_at_and_signed_in_to(transactional_db: None) -> None:
    told = io.StringIO()
    call_command("demo", "--days", "20", stdout=told)
    assert "nadia@demo.invalid" in told.getvalue()
    assert UsageRecord.objects.count() > 300
    assert Quota.objects.count() == 2
    assert not Generation.objects.open().exists()
    page = signed_in(User.objects.get(email="nadia@demo.invalid")).get("/admin/usage/?by=group").content.decode()
    assert all(name in page for name in ("Research", "Support", "Sales", "Administration"))
    thumbs = page[page.index('id="feedback"') :]
    assert "Nobody voted" not in thumbs and "qwen3-4b-instruct" in thumbs
    assert {"up", "down"} == set(Feedback.objects.values_list("value", flat=True))
    assert "The licence of the backup" in page and "out of order" not in page
    answer = Client().post("/accounts/login/", {"login": "amara@demo.invalid", "password": "try this demo"})
    assert answer["Location"] == "/"
    assert (
        "New: presets and prompts" in signed_in(User.objects.get(email="chen@demo.invalid")).get("/").content.decode()
    )
    with pytest.raises(CommandError, match="use already"):
        call_command("demo")
