"""What people think of replies, in counts: thumbs of a period, and the reasons by model and revision. No word.

A vote counts on the day it was given. It goes with the chat it is about: deleted chats have no votes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection

from chat.models import Feedback, Generation


@dataclass(frozen=True, slots=True)
class Verdict:
    """Thumbs for what one revision of a model wrote; `reasons` counts those of thumbs down, as the enum has them."""

    model: str
    revision: str
    num_up: int
    num_down: int
    reasons: tuple[int, ...]

    @property
    def percent_up(self) -> float:
        return round(100 * self.num_up / (self.num_up + self.num_down), 1)


def by_key(key: str, where: str, params: Mapping[str, Any]) -> list[tuple[Any, int, int]]:
    """Thumbs up and down for each `key`, an expression over the relation `usage`, as the usage report has them."""
    return _rows(f"SELECT {key}, {UP}, {DOWN} FROM usage {where} GROUP BY 1", params)


def verdicts(where: str, params: Mapping[str, Any]) -> list[Verdict]:
    """The models by name, the revision with most votes first."""
    sql = f"SELECT model, revision, {UP}, {DOWN}, {REASONS} FROM usage {where} GROUP BY 1, 2"
    found = _rows(f"{sql} ORDER BY 1, count(*) DESC, 2", params)
    return [Verdict(model, revision, up, down, tuple(reasons)) for model, revision, up, down, *reasons in found]


def _rows(sql: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(VOTES + sql, params)
        return list(cursor.fetchall())


UP = "count(*) FILTER (WHERE value = 'up')"
DOWN = "count(*) FILTER (WHERE value = 'down')"
REASONS = ", ".join(f"count(*) FILTER (WHERE reasons ? '{reason.value}')" for reason in Feedback.Reason)

VOTES = f"""
    WITH usage AS (
        SELECT (vote.created_at AT TIME ZONE %(zone)s)::date AS day, requested_by_id AS user_id, model, revision,
               CASE priority WHEN {Generation.Priority.API.value} THEN 'api' ELSE 'page' END AS source, value, reasons
        FROM chat_feedback vote JOIN chat_generation generation USING (message_id)
        WHERE vote.created_at >= %(opens)s AND vote.created_at < %(before)s
    )
"""
