from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple, Self

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from chat.models.ids import uuid7
from chat.refused import Refused


class Offer(NamedTuple):
    """A model that can be asked for by its name, and what it can do; `base` is the model that an adapter belongs to."""

    name: str
    base: str
    has_thinking: bool
    context_length: int
    tokens_per_s: float
    """What all its replies together get now; 0 while it writes none."""
    is_online: bool

    @property
    def is_adapter(self) -> bool:
        return self.name != self.base


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
    has_thinking = models.BooleanField(default=False, db_default=False)
    adapters = models.JSONField(default=list, blank=True)
    decode_tokens_per_s = models.FloatField(default=0, db_default=0)
    started_at = models.DateTimeField(db_default=Now())
    beat_at = models.DateTimeField(db_default=Now(), db_index=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.state})"

    @classmethod
    def lease(cls) -> timedelta:
        return timedelta(seconds=settings.LEASE_S)

    @classmethod
    def live(cls) -> models.QuerySet[Self]:
        """Workers whose beat is younger than the lease, by the clock of Postgres."""
        return cls.objects.filter(beat_at__gt=Now() - cls.lease()).exclude(state=cls.State.STOPPED)

    @classmethod
    def offers(cls) -> list[Offer]:
        """The models that workers serve, or served in the last day: those of living workers first, each once."""
        known = cls.objects.filter(beat_at__gt=Now() - timedelta(days=1)).exclude(model="")
        is_live = models.Q(beat_at__gt=Now() - cls.lease()) & ~models.Q(state=cls.State.STOPPED)
        offers: dict[str, Offer] = {}
        for worker in known.annotate(is_live=models.ExpressionWrapper(is_live, models.BooleanField())):
            for name in (worker.model, *worker.adapters):
                if name not in offers or (worker.is_live and not offers[name].is_online):
                    offers[name] = worker._offer(name, is_online=worker.is_live)
        return sorted(
            offers.values(), key=lambda offer: (not offer.is_online, offer.base, offer.is_adapter, offer.name)
        )

    def _offer(self, name: str, *, is_online: bool) -> Offer:
        speed = self.decode_tokens_per_s if is_online else 0
        return Offer(name, self.model, self.has_thinking, self.context_length, speed, is_online)

    @classmethod
    def refuse_unknown(cls, model: str) -> None:
        """Raise Refused for a model that no worker served in the last day: nobody would take up what asks for it."""
        if model and model not in {offer.name for offer in cls.offers()}:
            raise Refused(_("There is no model “{name}” here. Choose another one.").format(name=model))

    def beat(self, **changed: str | float | list[str]) -> None:
        """Say that the decode loop lives, and what changed with it."""
        type(self).objects.filter(id=self.id).update(beat_at=Now(), **changed)

    def fail(self, notice: str) -> None:
        """Say why this worker comes to its end; no beat, so that its lease runs out."""
        type(self).objects.filter(id=self.id).update(state=self.State.FAILED, notice=notice)

    def replace_predecessors(self) -> None:
        """A process of this name started, so the last one of this name is gone: its lease ends now, not later."""
        past = Now() - self.lease() - timedelta(seconds=1)
        type(self).objects.filter(name=self.name).exclude(id=self.id).update(state=self.State.STOPPED, beat_at=past)
