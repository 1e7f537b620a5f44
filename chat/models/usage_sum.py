"""The ledger summed up by day: past days once and for all, today each time it is looked at."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection, models, transaction
from django.utils import timezone

from chat.models import histogram
from chat.models.usage import UsageRecord

# A day before any ledger began that every calendar and zone can still name.
BEFORE_ALL = date(2000, 1, 1)


class UsageSum(models.Model):
    """What was used of one model by one source: by one person on a day or in a month, or by everyone on a day.

    Of a person's day there is also one over all models and sources, which are empty in it, as it is asked for most.
    `day` is the first of the time. A sum over a column that holds no measured value is null. `wait` and `ttft` are
    histograms, see there.
    """

    class Grain(models.TextChoices):
        DAY = "day"
        PERSON = "person"
        MONTH = "month"
        EVERYONE = "everyone"

    grain = models.CharField(max_length=8, choices=Grain)
    day = models.DateField()
    user_id = models.UUIDField(null=True)
    model = models.CharField(max_length=200)
    source = models.CharField(max_length=4)
    num_replies = models.BigIntegerField()
    prompt_tokens = models.BigIntegerField()
    cached_tokens = models.BigIntegerField()
    completion_tokens = models.BigIntegerField()
    reasoning_tokens = models.BigIntegerField()
    device_s = models.FloatField(null=True)
    energy_j = models.FloatField(null=True)
    wait = models.DecimalField(max_digits=histogram.MAX_DIGITS, decimal_places=0, null=True)
    ttft = models.DecimalField(max_digits=histogram.MAX_DIGITS, decimal_places=0, null=True)
    num_stops = models.BigIntegerField()
    num_failures = models.BigIntegerField()

    class Meta:
        constraints = (
            # With the tokens, so that who used most, and who more than usual, is read from the index alone.
            models.UniqueConstraint(
                fields=["grain", "day", "user_id", "model", "source"],
                include=["prompt_tokens", "completion_tokens"],
                name="usage_sum_is_once",
                nulls_distinct=False,
            ),
        )
        indexes = (models.Index(fields=["user_id", "grain", "day"], name="usage_sums_of_a_person"),)

    def __str__(self) -> str:
        return f"usage of {self.user_id or 'everyone'}, {self.grain} of {self.day}"


class WorkerDay(models.Model):
    """What the ledger says of one worker's day: replies that ended in it."""

    day = models.DateField()
    worker_id = models.UUIDField()
    prompt_tokens = models.BigIntegerField()
    completion_tokens = models.BigIntegerField()
    device_s = models.FloatField(null=True)
    energy_j = models.FloatField(null=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["worker_id", "day"], name="worker_day_is_once"),)

    def __str__(self) -> str:
        return f"replies of worker {self.worker_id} on {self.day}"


class RollUp(models.Model):
    """How far the ledger is summed up: all days before `until`, cut at the midnights of `zone`."""

    # Whatever wrote into a day has long been committed by then.
    REST = timedelta(hours=1)

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    zone = models.CharField(max_length=60)
    until = models.DateField(null=True)

    class Meta:
        constraints = (models.CheckConstraint(condition=models.Q(id=1), name="roll_up_is_single"),)

    def __str__(self) -> str:
        return f"ledger summed up until {self.until}"

    @classmethod
    def is_done_until(cls) -> date:
        """The first day that has to be read from the ledger itself."""
        known = cls.objects.filter(zone=settings.TIME_ZONE).values_list("until", flat=True).first()
        return known or BEFORE_ALL

    @classmethod
    def go_on(cls) -> int:
        """Sum up the days that are over by now, and how many those were; all of them after a change of the zone."""
        num_days = 0
        while cls._sum_up_next_day():
            num_days += 1
        return num_days

    @classmethod
    def _sum_up_next_day(cls) -> bool:
        with transaction.atomic():
            cls.objects.get_or_create(id=1, defaults={"zone": settings.TIME_ZONE})
            mark = cls.objects.select_for_update().get(id=1)
            if mark.zone != settings.TIME_ZONE:
                UsageSum.objects.all().delete()
                WorkerDay.objects.all().delete()
                mark.zone, mark.until = settings.TIME_ZONE, None
            day = mark.until or _first_day()
            if day is None or midnight(day + timedelta(days=1)) > timezone.now() - cls.REST:
                return False
            mark.until = day + timedelta(days=1)
            with connection.cursor() as cursor:
                cursor.execute(SUM_UP_DAY, span(day, day))
                cursor.execute(SUM_UP_PERSONS, {"day": day})
                cursor.execute(SUM_UP_EVERYONE, {"day": day})
                if mark.until.day == 1:
                    cursor.execute(SUM_UP_MONTH, {"first": day.replace(day=1), "last": day})
                cursor.execute(f"INSERT INTO chat_workerday ({WORKER_COLUMNS}) {WORKER_LEDGER}", span(day, day))
            mark.save()
            return True


