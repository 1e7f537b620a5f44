from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from chat.database import execute
from chat.models.ids import uuid7
from chat.models.usage_sum import RollUp, midnight, today
from chat.refused import Refused

# What a reply is taken to need of the device while it is not over; what it took is known at its end.
RESERVED_DEVICE_S = 60
LOW = 0.2


class QuotaSpent(Refused):
    """A reply that a quota has no room for; `resets_at` is when it has again."""

    def __init__(self, words: str, resets_at: datetime) -> None:
        super().__init__(words)
        self.resets_at = resets_at


class Quota(models.Model):
    """How much may be used in a period: by a person, by each of a group or by all of it together, or by each person.

    Of all quotas that apply to somebody each holds. What is used is what the ledger says of the period, and what
    replies that are not over have reserved; so the end of a reply, or its deletion, settles by itself.
    """

    class Measure(models.TextChoices):
        TOKENS = "tokens", gettext_lazy("tokens")
        REPLIES = "replies", gettext_lazy("replies")
        DEVICE_S = "device_s", gettext_lazy("device seconds")

    class Period(models.TextChoices):
        DAY = "day", gettext_lazy("a day")
        WEEK = "week", gettext_lazy("a week")
        MONTH = "month", gettext_lazy("a month")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    most = models.PositiveBigIntegerField(gettext_lazy("most"))
    measure = models.CharField(gettext_lazy("of what"), max_length=8, choices=Measure, default=Measure.TOKENS)
    period = models.CharField(gettext_lazy("period"), max_length=5, choices=Period, default=Period.DAY)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="quotas",
        verbose_name=gettext_lazy("person"),
        help_text=gettext_lazy("Without a person and a group it holds for each person."),
    )
    group = models.ForeignKey(
        Group,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="quotas",
        verbose_name=gettext_lazy("group"),
    )
    is_pool = models.BooleanField(
        gettext_lazy("shared"), default=False, help_text=gettext_lazy("All of the group together, not each of them.")
    )
    model = models.CharField(
        gettext_lazy("model"), max_length=200, blank=True, help_text=gettext_lazy("Of this model only; empty is all.")
    )

    if TYPE_CHECKING:
        user_id: UUID | None
        group_id: int | None

    class Meta:
        constraints = (
            models.CheckConstraint(condition=models.Q(user=None) | models.Q(group=None), name="quota_is_of_one"),
            models.CheckConstraint(
                condition=models.Q(is_pool=False) | ~models.Q(group=None), name="quota_pool_has_group"
            ),
        )

    def __str__(self) -> str:
        return f"{self.most:,} {self.get_measure_display()} {self.get_period_display()}"

    def clean(self) -> None:
        super().clean()
        if self.user_id and self.group_id:
            raise ValidationError(_("A quota is that of a person or of a group, not of both."))
        if self.is_pool and not self.group_id:
            raise ValidationError(_("Only a group shares a quota: choose one."))

    @classmethod
    def of(cls, user_id: UUID) -> list[Quota]:
        """All that hold for a person, in the order in which they are locked."""
        return cls._limits(user_id)[1]

    @classmethod
    def _limits(cls, user_id: UUID) -> tuple[int, list[Quota]]:
        """How many replies wait for a person, and all quotas that hold. Asked with every message: in one statement."""
        names = [field.attname for field in cls._meta.concrete_fields]
        columns = ", ".join(f"quota.{name}" for name in names)
        rows = execute(LIMITS.format(columns), [user_id, user_id, user_id]).fetchall()
        return int(rows[0][0]), [cls.from_db("default", names, row[1:]) for row in rows if row[1] is not None]

    @classmethod
    @contextmanager
    def admitting(cls, user_id: UUID, most_tokens: Callable[[], int], num_replies: int = 1) -> Iterator[int]:
        """Inside, replies of this person are written down that reserve as many tokens each as are given.

        Raises Refused when as many replies wait as one may have, or no quota has room for them (QuotaSpent). Whoever
        comes at the same moment waits until those inside are committed: many at once never take more than there is.
        """
        num_queued, quotas = cls._limits(user_id)
        if num_queued + num_replies > settings.USER_QUEUED:
            words = ngettext(
                "You have {number} message waiting for an answer already. Send this one when it is answered.",
                "You have {number} messages waiting for an answer already. Send this one when some are answered.",
                num_queued,
            )
            raise Refused(words.format(number=num_queued))
        if not quotas:
            yield 0
            return
        with transaction.atomic():
            for quota in quotas:
                execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [quota._lock_name(user_id)])
            num_tokens = most_tokens()
            for quota in quotas:
                quota._refuse_without_room(user_id, num_tokens, num_replies)
            yield num_tokens

    @classmethod
    def standings(cls, user_id: UUID) -> list[Standing]:
        return [Standing(quota, quota.used_by(user_id)) for quota in cls.of(user_id)]

    def used_by(self, user_id: UUID) -> float:
        """What counts against this quota of a person by now, what is reserved included."""
        since, until = self.starts_on(), RollUp.is_done_until()
        holder = {"user": None if self.is_pool else user_id, "group": self.group_id if self.is_pool else None}
        row = execute(
            USED,
            [
                *(since, until, holder["user"], holder["group"], self.model),
                *(midnight(max(since, until)), holder["user"], holder["group"], self.model),
                *(RESERVED_DEVICE_S, holder["user"], holder["group"], self.model),
            ],
        ).fetchone()
        assert row
        return float(row[list(self.Measure).index(self.Measure(self.measure))])

    def starts_on(self) -> date:
        """The first day of the present period."""
        day = today()
        match self.period:
            case self.Period.WEEK:
                return day - timedelta(days=day.weekday())
            case self.Period.MONTH:
                return day.replace(day=1)
        return day

    def resets_at(self) -> datetime:
        """When the next period begins."""
        start = self.starts_on()
        days = {self.Period.DAY: 1, self.Period.WEEK: 7, self.Period.MONTH: 32}[self.Period(self.period)]
        after = start + timedelta(days=days)
        return midnight(after.replace(day=1) if self.period == self.Period.MONTH else after)

    def _lock_name(self, user_id: UUID) -> str:
        return f"quota {self.id} of {self.group_id if self.is_pool else user_id}"

    def _refuse_without_room(self, user_id: UUID, num_tokens: int, num_replies: int) -> None:
        standing = Standing(self, self.used_by(user_id))
        of_one = {self.Measure.TOKENS: num_tokens, self.Measure.REPLIES: 1, self.Measure.DEVICE_S: RESERVED_DEVICE_S}
        needed = num_replies * of_one[self.Measure(self.measure)]
        if needed > standing.left:
            raise QuotaSpent(standing.refusal(needed), self.resets_at())


