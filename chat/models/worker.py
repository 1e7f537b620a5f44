from __future__ import annotations

from datetime import timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from chat.models.ids import uuid7


class Worker(models.Model):
    """One life of an inference worker process, as Postgres knows it; its beat is the lease of all replies it runs."""

    class State(models.TextChoices):
        LOADING = "loading"
        READY = "ready"
        FAILED = "failed"
        STOPPED = "stopped"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100, db_index=True)
    state = models.CharField(max_length=7, choices=State, default=State.LOADING)
    notice = models.CharField(max_length=300, blank=True)
    model = models.CharField(max_length=200, blank=True)
    revision = models.CharField(max_length=300, blank=True)
    device = models.CharField(max_length=100, blank=True)
    context_length = models.PositiveIntegerField(default=0)
    num_slots = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(db_default=Now())
    beat_at = models.DateTimeField(db_default=Now(), db_index=True)

    # What the engine counted since its start; the ledger is held against it.
    num_prompt_tokens = models.BigIntegerField(default=0)
    num_completion_tokens = models.BigIntegerField(default=0)
    busy_s = models.FloatField(default=0)
    energy_j = models.FloatField(null=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.state})"

    @classmethod
    def lease(cls) -> timedelta:
        return timedelta(seconds=settings.LEASE_S)

    @classmethod
    def live(cls) -> models.QuerySet[Self]:
        """Workers whose beat is younger than the lease, by the clock of Postgres."""
        return cls.objects.filter(beat_at__gt=Now() - cls.lease()).exclude(state=cls.State.STOPPED)

    def beat(self, **changed: str | float | None) -> None:
        """Say that the decode loop lives, and what changed with it."""
        type(self).objects.filter(id=self.id).update(beat_at=Now(), **changed)

    def fail(self, notice: str) -> None:
        """Say why this worker comes to its end; no beat, so that its lease runs out."""
        type(self).objects.filter(id=self.id).update(state=self.State.FAILED, notice=notice)

    def replace_predecessors(self) -> None:
        """A process of this name started, so the last one of this name is gone: its lease ends now, not later."""
        past = Now() - self.lease() - timedelta(seconds=1)
        type(self).objects.filter(name=self.name).exclude(id=self.id).update(state=self.State.STOPPED, beat_at=past)