def midnight(day: date) -> datetime:
    """When a day begins, in the zone of the server's settings."""
    return datetime.combine(day, time.min, ZoneInfo(settings.TIME_ZONE))


def today() -> date:
    return timezone.now().astimezone(ZoneInfo(settings.TIME_ZONE)).date()


def span(first: date, last: date) -> dict[str, Any]:
    """The parameters with which LEDGER reads the days from `first` to `last`."""
    return {"zone": settings.TIME_ZONE, "since": midnight(first), "before": midnight(last + timedelta(days=1))}


def _first_day() -> date | None:
    first = UsageRecord.objects.order_by("created_at").values_list("created_at", flat=True).first()
    return first.astimezone(ZoneInfo(settings.TIME_ZONE)).date() if first else None


COUNTS = """num_replies, prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens, device_s, energy_j, wait,
    ttft, num_stops, num_failures"""
COLUMNS = f"day, user_id, model, source, {COUNTS}"
SUMS = ", ".join(f"sum({name.strip()}) AS {name.strip()}" for name in COUNTS.split(","))

LEDGER = f"""
    SELECT (created_at AT TIME ZONE %(zone)s)::date AS day, user_pseudonym AS user_id, model, source,
           count(*) AS num_replies, sum(prompt_tokens) AS prompt_tokens, sum(cached_tokens) AS cached_tokens,
           sum(completion_tokens) AS completion_tokens, sum(reasoning_tokens) AS reasoning_tokens,
           sum(device_s) AS device_s, sum(energy_j) AS energy_j,
           sum({histogram.in_sql("queue_ms")}) AS wait, sum({histogram.in_sql("ttft_ms")}) AS ttft,
           count(*) FILTER (WHERE status = 'stopped') AS num_stops,
           count(*) FILTER (WHERE status IN ('failed', 'interrupted')) AS num_failures
    FROM chat_usagerecord
    WHERE created_at >= %(since)s AND created_at < %(before)s
    GROUP BY 1, 2, 3, 4
"""

INSERT = f"INSERT INTO chat_usagesum (grain, {COLUMNS})"

SUM_UP_DAY = f"{INSERT} SELECT 'day', {COLUMNS} FROM ({LEDGER}) AS ledger"

SUM_UP_PERSONS = f"""
    {INSERT} SELECT 'person', day, user_id, '', '', {SUMS}
    FROM chat_usagesum WHERE grain = 'day' AND day = %(day)s GROUP BY day, user_id
"""

SUM_UP_EVERYONE = f"""
    {INSERT} SELECT 'everyone', day, NULL, model, source, {SUMS}
    FROM chat_usagesum WHERE grain = 'day' AND day = %(day)s GROUP BY day, model, source
"""

SUM_UP_MONTH = f"""
    {INSERT} SELECT 'month', %(first)s, user_id, model, source, {SUMS}
    FROM chat_usagesum WHERE grain = 'day' AND day BETWEEN %(first)s AND %(last)s GROUP BY user_id, model, source
"""

WORKER_COLUMNS = "day, worker_id, prompt_tokens, completion_tokens, device_s, energy_j"

WORKER_LEDGER = """
    SELECT (created_at AT TIME ZONE %(zone)s)::date, worker_id, sum(prompt_tokens), sum(completion_tokens),
           sum(device_s), sum(energy_j)
    FROM chat_usagerecord
    WHERE created_at >= %(since)s AND created_at < %(before)s AND worker_id IS NOT NULL
    GROUP BY 1, 2
"""
