"""What was used in a period, by day, person, group, model or source. Counts and times only, no word of anybody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from functools import cached_property
from typing import Any, Literal
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext as _

from chat import usage_votes
from chat.models import User
from chat.models.histogram import percentile
from chat.models.usage_sum import BEFORE_ALL, COLUMNS, LEDGER, RollUp, UsageSum, midnight, span, today

By = Literal["day", "user", "group", "model", "source"]
UNUSED_DAYS = 30
JUMP = 10
MIN_JUMP_TOKENS = 1000
JUMPS_WITHIN_DAYS = 31


@dataclass(frozen=True, slots=True)
class Filters:
    """Which part of the ledger: whole days, both included, by the server's zone; what is empty filters nothing."""

    first: date
    last: date
    group: int | None = None
    user: UUID | None = None
    model: str = ""
    source: str = ""

    @property
    def where(self) -> str:
        conditions = [sql for name, sql in CONDITIONS.items() if getattr(self, name)]
        return f"WHERE {' AND '.join(conditions)}" if conditions else ""


@dataclass(frozen=True, slots=True)
class Line:
    """Sums of some part of the ledger; null where nothing of it was measured."""

    key: Any
    num_replies: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    device_s: float | None = None
    energy_j: float | None = None
    wait: int | None = None
    ttft: int | None = None
    num_stops: int = 0
    num_failures: int = 0
    num_up: int = 0
    num_down: int = 0

    def __post_init__(self) -> None:
        # Postgres gives histograms as decimals, which Python would round when it adds them.
        for name in ("wait", "ttft"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, int(value))

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def wait_ms(self, share: float) -> float | None:
        return percentile(self.wait, share)

    def ttft_ms(self, share: float) -> float | None:
        return percentile(self.ttft, share)


@dataclass(frozen=True, slots=True)
class Jump:
    """A day on which somebody used ten times the tokens of their mean day of the week before, or more."""

    user: str
    day: date
    tokens: int
    usual_tokens: int

    @property
    def tokens_text(self) -> str:
        return f"{self.tokens:,}"

    @property
    def usual_text(self) -> str:
        return f"{self.usual_tokens:,}"


