"""A believable team with months of use, for trying out and for screenshots."""

from __future__ import annotations

import random
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction
from django.utils import timezone

from chat import markdown
from chat.models import Audit, Banner, Conversation, Feedback, Generation, Message, Quota, RollUp, UsageRecord, User

DOMAIN = "demo.invalid"
PASSWORD = "try this demo"
MODELS = ("qwen3-4b-instruct", "qwen3-30b-a3b", "qwen2.5-coder-7b")
MODEL_SHARES = (6, 3, 2)
REVISIONS = ("41d7e66", "9f0c2ab")  # before and since the update
UPDATED_AGO = timedelta(days=20)
COMMENTS = ("The numbers were last year's.", "Half as long would do.", "It ignored my table.")
GROUPS = {
    "Research": ("Amara Okafor", "Björn Lund", "Chen Wei", "Dilara Kaya", "Emil Novák"),
    "Support": ("Fatima Haddad", "Grace Kim", "Hugo Martin", "Ines Silva"),
    "Sales": ("Jonas Weber", "Kavya Rao", "Liam O’Brien", "Mei Tanaka"),
    "Administration": ("Nadia Petrova", "Omar Diallo", "Priya Nair"),
}
CHATS = (
    (
        "How do I read a large file line by line?",
        "Iterate over the file object: **no list** is needed, and one line at a time is held.",
    ),
    (
        "Write a polite reminder about an unpaid invoice.",
        "> Dear Ms Berg,\n>\n> may I remind you of our invoice of 3 March? It may have been lost.",
    ),
    (
        "What is the difference between a left and an inner join?",
        "An *inner join* keeps pairs only; a *left join* keeps every row of the left table.",
    ),
    (
        "Summarise the meeting: budget, hiring, office move.",
        "- The budget stays as it is.\n- Two engineers are hired by June.\n- The move is put off.",
    ),
    (
        "Explain $O(n \\log n)$ to a colleague from sales.",
        "Twice the customers take a little more than twice the time: $n$ steps, each $\\log n$ long.",
    ),
)


class Command(BaseCommand):
    help = "Fill an installation without use with a team, its chats and months of use."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, default=180, help="how many days of use (default 180)")
        parser.add_argument("--seed", type=int, default=7, help="another number makes another history")

    def handle(self, *args: Any, days: int, seed: int, **options: Any) -> None:
        if UsageRecord.objects.exists():
            raise CommandError("There is use already; the demo wants an installation without any.")
        chance = random.Random(seed)
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL statement_timeout = 0")
            people = _people()
            for person in filter(lambda person: person.is_active, people[:-1]):
                for question, answer in CHATS:
                    reply = _chat(person, question, answer, chance.random() * days / 2, chance)
                    _vote(reply, chance)
            UsageRecord.objects.bulk_create(_history(people, days, chance), batch_size=2000)
            _quotas()
            _banners()
            Audit.enter(None, "demo.filled", days=days)
        RollUp.go_on()
        self.stdout.write(f"{len(people)} people at {DOMAIN}, all with the password “{PASSWORD}”.")
        self.stdout.write(f"Administrator: {_email('Nadia Petrova')}; auditor: {_email('Omar Diallo')}.")


def _email(name: str) -> str:
    first = name.split()[0].lower().replace("ö", "oe")
    return f"{first}@{DOMAIN}"


def _people() -> list[User]:
    """Everybody, one of them an administrator, one an auditor and one no longer with the team."""
    password, people = make_password(PASSWORD), []
    rights = {"Nadia Petrova": User.Role.ADMIN, "Omar Diallo": User.Role.AUDITOR}
    for group_name, names in GROUPS.items():
        group, _ = Group.objects.get_or_create(name=group_name)
        for name in names:
            person = User(email=_email(name), name=name, password=password, is_active=name != "Ines Silva")
            person.date_joined = timezone.now() - timedelta(days=400)
            person.set_role(rights.get(name, User.Role.MEMBER))
            person.save()
            person.groups.add(group)
            people.append(person)
    return people


