"""Who waits how long: people and workers as numbers, the queue as it is. `python -m bench.simulation`.

No reply is written. The claim is the real one (chat/models/queue.py) on a Postgres of its own, but its clock is that of
the simulation: a `now()` that stands before Postgres's own in the search path. A reply is a row that is asked for,
claimed, and ended after as long as its tokens take. The last line is JSON.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import os
import random
import secrets
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from qwenweb.up.postgres import Postgres

CLASSES = ("interactive", "api", "background")
GREEDY = "always asking"
TOKENS_PER_S = 20
"""Of one reply while all slots of its worker are at work."""
MEAN_TOKENS = 300
ASKED = ("id", "message_id", "requested_by_id", "client_id", "priority", "queued_at")


@dataclass(frozen=True)
class Team:
    """People who ask every `pause_s` seconds on average, and workers that write `num_slots` replies at a time.

    `num_greedy` of the people have something waiting at all times; `shares` are the parts of the classes of replies.
    """

    num_people: int
    num_workers: int
    num_slots: int = 16
    pause_s: float = 250.0
    num_greedy: int = 0
    shares: tuple[float, float, float] = (0.9, 0.07, 0.03)
    seconds: float = 300.0


@dataclass
class Result:
    waits_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """By class; those who always have something waiting apart."""
    claims_ms: list[float] = field(default_factory=list)
    device_s: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))
    num_waiting: int = 0

    def figures(self, team: Team) -> dict[str, Any]:
        greedy = [self.device_s[person] for person in range(team.num_greedy)]
        return {
            "people": team.num_people,
            "workers": team.num_workers,
            "replies": sum(map(len, self.waits_s.values())),
            "waiting_in_the_end": self.num_waiting,
            "wait_s": {name: percentiles(waits_s) for name, waits_s in sorted(self.waits_s.items())},
            "claim_ms": percentiles(self.claims_ms),
            "fairness": round(jain(greedy), 3) if greedy else None,
        }


def jain(amounts: list[float]) -> float:
    """1 when all have the same, 1/n when one has everything."""
    squares = sum(amount**2 for amount in amounts)
    return sum(amounts) ** 2 / len(amounts) / squares if squares else 1.0


def percentiles(values: list[float]) -> dict[str, float]:
    if len(values) < 2:
        return {"p50": 0.0, "p95": 0.0, "p99": 0.0}
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {f"p{percent}": round(cuts[percent - 1], 2) for percent in (50, 95, 99)}


@contextmanager
def database() -> Iterator[None]:
    """A Postgres of its own with the tables of qwenweb, as Django's."""
    with tempfile.TemporaryDirectory(prefix="qwenweb-simulation-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        with Postgres(directory / "postgres", directory / "s") as server:
            os.environ |= {
                "DATABASE_URL": server.url,
                "QWENWEB_DATABASE_POOL": "false",
                "QWENWEB_DATA_DIR": name,
                "QWENWEB_SECRET_KEY": secrets.token_urlsafe(64),
                "DJANGO_SETTINGS_MODULE": "qwenweb.settings",
            }
            import django

            django.setup()
            from django.core.management import call_command
            from django.db import connection

            call_command("migrate", verbosity=0)
            yield
            connection.close()


class Simulation:
    """Events in the order of their time: somebody asks, or a worker has ended a reply and looks for another."""

    BEGAN = 1_700_000_000.0

    def __init__(self, team: Team, seed: int = 0) -> None:
        from django.db import connection

        self.team = team
        self.result = Result()
        self._chance = random.Random(seed)
        self._cursor = connection.cursor()
        self._events: list[tuple[float, int, str, Any]] = []
        self._num_events = 0
        self._now = 0.0
        self._people = [UUID(int=self._chance.getrandbits(128), version=4) for _ in range(team.num_people)]
        self._numbers = {person: number for number, person in enumerate(self._people)}
        self._asked: dict[UUID, tuple[int, int, float]] = {}

    def run(self) -> Result:
        self._prepare()
        for number in range(self.team.num_people):
            if number < self.team.num_greedy:
                for _ in range(12):
                    self._later(self._chance.uniform(0, 1), "ask", number)
            else:
                self._later(self._chance.expovariate(1 / self.team.pause_s), "ask", number)
        while self._events[0][0] < self.team.seconds:
            self._now, _, what, about = heapq.heappop(self._events)
            self._execute(f"SET sim.now = '{self.BEGAN + self._now}'")
            if what == "ask":
                self._ask(about)
            else:
                self._end(*about)
        self.result.num_waiting = len(self._asked)
        return self.result

    def _later(self, seconds: float, what: str, about: Any) -> None:
        self._num_events += 1
        heapq.heappush(self._events, (self._now + seconds, self._num_events, what, about))

    def _execute(self, sql: str, params: Sequence[Any] | None = None) -> None:
        self._cursor.execute(sql, params)

    def _prepare(self) -> None:
        from chat.models import Worker

        self._execute(CLOCK)
        self._execute("TRUNCATE chat_generation, chat_fairshare, chat_worker, chat_user CASCADE")
        # A row of a generation is all the queue looks at.
        self._execute("SET session_replication_role = replica")
        rows = [Worker(name=str(i), state="ready", num_slots=self.team.num_slots) for i in range(self.team.num_workers)]
        self._free = [worker for worker in Worker.objects.bulk_create(rows) for _ in range(self.team.num_slots)]
        self._chance.shuffle(self._free)
        self._execute("ANALYZE chat_generation")

    def _ask(self, number: int) -> None:
        from chat.models import Generation
        from chat.models.ids import uuid7
        from chat.models.insert import insert

        team = self.team
        is_greedy = number < team.num_greedy
        priority = 0 if is_greedy else self._chance.choices(range(3), team.shares)[0]
        id_, asked_at = uuid7(), datetime.fromtimestamp(self.BEGAN + self._now, UTC)
        row = Generation(id=id_, message_id=id_, requested_by_id=self._people[number], client_id=str(id_))
        row.priority, row.queued_at = priority, asked_at
        self._execute(*insert(row, *ASKED))
        self._asked[id_] = (number, priority, self._now)
        if not is_greedy:
            self._later(self._chance.expovariate(1 / team.pause_s), "ask", number)
        if self._free:
            self._claim(self._free.pop())

    def _claim(self, worker: Any) -> None:
        """The worker takes the next reply; without one, its slot is free."""
        from django.db import transaction

        from chat.models import queue

        began = time.perf_counter()
        with transaction.atomic():
            claimed = queue.claim(worker, 1).ids
        self.result.claims_ms.append((time.perf_counter() - began) * 1000)
        if not claimed:
            self._free.append(worker)
            return
        number, priority, asked_at = self._asked.pop(claimed[0])
        name = GREEDY if number < self.team.num_greedy else CLASSES[priority]
        self.result.waits_s[name].append(self._now - asked_at)
        num_tokens = max(1.0, self._chance.lognormvariate(0, 0.8) * MEAN_TOKENS / 1.377)
        self._later(num_tokens / TOKENS_PER_S, "end", (worker, claimed[0], number, priority, num_tokens / TOKENS_PER_S))

    def _end(self, worker: Any, id_: UUID, number: int, priority: int, took_s: float) -> None:
        from chat.models import FairShare

        device_s = took_s / self.team.num_slots
        self._execute("UPDATE chat_generation SET status = 'completed' WHERE id = %s", [id_])
        FairShare.charge(self._people[number], priority, device_s)
        self.result.device_s[number] += device_s
        if number < self.team.num_greedy:
            self._ask(number)
        self._claim(worker)


CLOCK = """
    CREATE SCHEMA IF NOT EXISTS sim;
    CREATE OR REPLACE FUNCTION sim.now() RETURNS timestamptz LANGUAGE sql STABLE AS
        $$ SELECT pg_catalog.to_timestamp(current_setting('sim.now')::float8) $$;
    SET sim.now = '1700000000';
    SET search_path = sim, pg_catalog, public;
"""


LONGEST_WAIT_S = 2.0
SIZES = (50, 500, 5000)
BUSY_PAUSE_S = 600.0


def enough_workers(people: int, seconds: float) -> Team:
    """With how few workers 95 of 100 wait for less than `LONGEST_WAIT_S`, when each asks six times an hour."""
    least = people / BUSY_PAUSE_S * MEAN_TOKENS / TOKENS_PER_S / Team.num_slots
    for num_workers in range(math.ceil(least), 200):
        team = Team(people, num_workers, pause_s=BUSY_PAUSE_S, seconds=seconds)
        waits_s = Simulation(team).run().waits_s[CLASSES[0]]
        if percentiles(waits_s)["p95"] < LONGEST_WAIT_S:
            return team
    raise RuntimeError("No number of workers is enough.")


def show(name: str, figures: dict[str, Any]) -> None:
    waits = "  ".join(
        f"{each} {wait['p50']:g} / {wait['p95']:g} / {wait['p99']:g}" for each, wait in figures["wait_s"].items()
    )
    claim, fairness = figures["claim_ms"], figures["fairness"]
    print(
        f"{name}: {figures['people']} people, {figures['workers']} workers, {figures['replies']} replies begun, "
        f"{figures['waiting_in_the_end']} open in the end\n  wait in s, p50 / p95 / p99: {waits}\n"
        f"  claim in ms: {claim['p50']:g} / {claim['p95']:g} / {claim['p99']:g}; fairness (Jain): {fairness}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=300, help="of simulated time")
    parser.add_argument("--only", choices=["busy", "overloaded", "sizes"], action="append", help="may be given again")
    options = parser.parse_args()
    wanted = options.only or ["busy", "overloaded", "sizes"]
    busy = Team(options.people, options.workers, num_greedy=options.people // 200, seconds=options.seconds)
    teams = {"busy": busy, "overloaded": replace(busy, pause_s=busy.pause_s / 2)}
    with database():
        runs = {name: team for name, team in teams.items() if name in wanted}
        if "sizes" in wanted:
            runs |= {f"team_{size}": enough_workers(size, options.seconds) for size in SIZES}
        results = {name: Simulation(team, seed=1).run().figures(team) for name, team in runs.items()}
    for name, figures in results.items():
        show(name, figures)
    print(json.dumps({"bench": "simulation", **results}))


if __name__ == "__main__":
    main()