@dataclass(frozen=True, slots=True)
class Standing:
    """A quota as it stands for somebody."""

    quota: Quota
    used: float

    @property
    def left(self) -> int:
        return max(0, int(self.quota.most - self.used))

    @property
    def is_low(self) -> bool:
        return self.left < LOW * self.quota.most

    @property
    def used_at_most(self) -> int:
        """For a gauge, which can't be more than full."""
        return self.quota.most - self.left

    @property
    def resets(self) -> str:
        moment = date_format(self.quota.resets_at(), "DATETIME_FORMAT")
        return f"{moment} ({settings.TIME_ZONE})"

    @property
    def words(self) -> str:
        """How much is left, and until when."""
        words = _("{left} of {quota} left, until {moment}.")
        if self.quota.is_pool:
            words = _("Your group has {left} of {quota} left, until {moment}.")
        return words.format(left=f"{self.left:,}", quota=self.quota, moment=self.resets)

    def refusal(self, needed: int) -> str:
        if self.left:
            words = _("A reply may take {needed}, and of your quota ({quota}) {left} are left until {moment}.")
        else:
            words = _("Your quota is used up ({quota}). It starts anew {moment}.")
        return words.format(needed=f"{needed:,}", quota=self.quota, left=f"{self.left:,}", moment=self.resets)


# The columns of a quota are null where none holds.
LIMITS = """
    SELECT queued.num, {}
    FROM (SELECT count(*) AS num FROM chat_generation WHERE requested_by_id = %s AND status = 'queued') AS queued
    LEFT JOIN chat_quota AS quota
      ON quota.user_id = %s OR (quota.user_id IS NULL AND quota.group_id IS NULL)
      OR quota.group_id IN (SELECT group_id FROM chat_user_groups WHERE user_id = %s)
    ORDER BY quota.id
"""

_HELD = """
    {user} IN (SELECT %s::uuid UNION ALL SELECT user_id FROM chat_user_groups WHERE group_id = %s)
"""

# Tokens, replies and device seconds, in the order of Quota.Measure. What failed or got lost is no reply.
USED = f"""
    SELECT coalesce(sum(tokens), 0), coalesce(sum(replies), 0), coalesce(sum(device_s), 0) FROM (
        SELECT prompt_tokens + completion_tokens AS tokens, num_replies - num_failures AS replies, device_s
        FROM chat_usagesum
        WHERE grain = 'day' AND day >= %s AND day < %s AND {_HELD.format(user="user_id")} AND %s IN ('', model)
        UNION ALL
        SELECT prompt_tokens + completion_tokens, (status NOT IN ('failed', 'interrupted'))::int, device_s
        FROM chat_usagerecord
        WHERE created_at >= %s AND {_HELD.format(user="user_pseudonym")} AND %s IN ('', model)
        UNION ALL
        SELECT reserved_tokens, 1, %s
        FROM chat_generation
        WHERE status IN ('queued', 'running') AND {_HELD.format(user="requested_by_id")}
          AND (%s IN ('', model) OR model = '')
    ) AS uses
"""
