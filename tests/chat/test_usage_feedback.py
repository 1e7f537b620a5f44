"""Thumbs in the usage review: counts by all that it knows, reasons by model and revision, no word of a chat."""

from __future__ import annotations

import re
from typing import Any

from django.contrib.auth.models import Group
from django.test import Client

from chat.models import Conversation, Feedback, Generation, RollUp, User
from chat.models.usage_sum import today
from tests.chat.people import auditor, entry, signed_in
from tests.chat.test_usage_review import REVIEW, of_file, shown, text_of
from tests.conftest import World


def vote(person: User, value: str, model: str, revision: str, *reasons: str, **fields: Any) -> Feedback:
    """A thumb for a finished reply, whose question says a secret."""
    turn = Conversation.start(person, "my secret plan", f"c{Generation.objects.count()}")
    Generation.objects.filter(id=turn.generation.id).update(
        status="completed", model=model, revision=revision, **fields
    )
    feedback = Feedback.vote(turn.reply, value)
    assert feedback
    feedback.explain(reasons, "a secret comment")
    return feedback


def verdicts(page: str) -> list[list[str]]:
    part = page[page.index('id="feedback"') : page.index("Biggest users")]
    rows = re.findall(r"(?s)<tr>(.*?)</tr>", part)
    return [re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row) for row in rows]


def feedback_file(client: Client, query: str) -> list[list[str]]:
    text = text_of(client.get(f"/admin/usage/feedback.csv{query}"))
    return [line.split(",") for line in text.removeprefix("\ufeff").splitlines()]


def test_T3_thumbs_stand_in_every_table_and_in_the_file(world: World) -> None:
    group = Group.objects.create(name="Research")
    world.owner.groups.add(group)
    entry(world.owner, model="big")
    vote(world.owner, "up", "big", "r1")
    vote(world.owner, "down", "big", "r2", "wrong", "style")
    vote(world.team_mate, "down", "small", "r1", "wrong", priority=Generation.Priority.API)
    client = signed_in(world.admin)

    def thumbs(query: str) -> dict[str, list[str]]:
        page = shown(text_of(client.get(f"{REVIEW}{query}")))
        assert page == of_file(client, query), query
        return {row[0]: row[-2:] for row in page[1:]}

    assert thumbs("")[str(today())] == ["1", "2"]
    assert thumbs("?by=user") == {
        "olga@example.org": ["1", "1"],
        "tariq@example.org": ["0", "1"],
        "All": ["1", "2"],
    }
    assert thumbs("?by=group") == {"Research": ["1", "1"], "In no group": ["0", "1"], "All": ["1", "2"]}
    assert thumbs("?by=model&sort=-down")["small"] == ["0", "1"]
    assert thumbs("?by=source") == {"Page": ["1", "1"], "API": ["0", "1"], "All": ["1", "2"]}
    assert thumbs("?by=user&group=Research")["All"] == ["1", "1"]
    assert thumbs("?model=small&by=day")["All"] == ["0", "1"]
    assert "Of those who used anything (1), the biggest has 100" in text_of(client.get(f"{REVIEW}?by=user"))


def test_T3_reasons_are_counted_by_model_and_revision_without_a_word_of_the_chat(world: World) -> None:
    vote(world.owner, "up", "big", "r1")
    vote(world.owner, "up", "big", "r1")
    vote(world.owner, "down", "big", "r1", "wrong")
    vote(world.owner, "down", "big", "=r2", "wrong", "style")
    client = signed_in(auditor())
    page = text_of(client.get(REVIEW))
    head, *rows = verdicts(page)
    assert head[:5] == ["Model", "Revision", "Thumbs up", "Thumbs down", "Up, %"]
    assert rows == [
        ["big", "r1", "2", "1", "66.7", "1", "0", "0", "0", "0"],
        ["big", "=r2", "0", "1", "0.0", "1", "0", "0", "1", "0"],
    ]
    in_file = feedback_file(client, "")
    assert in_file[1:] == [rows[0], ["big", "'=r2", *rows[1][2:]]]
    assert feedback_file(client, "?model=other")[1:] == []
    assert client.get("/admin/usage/feedback.csv?from=x").status_code == 422
    assert "secret" not in page
    Conversation.objects.all().delete()
    assert verdicts(text_of(client.get(REVIEW)))[1:] == [["Nobody voted in this period."]]


def test_T3_the_review_holds_its_filters_zone_order_and_charts(world: World) -> None:
    for days_ago in (1, 3, 40):
        entry(world.owner, days_ago, source="api")
    entry(world.team_mate, 2)
    world.owner.groups.add(Group.objects.create(name="Research"))
    RollUp.go_on()
    client = signed_in(world.admin)
    query = "?group=Research&source=api&user=olga%40example.org&model=scripted"
    page = text_of(client.get(f"{REVIEW}{query}"))
    assert "whole days in the zone UTC" in page
    assert page.count('<figure class="chart"') == 2
    lines = shown(page)
    assert (len(lines), lines[-1][1]) == (32, "2"), "thirty days, those without use too"
    assert lines == of_file(client, query)
    for link in re.findall(r'href="(\?[^"]*)"', page):
        assert "source=api" in link, "each tab, head and line keeps the filters"
    for by in ("user", "group"):
        for sort in ("replies", "-replies"):
            rows = shown(text_of(client.get(f"{REVIEW}?by={by}&sort={sort}")))[1:-1]
            order = [int(row[1]) for row in rows]
            assert order == sorted(order, reverse=sort.startswith("-"))
