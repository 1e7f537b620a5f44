"""The usage review: what administrators and auditors see of everybody's use, and nobody else."""

from __future__ import annotations

import csv
import io
import re
import threading
from datetime import timedelta
from typing import Any, get_args

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from chat.ledger import Closing
from chat.models import Audit, Conversation, RollUp, UsageRecord, UsageSum, User, Worker
from chat.models.histogram import percentile
from chat.models.usage_sum import midnight, today
from chat.usage_report import By, Filters, Report
from chat.worker import InferenceWorker
from tests.chat.people import auditor, entry, signed_in
from tests.conftest import World, wait_for

REVIEW = "/admin/usage/"


def text_of(answer: Any) -> str:
    return b"".join(answer).decode() if answer.streaming else str(answer.content.decode())


def shown(page: str) -> list[list[str]]:
    """The table of the page as machines read it: head, lines, sums."""
    start = page.index('<table class="usage__table">')
    table = page[start : page.index("</table>", start)]
    rows = re.findall(r"(?s)<tr>(.*?)</tr>", table)
    return [[_cell(cell) for cell in re.findall(r"(?s)<t[hd]\b[^>]*>.*?</t[hd]>", row)] for row in rows]


def _cell(html: str) -> str:
    number = re.search(r'<data value="([^"]*)"', html)
    return number[1] if number else " ".join(re.sub(r"<[^>]+>", "", html).split())


def of_file(client: Client, query: str = "") -> list[list[str]]:
    text = text_of(client.get(f"/admin/usage.csv{query}"))
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))


def test_only_administrators_and_auditors_come_in(world: World) -> None:
    for person, status in ((world.owner, 302), (world.team_mate, 302), (world.outsider, 302), (auditor(), 200)):
        client = signed_in(person)
        for address in (REVIEW, "/admin/usage.csv", "/admin/ledger/", "/admin/chat/audit/"):
            assert client.get(address).status_code == status, (person.email, address)
    assert Client().get(REVIEW)["Location"].startswith("/admin/login/")


def test_the_file_is_what_the_page_shows(world: World) -> None:
    entry(world.owner, 1, device_s=2.25, energy_j=30, queue_ms=100, ttft_ms=400, cached_tokens=4)
    entry(world.owner, 3, status="stopped")
    entry(world.team_mate, 1, status="failed", source="api", model="big")
    client = signed_in(world.admin)
    for query in (
        "",
        "?by=user",
        "?by=group",
        "?by=model&sort=replies",
        "?by=source&sort=-name",
        "?user=olga@example.org",
    ):
        page = text_of(client.get(f"{REVIEW}{query}"))
        assert shown(page) == of_file(client, query), query
    assert Audit.objects.filter(act="usage.exported", actor=world.admin.email).count() == 6


def test_a_day_without_use_is_shown_and_what_was_not_measured_is_no_nought(world: World) -> None:
    entry(world.owner, 2)
    days = shown(text_of(signed_in(world.admin).get(REVIEW)))
    assert len(days) == 1 + 30 + 1
    used, unused = days[-4], days[-3]
    assert used[:6] == [str(today() - timedelta(days=2)), "1", "8", "0", "4", "0"]
    assert used[6:8] == ["", ""]
    assert unused[1] == "0"


