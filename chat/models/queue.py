"""Who is served next, in the words of Postgres: one order for claiming and for telling people their place.

It is deficit round robin without stored counters. A person's account is the time on the devices that the person had
lately; each reply at work, and each that waits before another, is charged a quantum in advance, and settled with its
end. Who has the smallest account for their weight is next; the weight is their own times the largest of their groups.
A class of replies goes before the next as long as the others get their least share: one that has less goes first for
as many replies as bring it there. What was handed over goes before all: people see it stand still.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db.models import Avg, Sum

from chat.database import execute
from chat.models.fair_share import FairShare
from chat.models.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterable

QUANTUM_S = 5.0
KEPT_S = 0.3
"""So long what follows up is left to the worker that has the conversation in its memory, if that has a free slot."""


class Claimed(NamedTuple):
    """What a worker got, and the workers to which it left something."""

    ids: list[UUID]
    holders: set[UUID]


class Place(NamedTuple):
    """A place in the queue: how many replies are ahead, and in how many seconds this one begins, as far as known."""

    num_ahead: int
    expected_s: float | None


class ExpectedError(NamedTuple):
    """How far the waits that were told were from what they were: seconds on average, for how many replies.

    `bias_s` is above nought when people waited for less than they were told.
    """

    num_replies: int
    wait_s: float | None
    error_s: float | None
    bias_s: float | None


def claim(worker: Worker, most: int) -> Claimed:
    """Give up to `most` queued generations to a worker; call it in a transaction.

    The advisory lock makes claims one after another, so that two workers never judge by the same accounts.
    """
    execute("SELECT pg_advisory_xact_lock(hashtext('chat_generation.claim'))", [])
    params = {**_rules(), "worker": worker.id, "most": most, "kept_s": KEPT_S, "lease": Worker.lease()}
    rows = execute(CLAIM, params).fetchall()
    return Claimed([id_ for id_, holder in rows if not holder], {holder for _, holder in rows if holder})


def places(ids: Iterable[UUID]) -> dict[UUID, Place]:
    """The places of queued generations; those that wait no longer are missing."""
    ahead = dict(execute(PLACES, {**_rules(), "worker": None, "ids": list(ids)}).fetchall())
    (num_running,) = execute("SELECT count(*) FROM chat_generation WHERE status = 'running'", []).fetchone() or (0,)
    workers = Worker.serving().aggregate(num_slots=Sum("num_slots"), reply_s=Avg("reply_s"))
    num_slots, reply_s = workers["num_slots"] or 0, workers["reply_s"]
    return {id_: Place(num, _expected_s(num, num_running, num_slots, reply_s)) for id_, num in ahead.items()}


def note_expected(places: dict[UUID, Place]) -> None:
    """Keep what people are told first of their wait, to hold it against what it was."""
    told = {id_: place.expected_s for id_, place in places.items() if place.expected_s is not None}
    if told:
        execute(NOTE_EXPECTED, [list(told), list(told.values())])


def error_of_expected() -> ExpectedError:
    """Of the replies that began in the last day after their people were told how long they would wait."""
    return ExpectedError(*(execute(EXPECTED_ERROR, []).fetchone() or (0, None, None, None)))


def _expected_s(num_ahead: int, num_running: int, num_slots: int, reply_s: float | None) -> float | None:
    """As many replies must end as this one lacks slots; with all slots at work one ends every `reply_s / num_slots`."""
    if not num_slots or reply_s is None:
        return None
    num_lacking = max(0, num_ahead + 1 - max(0, num_slots - num_running))
    return num_lacking * reply_s / num_slots


def _rules() -> dict[str, Any]:
    return {
        "quantum": QUANTUM_S,
        "half_life": FairShare.HALF_LIFE_S,
        "most_running": settings.USER_RUNNING,
        "least_share": settings.LEAST_SHARE,
    }


# `waiting` are those that a worker may have at all: for none in particular, all.
# The accounts are of all people; only those of who waits are looked up, and reckoned in floats: numerics take 100 times
# as long.
USED_S = "used_s * power(0.5::float8, extract(epoch FROM now() - used_at)::float8 / %(half_life)s)"
ORDER = f"""
    WITH running AS (
        SELECT requested_by_id, priority, count(*) AS num FROM chat_generation WHERE status = 'running' GROUP BY 1, 2
    ), at_work AS (
        SELECT priority, sum(num) AS num FROM running GROUP BY 1
    ), class AS (
        SELECT priority, coalesce(account.used_s, 0) + coalesce(at_work.num, 0)::float8 * %(quantum)s AS used_s
        FROM (SELECT priority, {USED_S} AS used_s FROM chat_fairshare WHERE priority IS NOT NULL) account
        FULL JOIN at_work USING (priority)
    ), closed AS (
        SELECT access.id FROM chat_modelaccess access JOIN chat_worker worker USING (model)
        WHERE worker.id = %(worker)s::uuid
    ), waiting AS (
        SELECT id, requested_by_id, priority, queued_at, handed_over_at IS NULL AS is_new,
               row_number() OVER (
                   PARTITION BY requested_by_id, priority ORDER BY handed_over_at IS NULL, queued_at, id
               ) AS nth
        FROM chat_generation
        WHERE status = 'queued' AND (%(worker)s::uuid IS NULL OR asked_model = '' AND (
            NOT EXISTS (SELECT FROM closed) OR requested_by_id IN (
                SELECT user_id FROM chat_user_groups JOIN chat_modelaccess_groups USING (group_id)
                WHERE modelaccess_id IN (SELECT id FROM closed)
            )
        ) OR EXISTS (
            SELECT FROM chat_worker worker
            WHERE worker.id = %(worker)s::uuid AND (worker.model = asked_model OR worker.adapters ? asked_model)
        ))
    ), of_groups AS (
        SELECT user_id, max(coalesce(rule.weight, 1)) AS weight
        FROM chat_user_groups LEFT JOIN chat_grouprule rule USING (group_id)
        WHERE EXISTS (SELECT FROM chat_grouprule WHERE weight <> 1)
          AND user_id IN (SELECT requested_by_id FROM chat_generation WHERE status = 'queued') GROUP BY 1
    ), charged AS (
        SELECT waiting.id, waiting.priority, queued_at, is_new,
               nth + coalesce(running.num, 0) > %(most_running)s AS is_too_many,
               (coalesce({USED_S}, 0) + (nth + coalesce(running.num, 0))::float8 * %(quantum)s)
               / coalesce(account.weight, 1) / coalesce(of_groups.weight, 1) AS account_s
        FROM waiting
        LEFT JOIN running USING (requested_by_id, priority)
        LEFT JOIN chat_fairshare account ON account.user_id = requested_by_id
        LEFT JOIN of_groups ON of_groups.user_id = requested_by_id
    ), in_class AS (
        SELECT *, row_number() OVER (
            PARTITION BY priority ORDER BY is_too_many, is_new, account_s, queued_at, id
        ) AS place
        FROM charged
    ), ranked AS (
        SELECT id, is_too_many, row_number() OVER (
            ORDER BY is_too_many, is_new,
                     coalesce(class.used_s, 0) + place * %(quantum)s
                     > %(least_share)s * (SELECT coalesce(sum(used_s), 0) FROM class),
                     in_class.priority, place
        ) AS rank
        FROM in_class LEFT JOIN class USING (priority)
    )
