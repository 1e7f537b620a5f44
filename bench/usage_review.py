"""A ledger of 1,000,000 lines, and how long each page of the usage review takes over it. For bench/usage.py."""

from __future__ import annotations

import statistics
import time
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.utils import timezone

from chat.models import Conversation, Feedback, Generation, Message, RollUp, UsageRecord, User
from chat.models.usage_sum import today

NUM_LINES = 1_000_000
NUM_PEOPLE = 500
NUM_GROUPS = 10
NUM_DAYS = 365
NUM_VOTES = 20_000
NUM_ROUNDS = 7

# Some people use far more than others, weekends are as busy as weekdays, and today is in it.
FILL = """
    INSERT INTO chat_usagerecord (id, generation_id, attempt, user_id, user_pseudonym, model, source, prompt_tokens,
        completion_tokens, reasoning_tokens, cached_tokens, device_s, energy_j, queue_ms, ttft_ms, status, created_at)
    SELECT gen_random_uuid(), gen_random_uuid(), 1, person, person,
        (ARRAY['qwen3-4b-instruct', 'qwen3-30b-a3b', 'qwen2.5-coder-7b'])[1 + floor(3 * random() * random())],
        CASE WHEN random() < 0.1 THEN 'api' ELSE 'page' END, 600 * random(), 300 * random(), 0, 200 * random(),
        random(), 90 * random(), 200 * random(), 2000 * random(),
        CASE WHEN random() < 0.04 THEN 'stopped' ELSE 'completed' END, now() - random() * make_interval(days => %s)
    FROM (
        SELECT (%s::uuid[])[1 + floor(%s * power(random(), 2))] AS person FROM generate_series(1, %s)
    ) AS people
"""


def fill() -> User:
    """An administrator, a team in groups, its ledger and the roll-up."""
    admin = User.objects.create_superuser("admin@bench.invalid", name="Admin")
    people = [User(email=f"p{number}@bench.invalid", name=f"P {number}") for number in range(NUM_PEOPLE)]
    User.objects.bulk_create(people)
    for number in range(NUM_GROUPS):
        Group.objects.create(name=f"Group {number}").user_set.set(people[number::NUM_GROUPS])
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(FILL, [NUM_DAYS, [person.id for person in people], NUM_PEOPLE, NUM_LINES])
        fill_votes(people)
        RollUp.go_on()
        cursor.execute("VACUUM ANALYZE")
    return admin


def fill_votes(people: list[User]) -> None:
    """Replies without a text, each with a thumb."""
    chats = Conversation.objects.bulk_create(Conversation(owner=person) for person in people)
    replies = [Message(conversation=chats[number % NUM_PEOPLE], role="assistant") for number in range(NUM_VOTES)]
    Message.objects.bulk_create(replies, batch_size=2000)
    how: dict[str, Any] = {"status": "completed", "model": "qwen3-4b-instruct", "revision": "r1"}
    Generation.objects.bulk_create(
        (
            Generation(message=reply, requested_by=reply.conversation.owner, client_id=str(reply.id), **how)
            for reply in replies
        ),
        batch_size=2000,
    )
    now = timezone.now()
    Feedback.objects.bulk_create(
        (
            Feedback(message=reply, value="down", reasons=["wrong"], created_at=now - timedelta(days=number % NUM_DAYS))
            for number, reply in enumerate(replies)
        ),
        batch_size=2000,
    )


def pages() -> dict[str, str]:
    year = f"from={today() - timedelta(days=NUM_DAYS)}"
    return {
        "30 days": "/admin/usage/",
        **{f"year by {by}": f"/admin/usage/?{year}&by={by}" for by in ("day", "user", "group", "model", "source")},
        "year of a person": f"/admin/usage/?{year}&user=p7@bench.invalid",
        "year of a group": f"/admin/usage/?{year}&group=Group 3",
        "year of a group by user": f"/admin/usage/?{year}&group=Group 3&by=user",
        "year of a model by user": f"/admin/usage/?{year}&model=qwen3-4b-instruct&by=user",
        "CSV, year by user": f"/admin/usage.csv?{year}&by=user",
        "feedback CSV, year": f"/admin/usage/feedback.csv?{year}",
        "ledger": "/admin/ledger/",
        "own use, year": f"/settings/usage/?{year}",
    }


def taken_ms(client: Client, address: str) -> dict[str, float]:
    def once() -> float:
        start = time.perf_counter()
        answer: Any = client.get(address)
        assert answer.status_code == 200, (address, answer.status_code)
        if answer.streaming:
            b"".join(answer)
        return (time.perf_counter() - start) * 1000

    once()
    taken = sorted(once() for _ in range(NUM_ROUNDS))
    return {"p50": round(statistics.median(taken)), "most": round(taken[-1])}


def measure() -> dict[str, Any]:
    """Milliseconds of each page, median and most."""
    admin = fill()
    client = Client(SERVER_NAME="127.0.0.1")  # one that the stack answers to
    client.force_login(admin)
    figures: dict[str, Any] = {name: taken_ms(client, address) for name, address in pages().items()}
    return {"lines": UsageRecord.objects.count(), **figures}
