from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection, models, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from chat import failures, hints, markdown
from chat.models.again import Again
from chat.models.ids import uuid7
from chat.models.message import Message
from chat.models.usage import UsageRecord
from chat.models.worker import Worker
from chat.refused import Refused
from chat.reply_stream import Told
from chat.text import clean_text
from inference.contract import Finished, Started

if TYPE_CHECKING:
    from collections.abc import Iterable


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


class Generation(Again):
    """The making of one reply: its state, who holds it, how it was made and what it cost.

    Every write of a worker carries the attempt it was claimed with; a stale attempt changes nothing (I4). A reply that
    is continued has one attempt more: its tokens and its time on the device add up, the rest tells of the last one.
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
    stop_requested_at = models.DateTimeField(null=True, blank=True)
    answer_requested_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    model = models.CharField(max_length=200, blank=True)
    revision = models.CharField(max_length=300, blank=True)
    device = models.CharField(max_length=100, blank=True)
    dtype = models.CharField(max_length=30, blank=True)
    sampling = models.JSONField(default=dict, blank=True)
    seed = models.PositiveBigIntegerField(null=True, blank=True)
    enable_thinking = models.BooleanField(null=True, blank=True)
    asked_model = models.CharField(max_length=200, blank=True, default="", db_default="")
    thinking_budget = models.PositiveIntegerField(null=True, blank=True)
    system_prompt = models.TextField(blank=True, default="", db_default="")

    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    reasoning_tokens = models.PositiveIntegerField(default=0)
    cached_tokens = models.PositiveIntegerField(default=0)
    num_dropped_messages = models.PositiveIntegerField(default=0)
    queue_ms = models.FloatField(default=0)
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
        twin.source = twin.repeats = None
        twin._state.adding = True
        return twin

    @classmethod
    def claim(cls, worker: Worker, most: int) -> list[Generation]:
        """Give up to `most` queued generations to a worker, the fairest first.

        Fair is: interactive before the rest; then who has fewest replies running or ahead in the queue; then who
        waits longest. The advisory lock makes claims one after another, so that two workers never judge by the same
        counts.
        """
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('chat_generation.claim'))")
            cursor.execute(CLAIM, {"worker": worker.id, "most": most})
            claimed = [row[0] for row in cursor.fetchall()]
        return list(cls.objects.filter(id__in=claimed, worker=worker).select_related("message").order_by("queued_at"))

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

    def answer_now(self) -> None:
        """Go on to the answer as soon as the worker hears of it; nothing to a reply that is over."""
        if type(self).objects.open().filter(id=self.id).update(answer_requested_at=Now()):
            hints.answer_now(self.id)

    def resume(self) -> None:
        """Queue a reply that ended too early again, to go on from the text it has; one that is open stays as it is.

        Raises Refused when there is nothing to go on with, or the conversation went on from somewhere else.
        """
        if self.message.conversation.active_leaf_id != self.message_id:
            raise Refused(_("The conversation has gone on from here. Reload the page to see how."))
        early = models.Q(status__in=[self.Status.STOPPED, self.Status.INTERRUPTED])
        cut = models.Q(status=self.Status.COMPLETED, finish_reason="length")
        ended_early = type(self).objects.filter(early | cut, id=self.id)
        if ended_early.update(status=self.Status.QUEUED, queued_at=Now(), **NOT_ENDED):
            hints.wake()
            hints.conversation_changed(self.requested_by_id, self.message.conversation_id)
        elif not type(self).objects.open().filter(id=self.id).exists():
            raise Refused(_("This reply has nothing left to continue. Ask for another one."))

    def finish(self, told: Told, started: Started | None, finished: Finished, **how: Any) -> str | None:
        """Store the end of this attempt with all that was told; the new status, or None when the attempt is stale."""
        status = {
            "stop": self.Status.COMPLETED,
            "length": self.Status.COMPLETED,
            "cancelled": self.Status.STOPPED,
            "error": self.Status.FAILED,
        }[finished.reason]
        if finished.failure and finished.failure.code == "shutdown":
            status = self.Status.INTERRUPTED
        usage, timings = finished.usage, finished.timings
        return self._end(
            status,
            told,
            finish_reason=finished.reason,
            error_code=finished.failure.code if finished.failure else "",
            error_text=finished.failure.message if finished.failure else "",
            seed=started.seed if started else None,
            num_dropped_messages=started.num_dropped_messages if started else 0,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            cached_tokens=usage.cached_tokens,
            prefill_ms=timings.prefill_ms,
            decode_ms=timings.decode_ms,
            device_s=timings.device_s,
            **how,
        )

    def interrupt(self, told: Told) -> str | None:
        """Store what people were shown of a reply whose worker is gone.

        A continued reply was shown with the text it had, even if its worker told nothing. The attempt after this one is
        spent on the fence in the stream.
        """
        shown = Told(max(told.text, self.message.text, key=len), max(told.reasoning, self.message.reasoning, key=len))
        return self._end(
            self.Status.INTERRUPTED,
            shown,
            attempt=self.attempt + 1,
            finish_reason="error",
            error_code="worker_lost",
            error_text=WORKER_LOST,
        )

    def _end(self, status: str, told: Told, **how: Any) -> str | None:
        text, reasoning = clean_text(told.text), clean_text(told.reasoning)
        rendered = {"html": markdown.render(text), "reasoning_html": markdown.render(reasoning)}
        if self.repeats_id:
            how["first_difference"] = self.difference_from_repeated(text)
        with transaction.atomic():
            mine = type(self).objects.running().filter(id=self.id, attempt=self.attempt)
            sums = {name: models.F(name) + how[name] for name in ADDED_UP if name in how}
            sums["reasoning_ms"] = models.F("reasoning_ms") + told.reasoning_ms
            if not mine.update(status=status, ended_at=Now(), **{**how, **sums}):
                return None
            Message.objects.filter(id=self.message_id).update(text=text, reasoning=reasoning, **rendered)
            self._enter_usage(status, how)
        hints.conversation_changed(self.requested_by_id, self.message.conversation_id)
        return status

    def _enter_usage(self, status: str, how: dict[str, Any]) -> None:
        fields = ("prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens", "device_s", "ttft_ms")
        UsageRecord.objects.create(
            generation_id=self.id,
            attempt=self.attempt,
            user_id=self.requested_by_id,
            user_pseudonym=self.requested_by_id,
            model=how.get("model", self.model),
            queue_ms=self.queue_ms,
            status=status,
            **{field: how[field] for field in fields if field in how},
        )

    @classmethod
    def statuses(cls, ids: Iterable[UUID]) -> dict[UUID, str]:
        return dict(cls.objects.filter(id__in=list(ids)).values_list("id", "status"))


ADDED_UP = ("completion_tokens", "reasoning_tokens", "decode_ms", "device_s")
NOT_ENDED: dict[str, Any] = {
    "worker": None,
    "claimed_at": None,
    "stop_requested_at": None,
    "ended_at": None,
    "finish_reason": "",
    "error_code": "",
    "error_text": "",
}

WORKER_LOST = "The worker that wrote this reply stopped unexpectedly. What it had written is kept."

CLAIM = """
    WITH running AS (
        SELECT requested_by_id, count(*) AS num FROM chat_generation WHERE status = 'running' GROUP BY 1
    ), waiting AS (
        SELECT id, priority, queued_at,
               coalesce(running.num, 0)
               + row_number() OVER (PARTITION BY generation.requested_by_id ORDER BY queued_at) AS place
        FROM chat_generation generation LEFT JOIN running USING (requested_by_id)
        WHERE status = 'queued' AND (asked_model = '' OR EXISTS (
            SELECT FROM chat_worker worker
            WHERE worker.id = %(worker)s AND (worker.model = asked_model OR worker.adapters ? asked_model)
        ))
    )
    UPDATE chat_generation
    SET status = 'running', attempt = attempt + 1, worker_id = %(worker)s, claimed_at = now(),
        queue_ms = extract(epoch FROM now() - queued_at) * 1000
    WHERE status = 'queued'
      AND id IN (SELECT id FROM waiting ORDER BY priority, place, queued_at LIMIT %(most)s)
    RETURNING id
"""


def _postgres_is_settled() -> bool:
    """Whether Postgres is up for a lease: before, living workers may not have been able to say that they live."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT now() - pg_postmaster_start_time() > make_interval(secs => %s)", [Worker.lease().total_seconds()]
        )
        return bool(cursor.fetchone()[0])