"""
IS_FREE = """
    holder.id <> %(worker)s::uuid AND holder.state = 'ready' AND NOT holder.is_draining
    AND holder.beat_at > now() - %(lease)s AND holder.num_slots > (
        SELECT count(*) FROM chat_generation running WHERE running.status = 'running' AND running.worker_id = holder.id
    )
"""
# The reply before, or another one to the same question, was made by the worker that has the most of this one in memory.
# Whoever is woken for a model that others have passes that on.
CLAIM = f"""
    {ORDER}, fresh AS (
        SELECT id, message_id, asked_model FROM chat_generation
        WHERE status = 'queued' AND handed_over_at IS NULL
          AND queued_at > now() - make_interval(secs => %(kept_s)s)
    ), kept AS (
        SELECT fresh.id, holder.id AS holder
        FROM fresh
        JOIN chat_message reply ON reply.id = message_id
        JOIN chat_message question ON question.id = reply.parent_id
        CROSS JOIN LATERAL (
            SELECT worker_id FROM chat_generation earlier JOIN chat_message message ON message.id = earlier.message_id
            WHERE (message.id = question.parent_id OR message.parent_id = question.id) AND worker_id IS NOT NULL
            ORDER BY claimed_at DESC LIMIT 1
        ) last
        JOIN chat_worker holder ON holder.id = worker_id
        WHERE {IS_FREE} AND (asked_model IN ('', model) OR adapters ? asked_model)
        UNION ALL
        SELECT fresh.id, (
            SELECT id FROM chat_worker holder
            WHERE {IS_FREE} AND (model = asked_model OR adapters ? asked_model) ORDER BY random() LIMIT 1
        )
        FROM fresh WHERE asked_model <> '' AND NOT EXISTS (
            SELECT FROM chat_worker me
            WHERE me.id = %(worker)s::uuid AND (model = asked_model OR adapters ? asked_model)
        )
    ), claimed AS (
        UPDATE chat_generation
        SET status = 'running', attempt = attempt + 1, worker_id = %(worker)s, claimed_at = now(),
            queue_ms = extract(epoch FROM now() - queued_at) * 1000
        WHERE status = 'queued' AND id IN (
            SELECT id FROM ranked WHERE NOT is_too_many AND id NOT IN (SELECT id FROM kept) ORDER BY rank LIMIT %(most)s
        )
        RETURNING id
    )
    SELECT id, NULL::uuid FROM claimed UNION ALL SELECT id, holder FROM kept WHERE holder IS NOT NULL
"""
PLACES = f"{ORDER} SELECT id, rank - 1 FROM ranked WHERE id = ANY(%(ids)s)"
NOTE_EXPECTED = """
    UPDATE chat_generation generation
    SET expected_ms = extract(epoch FROM now() - queued_at) * 1000 + told.expected_s * 1000
    FROM unnest(%s::uuid[], %s::float8[]) AS told (id, expected_s)
    WHERE generation.id = told.id AND status = 'queued' AND expected_ms IS NULL
"""
EXPECTED_ERROR = """
    SELECT count(*), avg(queue_ms) / 1000, avg(abs(expected_ms - queue_ms)) / 1000, avg(expected_ms - queue_ms) / 1000
    FROM chat_generation WHERE expected_ms IS NOT NULL AND claimed_at > now() - interval '1 day'
"""