class Report:
    def __init__(self, filters: Filters) -> None:
        self.filters = filters
        self._lines: dict[By, list[Line]] = {}

    def lines(self, by: By) -> list[Line]:
        """One line for each day of the period, used or not; else for each that used anything, the biggest first."""
        if by not in self._lines:
            found = self._of_groups() if by == "group" else self._found(by)
            found.sort(key=lambda line: (-line.tokens, str(line.key)))
            self._lines[by] = self._each_day(found) if by == "day" else found
        return self._lines[by]

    @property
    def days(self) -> list[Line]:
        return self.lines("day")

    def _each_day(self, found: list[Line]) -> list[Line]:
        by_day = {line.key: line for line in found}
        num_days = (self.filters.last - self.filters.first).days + 1
        days = [self.filters.first + timedelta(days=number) for number in range(num_days)]
        return [by_day.get(day) or Line(day) for day in days]

    def _found(self, by: By) -> list[Line]:
        """The lines with their thumbs, and one for each that got thumbs for earlier replies alone."""
        sql = f"SELECT {KEYS[by]}, {SUMS} FROM usage {{where}} GROUP BY 1"
        by_key = {row[0]: Line(*row) for row in _rows(self.filters, sql, by=by)}
        for key, num_up, num_down in usage_votes.by_key(KEYS[by], *self._votes):
            by_key[key] = replace(by_key.get(key, Line(key)), num_up=num_up, num_down=num_down)
        return list(by_key.values())

    def _of_groups(self) -> list[Line]:
        """What the members of each group used; who is in two is in both."""
        memberships = User.groups.through.objects.values_list("user_id", "group__name")
        if self.filters.group:
            memberships = memberships.filter(group=self.filters.group)
        names: dict[UUID, list[str]] = {}
        for user_id, name in memberships:
            names.setdefault(user_id, []).append(name)
        members: dict[str, list[Line]] = {}
        for line in self.lines("user"):
            for name in names.get(line.key, [""]):
                members.setdefault(name, []).append(line)
        return [sum_of(name, lines) for name, lines in members.items()]

    @cached_property
    def verdicts(self) -> list[usage_votes.Verdict]:
        return usage_votes.verdicts(*self._votes)

    @property
    def _votes(self) -> tuple[str, dict[str, Any]]:
        """The condition and the parameters with which votes are looked up."""
        params = _params(self.filters)
        return self.filters.where, params | {"opens": midnight(self.filters.first)}

    def total(self, by: By) -> Line:
        """All of the period, from the lines that the table has; of groups from their members, who may be in two."""
        return sum_of("", self.lines("user" if by == "group" else by))

    @cached_property
    def biggest(self) -> list[tuple[UUID, int]]:
        """Everybody who used anything, with their tokens, the biggest first."""
        if "user" in self._lines:
            return [(line.key, line.tokens) for line in self._lines["user"] if line.num_replies]
        sql = f"SELECT user_id, sum({TOKENS})::bigint FROM usage {{where}} GROUP BY 1 ORDER BY 2 DESC, 1"
        return [(user_id, tokens) for user_id, tokens in _rows(self.filters, sql, by="user")]

    def jumps(self) -> Iterator[Jump]:
        """The newest first; at most those of the last month of the period."""
        first = max(self.filters.first, self.filters.last - timedelta(days=JUMPS_WITHIN_DAYS - 1))
        week_before = replace(self.filters, first=first - timedelta(days=7))
        found = _rows(week_before, JUMPS, by="user", is_by_day=True, since_day=first)
        names = names_of([row[0] for row in found])
        for user_id, day, tokens, usual in found:
            yield Jump(names[user_id], day, tokens, round(usual))

    def unused_seats(self) -> list[User]:
        """Active people who used nothing in the last 30 days, whatever the period, of the group if one is chosen."""
        since = today() - timedelta(days=UNUSED_DAYS - 1)
        people = User.objects.filter(is_active=True, date_joined__lt=midnight(since)).order_by("email")
        if self.filters.group:
            people = people.filter(groups=self.filters.group)
        used = {row[0] for row in _rows(Filters(since, today()), "SELECT DISTINCT user_id FROM usage", by="user")}
        return [person for person in people.only("id", "email", "name") if person.id not in used]


def sum_of(key: Any, lines: list[Line]) -> Line:
    """One line with the sums of many."""

    def total(name: str) -> Any:
        values = [value for line in lines if (value := getattr(line, name)) is not None]
        return sum(values) if values else Line.__dataclass_fields__[name].default

    return Line(key, **{field.name: total(field.name) for field in fields(Line) if field.name != "key"})


def names_of(user_ids: list[UUID]) -> dict[UUID, str]:
    """The address of each, or a name made of the id for who is gone."""
    known = dict(User.objects.filter(id__in=user_ids).values_list("id", "email"))
    return {
        user_id: known.get(user_id) or _("Former person {number}").format(number=user_id.hex[-8:])
        for user_id in user_ids
    }


def models_used() -> list[str]:
    """Every model that the ledger knows, by name."""
    everything = Filters(BEFORE_ALL, today())
    found = _rows(everything, "SELECT DISTINCT model FROM usage ORDER BY 1", by="model")
    return [model for (model,) in found if model]