def _chat(person: User, question: str, answer: str, days_ago: float, chance: random.Random) -> Message:
    """The reply of a finished chat of one turn, as if it had been written at that time."""
    at = timezone.now() - timedelta(days=days_ago)
    conversation = Conversation.objects.create(owner=person, title=question[:60], created_at=at, last_active_at=at)
    asked = Message.objects.create(
        conversation=conversation, role=Message.Role.USER, text=question, html=markdown.render(question), created_at=at
    )
    reply = Message.objects.create(
        conversation=conversation,
        parent=asked,
        role=Message.Role.ASSISTANT,
        text=answer,
        html=markdown.render(answer),
        created_at=at,
    )
    Generation.objects.create(
        message=reply,
        requested_by=person,
        client_id=str(uuid4()),
        status=Generation.Status.COMPLETED,
        finish_reason="stop",
        attempt=1,
        model=chance.choices(MODELS, MODEL_SHARES)[0],
        revision=REVISIONS[timezone.now() - at < UPDATED_AGO],
        ended_at=at,
    )
    Conversation.objects.filter(id=conversation.id).update(active_leaf=reply)
    return reply


def _vote(reply: Message, chance: random.Random) -> None:
    """Two of three replies have a thumb; more are up since the update."""
    if chance.random() > 0.66:
        return
    is_new = timezone.now() - reply.created_at < UPDATED_AGO
    is_up = chance.random() < (0.85 if is_new else 0.6)
    Feedback.objects.create(
        message=reply,
        value=Feedback.Value.UP if is_up else Feedback.Value.DOWN,
        reasons=[] if is_up else chance.sample(Feedback.Reason.values, chance.randint(1, 2)),
        comment="" if is_up or chance.random() < 0.5 else chance.choice(COMMENTS),
        created_at=min(timezone.now(), reply.created_at + timedelta(minutes=chance.randint(1, 30))),
    )


def _banners() -> None:
    """One that everybody can dismiss, one for those who look after the server, and one that is over."""
    now, day = timezone.now(), timedelta(days=1)
    Banner.objects.create(text="New: presets and prompts for the whole team, in the settings.", ends_at=now + 30 * day)
    Banner.objects.create(
        level=Banner.Level.WARNING,
        audience=Banner.Audience.ADMINS,
        text="The licence of the backup ends this month.",
        ends_at=now + 10 * day,
    )
    Banner.objects.create(
        level=Banner.Level.ERROR,
        text="The large model is out of order. Choose another one.",
        starts_at=now - 21 * day,
        ends_at=now - 20 * day,
    )


def _history(people: list[User], days: int, chance: random.Random) -> Iterator[UsageRecord]:
    """The ledger: busy weekdays and quiet weekends, more from month to month, some people far more than others."""
    now = timezone.now()
    eagerness = {person: chance.paretovariate(1.2) for person in people[:-1]}  # the last one never came
    for day in range(days, -1, -1):
        at = now - timedelta(days=day)
        growth = 1 - 0.6 * day / max(1, days)
        for person, eager in eagerness.items():
            if not person.is_active and day < days / 3:
                continue
            mean = min(40, 6 * eager) * growth * (0.15 if at.weekday() > 4 else 1)
            jump = 12 if person is people[2] and day == 3 else 1
            for _ in range(int(chance.expovariate(1 / mean) * jump)):
                yield _record(person, at.replace(hour=chance.randint(7, 18), minute=chance.randint(0, 59)), chance)


def _record(person: User, at: datetime, chance: random.Random) -> UsageRecord:
    prompt, completion = int(chance.lognormvariate(6.5, 1)), int(chance.lognormvariate(5.5, 0.8))
    wait = chance.expovariate(1 / 150)
    return UsageRecord(
        generation_id=uuid4(),
        user=person,
        user_pseudonym=person.id,
        model=chance.choices(MODELS, MODEL_SHARES)[0],
        source=chance.choices(UsageRecord.Source.values, (9, 1))[0],
        prompt_tokens=prompt,
        cached_tokens=int(prompt * chance.random() * 0.7),
        completion_tokens=completion,
        reasoning_tokens=int(completion * 0.4) if chance.random() < 0.3 else 0,
        device_s=completion / 180 + prompt / 9000,
        energy_j=completion * 0.9 + prompt * 0.02,
        queue_ms=wait,
        ttft_ms=wait + chance.lognormvariate(5.5, 0.5),
        status=chance.choices(("completed", "stopped", "failed"), (95, 4, 1))[0],
        created_at=min(at, timezone.now()),
    )


def _quotas() -> None:
    Quota.objects.create(most=2_000_000, period=Quota.Period.MONTH)
    sales = Group.objects.get(name="Sales")
    Quota.objects.create(most=2_000, measure=Quota.Measure.REPLIES, period=Quota.Period.WEEK, group=sales, is_pool=True)
