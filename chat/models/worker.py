from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, Self, cast
from uuid import UUID

from django.conf import settings
from django.core.cache import caches
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat.models.ids import uuid7
from chat.models.model_access import ModelAccess
from chat.refused import Refused

OFFERS = "offers"
OFFERS_ARE_KNOWN_S = 5


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
    is_draining = models.BooleanField(default=False, db_default=False)
    tokens_per_s = models.FloatField(default=0, db_default=0)
    reply_s = models.FloatField(null=True, blank=True)
    """How long a reply holds a slot, of late; None until one has ended."""
    has_thinking = models.BooleanField(default=False, db_default=False)
    adapters = models.JSONField(default=list, blank=True)
    started_at = models.DateTimeField(db_default=Now())
    beat_at = models.DateTimeField(db_default=Now(), db_index=True)

    # What the engine counted since its start; the ledger is held against it.
    num_prompt_tokens = models.BigIntegerField(default=0)
    num_completion_tokens = models.BigIntegerField(default=0)
    busy_s = models.FloatField(default=0)
    energy_j = models.FloatField(null=True)

    if TYPE_CHECKING:
        num_running: int
        age: timedelta
        is_live: bool

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
    def serving(cls) -> models.QuerySet[Self]:
        """Workers that take replies."""
        return cls.live().filter(state=cls.State.READY, is_draining=False)

    @classmethod
    def latest(cls) -> models.QuerySet[Self]:
        """The last life of each worker that was heard of in a day, with how many replies it runs (`num_running`)."""
        lately = cls.objects.filter(beat_at__gt=Now() - timedelta(days=1))
        last = lately.order_by("name", "-started_at").distinct("name").values("id")
        running = models.Count("generations", filter=models.Q(generations__status="running"))
        found = cls.objects.filter(id__in=last).annotate(num_running=running, age=Now() - models.F("beat_at"))
        return cast("models.QuerySet[Self]", found.order_by("name"))

    @property
    def condition(self) -> str:
        """What an operator wants to know of a worker of `latest()`, in a word."""
        if self.state in {self.State.STOPPED, self.State.FAILED}:
            return self.state
        if self.age > self.lease():
            return "lost"
        return "draining" if self.is_draining else self.state

    @property
    def condition_label(self) -> str:
        return str(CONDITIONS[self.condition])

    @property
    def beat_age_s(self) -> float:
        return max(0.0, self.age.total_seconds())

    def drain(self) -> None:
        """Ask it to take no more replies, and to hand over those that do not end soon; it hears it at its next beat."""
        type(self).objects.filter(id=self.id).update(is_draining=True)

    def undrain(self) -> None:
        """Let it take replies again."""
        type(self).objects.filter(id=self.id).update(is_draining=False)

    def beat(self, **changed: str | float | list[str] | None) -> bool:
        """Say that the decode loop lives, and what changed with it; whether it is asked to drain."""
        me = type(self).objects.filter(id=self.id)
        me.update(beat_at=Now(), **changed)
        return bool(me.values_list("is_draining", flat=True).first())

    @classmethod
    def offers(cls, user_id: UUID | None = None) -> list[Offer]:
        """The models that workers serve, or served in the last day: those of living workers first, each once.

        With a person, those only that they may ask.
        """
        known = cls.objects.filter(beat_at__gt=Now() - timedelta(days=1)).exclude(model="")
        is_live = models.Q(beat_at__gt=Now() - cls.lease()) & ~models.Q(state=cls.State.STOPPED)
        offers: dict[str, Offer] = {}
        for worker in known.annotate(is_live=models.ExpressionWrapper(is_live, models.BooleanField())):
            for name in (worker.model, *worker.adapters):
                if name not in offers or (worker.is_live and not offers[name].is_online):
                    offers[name] = worker._offer(name, is_online=worker.is_live)
        found = sorted(
            offers.values(), key=lambda offer: (not offer.is_online, offer.base, offer.is_adapter, offer.name)
        )
        caches["process"].set(OFFERS, found, OFFERS_ARE_KNOWN_S)
        return cls._open_to(user_id, found)

    @classmethod
    def _open_to(cls, user_id: UUID | None, offers: list[Offer]) -> list[Offer]:
        closed = ModelAccess.closed_to(user_id) if user_id else frozenset()
        return [offer for offer in offers if closed.isdisjoint({offer.name, offer.base})]

    def _offer(self, name: str, *, is_online: bool) -> Offer:
        speed = self.tokens_per_s if is_online else 0
        return Offer(name, self.model, self.has_thinking, self.context_length, speed, is_online)

    @classmethod
    def is_known(cls, model: str, user_id: UUID) -> bool:
        """Whether a worker served this model in the last day and this person may ask it; "" is any."""
        return not model or model in {offer.name for offer in cls.offers(user_id)}

    @classmethod
    def online(cls, user_id: UUID) -> list[str]:
        """The names of a person's offers that were online some seconds ago at most: every reply on a page asks."""
        known: list[Offer] | None = caches["process"].get(OFFERS)
        offers = cls.offers(user_id) if known is None else cls._open_to(user_id, known)
        return [offer.name for offer in offers if offer.is_online]

    @classmethod
    def refuse_unknown(cls, model: str, user_id: UUID) -> None:
        """Raise Refused for what no worker would take up: a model that none served in the last day, or one that this
        person may not ask; without a name, when all of them are such."""
        if not model and not ModelAccess.closed_to(user_id):
            return
        known, offered = cls.offers(), cls.offers(user_id)
        if not model and known and not offered:
            raise Refused(gettext("No model here is for your groups. Ask your administrator."))
        if not model or model in {offer.name for offer in offered}:
            return
        if model in {offer.name for offer in known}:
            raise Refused(gettext("The model “{name}” is for other groups. Choose another one.").format(name=model))
        raise Refused(gettext("There is no model “{name}” here. Choose another one.").format(name=model))

    @classmethod
    def answering(cls, model: str, user_id: UUID) -> Offer | None:
        """The offer that a message for this model goes to; for none in particular the base model that answers all.

        None when it is not online, or when it can't be said which it is.
        """
        online = [offer for offer in cls.offers(user_id) if offer.is_online]
        if not model and len({offer.base for offer in online}) > 1:
            return None
        return next((offer for offer in online if offer.name == model or (not model and not offer.is_adapter)), None)

    @classmethod
    def rivals(cls, first: str, second: str, user_id: UUID) -> tuple[str, str]:
        """The names of two models to compare; where the first is not named, it is one that is online.

        Raises Refused when they are not two, or one is not known.
        """
        first = first or next((name for name in cls.online(user_id) if name != second), second)
        if first == second:
            raise Refused(gettext("Choose two different models to compare."))
        cls.refuse_unknown(first, user_id)
        cls.refuse_unknown(second, user_id)
        return first, second

    def fail(self, notice: str) -> None:
        """Say why this worker comes to its end; no beat, so that its lease runs out."""
        type(self).objects.filter(id=self.id).update(state=self.State.FAILED, notice=notice)

    def replace_predecessors(self) -> None:
        """A process of this name started, so the last one of this name is gone: its lease ends now, not later."""
        past = Now() - self.lease() - timedelta(seconds=1)
        type(self).objects.filter(name=self.name).exclude(id=self.id).update(state=self.State.STOPPED, beat_at=past)


CONDITIONS = {
    "loading": _("loading"),
    "ready": _("ready"),
    "draining": _("draining"),
    "failed": _("failed"),
    "lost": _("lost"),
    "stopped": _("stopped"),
}