def test_filters_stand_in_the_address_and_what_is_none_is_said(world: World) -> None:
    group = Group.objects.create(name="Research")
    world.owner.groups.add(group)
    for person, source in ((world.owner, "page"), (world.owner, "api"), (world.team_mate, "page")):
        entry(person, 1, source=source)
    client = signed_in(world.admin)
    yesterday = today() - timedelta(days=1)

    def replies(query: str) -> str:
        return shown(text_of(client.get(f"{REVIEW}?{query}")))[-1][1]

    assert replies("") == "3"
    assert replies("group=Research") == replies(f"user={world.owner.id}") == replies("user=OLGA@example.org") == "2"
    assert replies("group=Research&source=api") == "1"
    assert replies("model=unheard-of") == "0"
    assert replies(f"from={yesterday}&to={yesterday}") == "3"
    assert replies(f"to={yesterday - timedelta(days=1)}") == "0"
    assert [row[0] for row in shown(text_of(client.get(f"{REVIEW}?by=group")))[1:]] == [
        "Research",
        "In no group",
        "All",
    ]
    for bad in (
        "from=x",
        "from=2026-02-02&to=2026-01-01",
        "group=none",
        "user=nobody",
        "by=x",
        "sort=x",
        "from=1000-01-01",
    ):
        assert client.get(f"{REVIEW}?{bad}").status_code == 422, bad
        assert client.get(f"/admin/usage.csv?{bad}").status_code == 422, bad


def test_hostile_names_are_neither_markup_nor_formulas(world: World) -> None:
    User.objects.filter(id=world.owner.id).update(email="=cmd@example.org")
    entry(world.owner, model="<script>x</script>")
    entry(world.owner, model="@sum")
    client = signed_in(world.admin)
    assert "<script>x" not in text_of(client.get(f"{REVIEW}?by=model"))
    assert [row[0] for row in of_file(client, "?by=user")] == ["Person", "'=cmd@example.org", "All"]
    assert "'@sum" in [row[0] for row in of_file(client, "?by=model")]


def test_the_review_shows_no_word_that_people_wrote(world: World, worker: InferenceWorker) -> None:
    turn = Conversation.start(world.owner, "[[tokens=3;rate=0]] my secret plan", "c1")
    wait_for(lambda: UsageRecord.objects.exists())
    client = signed_in(world.admin)
    for address in (REVIEW, f"{REVIEW}?by=user", "/admin/usage.csv", "/admin/ledger/", "/admin/chat/audit/"):
        assert "secret" not in text_of(client.get(address)), address
    assert turn.generation.id


def test_past_days_come_from_the_roll_up_and_are_the_same(world: World) -> None:
    world.owner.groups.add(group := Group.objects.create(name="Research"))
    for days_ago in range(0, 100, 3):
        for person in (world.owner, world.team_mate):
            entry(person, days_ago, queue_ms=50 * days_ago, ttft_ms=300, device_s=1.5)
    first, last = today() - timedelta(days=98), today()
    whole = Filters(first, last)
    parts = (whole, Filters(first, last, user=world.owner.id), Filters(first, last, group=group.id, model="scripted"))
    every: tuple[By, ...] = get_args(By)
    live = [Report(part).lines(by) for part in parts for by in every]
    assert RollUp.go_on() in {98, 99}  # yesterday rests for an hour
    assert [Report(part).lines(by) for part in parts for by in every] == live
    assert {grain: UsageSum.objects.filter(grain=grain).exists() for grain in UsageSum.Grain} == dict.fromkeys(
        UsageSum.Grain, True
    )
    UsageRecord.objects.filter(created_at__lt=midnight(today() - timedelta(days=2))).delete()
    assert [Report(part).lines(by) for part in parts for by in every] == live
    assert RollUp.go_on() == 0


def test_another_zone_has_other_days_and_a_roll_up_of_its_own(world: World, settings: Any) -> None:
    noon = entry(world.owner, 3).created_at
    UsageRecord.objects.update(created_at=noon.replace(hour=23, minute=30))
    RollUp.go_on()
    settings.TIME_ZONE = "Asia/Shanghai"
    live = Report(Filters(today() - timedelta(days=6), today())).days
    RollUp.go_on()
    assert Report(Filters(today() - timedelta(days=6), today())).days == live
    assert [line.key for line in live if line.num_replies] == [noon.date() + timedelta(days=1)]


