from __future__ import annotations

from copy import copy
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection, models, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from chat import diagram, failures, hints, markdown
from chat.models import queue
from chat.models.again import Again
from chat.models.fair_share import FairShare
from chat.models.ids import uuid7
from chat.models.imported import Imported
from chat.models.message import Message
from chat.models.quota import Quota
from chat.models.usage import UsageRecord
from chat.models.user import User
from chat.models.worker import Worker
from chat.refused import Refused
from chat.reply_stream import Told
from chat.text import clean_text
from inference.contract import Finished, Started, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class GenerationQuerySet(models.QuerySet["Generation"]):
    def queued(self) -> Self:
        return self.filter(status=Generation.Status.QUEUED)

    def running(self) -> Self:
        return self.filter(status=Generation.Status.RUNNING)

    def open(self) -> Self:
        return self.queued() | self.running()

    def orphaned(self) -> Self:
        """Running, but the worker's lease has ended. Not judged before Postgres itself has been up for a lease."""
        living = Worker.objects.filter(id=models.OuterRef("worker_id"), beat_at__gt=Now() - Worker.lease())
        return self.running().filter(~models.Exists(living)) if _postgres_is_settled() else self.none()


class Generation(Again, Imported):
    """The making of one reply: its state, who holds it, how it was made and what it cost.

    Every write of a worker carries the attempt it was claimed with; a stale attempt changes nothing (I4). A reply that
    is continued, or handed over from one worker to the next, has one attempt more: its tokens and its time on the
    device add up, the rest tells of the last one.
    """

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        COMPLETED = "completed"
        STOPPED = "stopped"
        FAILED = "failed"
        INTERRUPTED = "interrupted"

    class Priority(models.IntegerChoices):
        INTERACTIVE = 0
        API = 1
        BACKGROUND = 2

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    message = models.OneToOneField(Message, on_delete=models.CASCADE, related_name="generation")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="generations")
    client_id = models.CharField(max_length=64)
    status = models.CharField(max_length=11, choices=Status, default=Status.QUEUED)
    priority = models.PositiveSmallIntegerField(choices=Priority, default=Priority.INTERACTIVE)
    attempt = models.PositiveIntegerField(default=0)
    worker = models.ForeignKey(Worker, on_delete=models.SET_NULL, null=True, blank=True, related_name="generations")

    queued_at = models.DateTimeField(db_default=Now())
    claimed_at = models.DateTimeField(null=True, blank=True)
    handed_over_at = models.DateTimeField(null=True, blank=True)
    num_lost = models.PositiveSmallIntegerField(default=0, db_default=0)
    stop_requested_at = models.DateTimeField(null=True, blank=True)
    answer_requested_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    model = models.CharField(max_length=200, blank=True)
    revision = models.CharField(max_length=300, blank=True)
    device = models.CharField(max_length=100, blank=True)
    dtype = models.CharField(max_length=30, blank=True)
    sampling = models.JSONField(default=dict, blank=True)
    seed = models.PositiveBigIntegerField(null=True, blank=True)

    reserved_tokens = models.PositiveIntegerField(default=0, db_default=0)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    reasoning_tokens = models.PositiveIntegerField(default=0)
    cached_tokens = models.PositiveIntegerField(default=0)
    num_dropped_messages = models.PositiveIntegerField(default=0)
    queue_ms = models.FloatField(default=0)
    expected_ms = models.FloatField(null=True, blank=True)
    """How long the wait was to be in all, as it was told first; null when nobody was told."""
    prefill_ms = models.FloatField(default=0)
    decode_ms = models.FloatField(default=0)
    ttft_ms = models.FloatField(null=True, blank=True)
    reasoning_ms = models.FloatField(default=0)
    device_s = models.FloatField(default=0)
    finish_reason = models.CharField(max_length=9, blank=True)
    error_code = models.CharField(max_length=30, blank=True)
    error_text = models.CharField(max_length=500, blank=True)

    objects = GenerationQuerySet.as_manager()

    if TYPE_CHECKING:
        requested_by_id: UUID
        message_id: UUID
        worker_id: UUID | None

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["requested_by", "client_id"], name="generation_once_per_client_id"),
        )
        indexes = (
            models.Index(
                fields=["status", "priority", "queued_at"],
                name="generation_open",
                condition=models.Q(status__in=["queued", "running"]),
            ),
            models.Index(
                fields=["claimed_at"], name="generation_expected", condition=models.Q(expected_ms__isnull=False)
            ),
        )

    def __str__(self) -> str:
        return f"{self.status} generation {self.id}"

    @property
    def is_over(self) -> bool:
        return self.status not in {self.Status.QUEUED, self.Status.RUNNING}

    @property
    def open_attempt(self) -> int:
        """The attempt that writes the reply, or is going to."""
        return self.attempt + 1 if self.status == self.Status.QUEUED else self.attempt

    @property
    def can_resume(self) -> bool:
        """Whether the reply ended before the model was done with it."""
        is_cut = self.status == self.Status.COMPLETED and self.finish_reason == "length"
        return is_cut or self.status in {self.Status.STOPPED, self.Status.INTERRUPTED}

    @property
    def failure(self) -> str:
        """Why there is no whole reply, for who reads it now."""
        return failures.in_words(self.error_text)

    @property
    def reasoning_s(self) -> int:
        return max(1, round(self.reasoning_ms / 1000))

    @property
    def tokens_per_s(self) -> float:
        return self.completion_tokens / self.decode_ms * 1000 if self.decode_ms else 0.0

    def copied(self, message: Message) -> Self:
        """This generation as a new row for the copy of its reply, not saved yet; its usage is not counted again."""
        twin = copy(self)
        twin.id, twin.message, twin.client_id = uuid7(), message, str(uuid4())
        twin.source = twin.repeats = twin.rival = None
        twin._state.adding = True
        return twin

    @classmethod
    def claim(
        cls, worker: Worker, most: int, on_left: Callable[[set[UUID]], object] = hints.wake_holders
    ) -> list[Generation]:
        """Give up to `most` queued generations to a worker, the fairest first: see chat/models/queue.py. `on_left`
        hears of the workers to which something was left."""
        with transaction.atomic():
            claimed = queue.claim(worker, most)
        if claimed.holders:
            on_left(claimed.holders)
        mine = cls.objects.filter(id__in=claimed.ids, worker=worker)
        return list(mine.select_related("message").order_by("queued_at"))

    def place(self) -> queue.Place | None:
        """The place in the queue; None when it waits no longer."""
        return queue.places([self.id]).get(self.id)

    @classmethod
    def moving(cls) -> GenerationQuerySet:
        """Those that a worker handed over and none has taken up since, for so long that people wonder."""
        return cls.objects.queued().filter(handed_over_at__lt=Now() - PATIENCE)

    @classmethod
    def held(cls, worker: Worker, known: Iterable[UUID]) -> list[Generation]:
        """What a worker holds and does not know of: claimed for it, but the answer was lost on its way."""
        return list(cls.objects.running().filter(worker=worker).exclude(id__in=list(known)).select_related("message"))

    def stop(self) -> None:
        """End the reply with the text it has: at once while it is queued, else as soon as its worker hears of it."""
        mine = type(self).objects.filter(id=self.id)
        if mine.queued().update(status=self.Status.STOPPED, finish_reason="cancelled", ended_at=Now()):
            hints.reply_over(self.requested_by_id, self.id)
            hints.conversation_changed(self.requested_by_id, self.message.conversation_id)
        elif mine.running().update(stop_requested_at=Now()):
            hints.stop(self.id)

    @classmethod
    def stop_all_of(cls, user: User) -> None:
        """End every reply that a person has open."""
        for generation in cls.objects.open().filter(requested_by=user).select_related("message"):
            generation.stop()

    def answer_now(self) -> None:
        """Go on to the answer as soon as the worker hears of it; nothing to a reply that is over."""
        if type(self).objects.open().filter(id=self.id).update(answer_requested_at=Now()):
            hints.answer_now(self.id)

    def resume(self) -> None:
        """Queue a reply that ended too early again, to go on from the text it has; one that is open stays as it is.

        Raises Refused when there is nothing to go on with, or the conversation went on from somewhere else.
        """
        ends = {self.message_id, self.rival.message_id if self.rival else None}
        if self.message.conversation.active_leaf_id not in ends:
            raise Refused(_("The conversation has gone on from here. Reload the page to see how."))
        early = models.Q(status__in=[self.Status.STOPPED, self.Status.INTERRUPTED])
        cut = models.Q(status=self.Status.COMPLETED, finish_reason="length")
        ended_early = type(self).objects.filter(early | cut, id=self.id)
        if self._queue_again(ended_early):
            hints.wake()
            hints.conversation_changed(self.requested_by_id, self.message.conversation_id)
        elif not type(self).objects.open().filter(id=self.id).exists():
            raise Refused(_("This reply has nothing left to continue. Ask for another one."))

    def _queue_again(self, ended_early: GenerationQuerySet) -> int:
        """Whether it was still to be queued; raises Refused when there is no room for what comes."""
        if not ended_early.exists():
            return 0
        Worker.refuse_unknown(self.asked_model, self.requested_by_id)
        with Quota.admitting(self.requested_by_id, self.most_tokens) as reserved:
            afresh = {**NOT_ENDED, "queued_at": Now(), "handed_over_at": None, "num_lost": 0}
            return ended_early.update(status=self.Status.QUEUED, reserved_tokens=reserved, **afresh)

    def most_tokens(self) -> int:
        """How many tokens the next attempt takes at most, prompt and reply."""
        known = self.prompt_tokens + self.completion_tokens or self.message.conversation.most_prompt_tokens()
        return known + self.most_new_tokens

    @property
    def most_new_tokens(self) -> int:
        sampling = self.sampling or self.asked_sampling
        return int(sampling.get("max_tokens") or settings.MAX_TOKENS)

    def finish(self, told: Told, started: Started | None, finished: Finished, **how: Any) -> str | None:
        """Store the end of this attempt with all that was told; the new status, or None when the attempt is stale."""
        status = {
            "stop": self.Status.COMPLETED,
            "length": self.Status.COMPLETED,
            "cancelled": self.Status.STOPPED,
            "error": self.Status.FAILED,
        }[finished.reason]
        return self._end(status, told, finished.timings.energy_j, **_made(started, finished), **how)

    def hand_over(
        self, told: Told, started: Started | None, finished: Finished, *, is_lost: bool, **how: Any
    ) -> str | None:
        """Queue the reply again with the text it has, for another worker to go on from there; the new status, or None.

        `is_lost` says that the worker died or hung: a reply that this happens to twice is interrupted, as it may be the
        reason. The attempt after this one is spent on the fence in the stream.
        """
        with transaction.atomic():
            mine = type(self).objects.running().select_for_update().filter(id=self.id, attempt=self.attempt).first()
            if mine is None:
                return None
            if mine.stop_requested_at:
                status, end = self.Status.STOPPED, STOPPED
            elif is_lost and mine.num_lost:
                status, end = self.Status.INTERRUPTED, LOST
            else:
                status, end = self.Status.QUEUED, {**NOT_ENDED, "queued_at": Now(), "handed_over_at": Now()}
            end = {**end, "attempt": self.attempt + 1, "num_lost": mine.num_lost + is_lost}
            made = {**_made(started, finished), **how, **end}
            return self._end(status, told, finished.timings.energy_j, **made)

    def rescue(self, told: Told) -> str | None:
        """Hand over a reply whose worker is gone, from what people were shown of it; the new status, or None.

        A reply that was there before was shown with the text it had, even if its worker told nothing.
        """
        shown = replace(
            told,
            text=max(told.text, self.message.text, key=len),
            reasoning=max(told.reasoning, self.message.reasoning, key=len),
        )
        usage = Usage(completion_tokens=told.num_tokens, reasoning_tokens=told.num_reasoning_tokens)
        return self.hand_over(shown, None, Finished("error", usage), is_lost=True)

    def _end(self, status: str, told: Told, energy_j: float | None = None, **how: Any) -> str | None:
        text, reasoning = clean_text(told.text), clean_text(told.reasoning)
        html, is_complete = markdown.render(text), status == self.Status.COMPLETED
        # A stop must be quick, and a rescue has others to rescue: their diagrams stay sources.
        rendered = {"html": diagram.drawn(html) if is_complete else html, "reasoning_html": markdown.render(reasoning)}
        if self.repeats_id:
            how["first_difference"] = self.difference_from_repeated(text)
        with transaction.atomic():
            mine = type(self).objects.running().filter(id=self.id, attempt=self.attempt)
            sums = {name: models.F(name) + how[name] for name in ADDED_UP if name in how}
            sums["reasoning_ms"] = models.F("reasoning_ms") + told.reasoning_ms
            if not mine.update(**{"status": status, "ended_at": Now(), **how, **sums}):
                if not type(self).objects.filter(id=self.id).exists():
                    self._enter_usage(status, how, energy_j)  # its chat was deleted; what it cost is not
                return None
            Message.objects.filter(id=self.message_id).update(text=text, reasoning=reasoning, **rendered)
            if is_complete and (heading := markdown.heading_of(text)):
                self.message.conversation.improve_title(self.message, heading)
            is_over = status != self.Status.QUEUED
            self._enter_usage(status if is_over else UsageRecord.HANDED_OVER, how, energy_j)
            # An engine that does not know its share of the device is charged for the time it took.
            busy_s = (how.get("prefill_ms", 0) + how.get("decode_ms", 0)) / 1000
            FairShare.charge(self.requested_by_id, self.priority, how.get("device_s") or busy_s)
        if is_over:
            hints.conversation_changed(self.requested_by_id, self.message.conversation_id)
        else:
            hints.wake()
        return status

    def _enter_usage(self, status: str, how: dict[str, Any], energy_j: float | None) -> None:
        fields = ("prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens", "ttft_ms")
        record = UsageRecord(
            generation_id=self.id,
            attempt=self.attempt,
            user=User.objects.filter(id=self.requested_by_id).first(),
            user_pseudonym=self.requested_by_id,
            model=how.get("model") or self.model or (self.worker.model if self.worker else ""),
            source=UsageRecord.Source.API if self.priority == self.Priority.API else UsageRecord.Source.PAGE,
            worker_id=self.worker_id,
            device_s=how.get("device_s") or None,
            energy_j=energy_j,
            queue_ms=self.queue_ms,
            status=status,
            **{field: how[field] for field in fields if field in how},
        )
        # Told again by a worker that did not hear of the first time, it is there already.
        UsageRecord.objects.bulk_create([record], ignore_conflicts=True)

    @classmethod
    def statuses(cls, ids: Iterable[UUID]) -> dict[UUID, str]:
        return dict(cls.objects.filter(id__in=list(ids)).values_list("id", "status"))