def _rows(filters: Filters, sql: str, *, by: By, is_by_day: bool = False, **more: Any) -> list[tuple[Any, ...]]:
    """Ask `sql` of the relation `usage`: the roll-up where there is one, the ledger itself for the days after it.

    Of the roll-up the coarsest sums that can tell: everyone's where nobody is told apart, else whole months of each
    person where no day is, and a person's days over all models where neither model nor source is.
    """
    until = RollUp.is_done_until()
    grain = _grain(filters, by)
    has_months = grain != UsageSum.Grain.EVERYONE and by != "day" and not is_by_day
    months = _whole_months(filters.first, min(filters.last + timedelta(days=1), until)) if has_months else None
    params = {
        **_params(filters),
        "since": midnight(max(filters.first, min(until, filters.last + timedelta(days=1)))),
        "until": until,
        "grain": grain,
        "months_since": months[0] if months else until,
        "months_before": months[1] if months else until,
        **more,
    }
    with connection.cursor() as cursor:
        cursor.execute(USAGE + sql.format(where=filters.where), params)
        return list(cursor.fetchall())


def _params(filters: Filters) -> dict[str, Any]:
    """What the conditions and the span of the filters ask for."""
    return {
        **span(filters.first, filters.last),
        **{field.name: getattr(filters, field.name) for field in fields(Filters)},
    }


def _grain(filters: Filters, by: By) -> UsageSum.Grain:
    if by != "user" and not filters.user and not filters.group:
        return UsageSum.Grain.EVERYONE
    is_of_all_models = by not in {"model", "source"} and not filters.model and not filters.source
    return UsageSum.Grain.PERSON if is_of_all_models else UsageSum.Grain.DAY


def _whole_months(first: date, before: date) -> tuple[date, date] | None:
    """The first of the first whole month from `first` on, and that of the month in which `before` lies."""
    since = first if first.day == 1 else (first.replace(day=1) + timedelta(days=32)).replace(day=1)
    return (since, before.replace(day=1)) if since < before.replace(day=1) else None


KEYS: dict[By, str] = {"day": "day", "user": "usage.user_id", "model": "model", "source": "source"}

CONDITIONS = {
    # As an array, so that Postgres looks up these and not everybody.
    "group": "usage.user_id = ANY(ARRAY(SELECT user_id FROM chat_user_groups WHERE group_id = %(group)s))",
    "user": "usage.user_id = %(user)s",
    "model": "model = %(model)s",
    "source": "source = %(source)s",
}

USAGE = f"""
    WITH usage AS NOT MATERIALIZED (
        SELECT {COLUMNS} FROM chat_usagesum
        WHERE grain = %(grain)s AND day >= %(first)s AND day <= %(last)s AND day < %(until)s
          AND NOT (day >= %(months_since)s AND day < %(months_before)s)
        UNION ALL
        SELECT {COLUMNS} FROM chat_usagesum
        WHERE grain = 'month' AND day >= %(months_since)s AND day < %(months_before)s
        UNION ALL {LEDGER}
    )
"""

TOKENS = "prompt_tokens + completion_tokens"

SUMS = """
    sum(num_replies)::bigint, sum(prompt_tokens)::bigint, sum(cached_tokens)::bigint, sum(completion_tokens)::bigint,
    sum(reasoning_tokens)::bigint, sum(device_s), sum(energy_j), sum(wait), sum(ttft), sum(num_stops)::bigint,
    sum(num_failures)::bigint
"""

JUMPS = f"""
    SELECT user_id, day, tokens, usual FROM (
        SELECT user_id, day, tokens, sum(tokens) OVER (
            PARTITION BY user_id ORDER BY day - DATE '{BEFORE_ALL}' RANGE BETWEEN 7 PRECEDING AND 1 PRECEDING
        ) / 7 AS usual
        FROM (SELECT user_id, day, sum({TOKENS})::bigint AS tokens FROM usage {{where}} GROUP BY 1, 2) AS days
    ) AS with_the_week_before
    WHERE day >= %(since_day)s AND tokens >= {MIN_JUMP_TOKENS} AND usual > 0 AND tokens >= {JUMP} * usual
    ORDER BY day DESC, tokens DESC LIMIT 20
"""