def test_percentiles_are_right_to_a_tenth(world: World) -> None:
    for number in range(1, 101):
        entry(world.owner, ttft_ms=number * 37.0, queue_ms=3)
    [line] = Report(Filters(today(), today())).days
    assert line.ttft_ms(0.5) == pytest.approx(50 * 37, rel=0.1)
    assert line.ttft_ms(0.95) == pytest.approx(95 * 37, rel=0.1)
    assert 0 < (line.wait_ms(0.5) or 0) <= 10
    assert percentile(None, 0.5) is None


def test_jumps_shares_and_unused_seats_are_found(world: World) -> None:
    for days_ago in range(2, 9):
        entry(world.owner, days_ago, prompt_tokens=100)
        entry(world.team_mate, days_ago, prompt_tokens=100)
    entry(world.owner, 1, prompt_tokens=90_000)
    User.objects.update(date_joined="2020-01-01T00:00Z")
    page = text_of(signed_in(world.admin).get(REVIEW))
    findings = page[page.index("usage__findings") :]
    assert f"{today() - timedelta(days=1)}: olga@example.org used 90,004 tokens, 104 a day before." in findings
    assert findings.count("a day before") == 1
    assert "the biggest has 99.2 % of all tokens" in findings
    unused = findings[findings.index("Seats unused") :]
    assert ("oscar@" in unused, "ada@" in unused, "olga@" in unused, "tariq@" in unused) == (True, True, False, False)


def test_use_outlives_the_person_under_a_number(world: World) -> None:
    entry(world.owner)
    number = world.owner.id.hex[-8:]
    world.owner.delete()
    page = text_of(signed_in(world.admin).get(f"{REVIEW}?by=user"))
    assert f"Former person {number}" in page
    assert "olga" not in page


def test_I11_the_ledger_closes_over_replies_of_every_end(world: World, worker: InferenceWorker) -> None:
    for number, script in enumerate(("tokens=9;rate=0", "tokens=20;rate=0;fail_at=5", "tokens=2000;rate=100")):
        Conversation.start(world.owner, f"[[{script}]] Hello", f"c{number}")
    wait_for(lambda: UsageRecord.objects.count() == 2)
    wait_for(lambda: world.owner.generations.filter(status="running").exists())
    for generation in world.owner.generations.filter(status="running"):
        generation.stop()
    wait_for(lambda: UsageRecord.objects.count() == 3)

    def is_closed() -> bool:
        [closing] = Closing.of_all()
        return closing.worker.num_completion_tokens > 14 and closing.rest_completion_tokens == 0

    wait_for(is_closed)
    [closing] = Closing.of_all()
    assert closing.rest_prompt_tokens == 0
    assert closing.idle_s == closing.up_s > 0
    assert set(UsageRecord.objects.values_list("worker_id", flat=True)) == {worker.row.id}
    worker.stop()  # or its next beat would say again what it counted
    Worker.objects.update(num_completion_tokens=closing.completion_tokens + 7, busy_s=closing.device_s + 5)
    page = text_of(signed_in(auditor()).get("/admin/ledger/"))
    assert "<td>7</td>" in page
    assert "<td>5.0</td>" in page


def test_the_review_takes_the_same_queries_however_much_was_used(
    world: World, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = signed_in(world.admin)
    for number in range(20):
        person = User.objects.create(email=f"p{number}@example.org", name="P")
        entry(person, number, model=f"m{number}")
    with django_assert_max_num_queries(24):
        client.get(f"{REVIEW}?by=user")


def test_two_roll_ups_at_once_sum_up_every_day_once(world: World) -> None:
    for days_ago in range(2, 8):
        entry(world.owner, days_ago)
    summed: list[int] = []

    def go_on() -> None:
        from django.db import connections

        try:
            summed.append(RollUp.go_on())
        finally:
            connections.close_all()

    threads = [threading.Thread(target=go_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(summed) in {6, 7}  # yesterday, unused, rests for an hour
    assert UsageSum.objects.filter(grain="day").count() == 6