# A page asks after two seconds of silence, and its clock is not that of Postgres.
PATIENCE = timedelta(seconds=1.8)
ADDED_UP = ("completion_tokens", "reasoning_tokens", "decode_ms", "device_s")
NOT_ENDED: dict[str, Any] = {
    "worker": None,
    "claimed_at": None,
    "stop_requested_at": None,
    "ended_at": None,
    "finish_reason": "",
    "error_code": "",
    "error_text": "",
    "expected_ms": None,
}

WORKER_LOST = "The worker that wrote this reply stopped unexpectedly. What it had written is kept."
LOST: dict[str, Any] = {"finish_reason": "error", "error_code": "worker_lost", "error_text": WORKER_LOST}
STOPPED: dict[str, Any] = {"finish_reason": "cancelled", "error_code": "", "error_text": ""}


def _made(started: Started | None, finished: Finished) -> dict[str, Any]:
    """What an engine says of a run, for the row of its generation."""
    usage, timings, failure = finished.usage, finished.timings, finished.failure
    return {
        "finish_reason": finished.reason,
        "error_code": failure.code if failure else "",
        "error_text": failure.message if failure else "",
        "seed": started.seed if started else None,
        "num_dropped_messages": started.num_dropped_messages if started else 0,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cached_tokens": usage.cached_tokens,
        "prefill_ms": timings.prefill_ms,
        "decode_ms": timings.decode_ms,
        "device_s": timings.device_s,
    }


def _postgres_is_settled() -> bool:
    """Whether Postgres is up for a lease: before, living workers may not have been able to say that they live."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT now() - pg_postmaster_start_time() > make_interval(secs => %s)", [Worker.lease().total_seconds()]
        )
        return bool(cursor.fetchone()[0])
