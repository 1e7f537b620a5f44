"""People of the tests beyond the world's four, and a ledger without a model that filled it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.test import Client
from django.utils import timezone

from chat.models import UsageRecord, User, Worker


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def live_worker(name: str, **fields: Any) -> Worker:
    """A worker that nobody runs, alive for as long as a slow machine takes for a test."""
    alive = {"state": Worker.State.READY, "beat_at": timezone.now() + timedelta(hours=1)}
    return Worker.objects.create(name=name, **{**alive, **fields})


def auditor(password_hash: str = "!") -> User:
    return User.objects.create(email="aud@example.org", name="Aud", is_staff=True, password=password_hash)


def entry(user: User, days_ago: int = 0, **fields: Any) -> UsageRecord:
    """A line of the ledger: a reply of twelve tokens in the noon of some day."""
    noon = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=days_ago)
    at: datetime = min(noon, timezone.now())
    given = {"prompt_tokens": 8, "completion_tokens": 4, "status": "completed", "model": "scripted", "created_at": at}
    return UsageRecord.objects.create(generation_id=uuid4(), user=user, user_pseudonym=user.id, **{**given, **fields})
