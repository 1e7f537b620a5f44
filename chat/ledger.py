"""The ledger closes: what its replies used and what the workers were idle is all that the workers counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.utils import timezone

from chat.models import Worker
from chat.models.usage_sum import WORKER_COLUMNS, WORKER_LEDGER, RollUp, span, today

SHOWN = 100


@dataclass(frozen=True, slots=True)
class Closing:
    """One life of a worker: what it counted, what the ledger has, and the rest that nobody explains.

    `up_s` is from its start to its last beat, `busy_s` what its device worked. Replies that are being written are
    counted and not yet entered, so the rest of a worker at work is above nought and falls.
    """

    worker: Worker
    prompt_tokens: int
    completion_tokens: int
    device_s: float
    energy_j: float | None

    @property
    def up_s(self) -> float:
        return (self.worker.beat_at - self.worker.started_at).total_seconds()

    @property
    def idle_s(self) -> float:
        return max(0.0, self.up_s - self.worker.busy_s)

    @property
    def rest_s(self) -> float:
        return self.worker.busy_s - self.device_s

    @property
    def rest_prompt_tokens(self) -> int:
        return self.worker.num_prompt_tokens - self.prompt_tokens

    @property
    def rest_completion_tokens(self) -> int:
        return self.worker.num_completion_tokens - self.completion_tokens

    @property
    def rest_j(self) -> float | None:
        return None if self.worker.energy_j is None else self.worker.energy_j - (self.energy_j or 0)

    @property
    def state(self) -> str:
        """As the worker said, unless it says nothing any more."""
        is_silent = timezone.now() - self.worker.beat_at > Worker.lease()
        return Worker.State.STOPPED if is_silent and self.worker.state == Worker.State.READY else self.worker.state

    @property
    def numbers(self) -> list[str]:
        """Seconds up, idle, of replies and the rest; then counted, entered and the rest of tokens and joules."""
        worker = self.worker
        seconds = (self.up_s, self.idle_s, self.device_s, self.rest_s)
        tokens = (
            *(worker.num_prompt_tokens, self.prompt_tokens, self.rest_prompt_tokens),
            *(worker.num_completion_tokens, self.completion_tokens, self.rest_completion_tokens),
        )
        joules = (worker.energy_j, self.energy_j, self.rest_j)
        return [
            *(f"{number:,.1f}" for number in seconds),
            *(f"{number:,}" for number in tokens),
            *("–" if number is None else f"{number:,.0f}" for number in joules),
        ]

    @classmethod
    def of_all(cls) -> list[Closing]:
        """The newest lives first."""
        workers = list(Worker.objects.order_by("-started_at")[:SHOWN])
        entered = _entered([worker.id for worker in workers])
        return [cls(worker, *entered.get(worker.id, (0, 0, 0.0, None))) for worker in workers]


def _entered(worker_ids: list[Any]) -> dict[Any, tuple[int, int, float, float | None]]:
    """What the ledger has of each worker, all days together."""
    until = RollUp.is_done_until()
    params = {**span(until, today()), "until": until, "ids": worker_ids}
    with connection.cursor() as cursor:
        cursor.execute(ENTERED, params)
        return {row[0]: row[1:] for row in cursor.fetchall()}


ENTERED = f"""
    WITH days AS NOT MATERIALIZED (
        SELECT {WORKER_COLUMNS} FROM chat_workerday WHERE day < %(until)s
        UNION ALL {WORKER_LEDGER}
    )
    SELECT worker_id, sum(prompt_tokens)::bigint, sum(completion_tokens)::bigint, coalesce(sum(device_s), 0),
           sum(energy_j)
    FROM days WHERE worker_id = ANY(%(ids)s) GROUP BY 1
"""
