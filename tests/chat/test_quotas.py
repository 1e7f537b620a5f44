"""Quotas: reserved when a message is accepted, settled when its reply ends, never overspent."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Group
from django.db import connections
from django.test import Client
from django.utils import timezone

from chat.models import Audit, Conversation, Generation, Quota, QuotaSpent, RollUp, UsageRecord, User
from chat.worker import InferenceWorker
from tests.chat.people import entry, signed_in
from tests.conftest import World, wait_for

HTMX = {"HX-Request": "true"}


def ask(user: User, client_id: str, text: str = "[[tokens=3;rate=0]] Hi") -> Generation:
    return Conversation.start(user, text, client_id).generation


def left(user: User) -> list[int]:
    return [standing.left for standing in Quota.standings(user.id)]


def test_I11_of_fifty_messages_at_once_as_many_are_taken_as_there_is_room_for(world: World) -> None:
    Quota.objects.create(measure="replies", most=7)
    group = Group.objects.create(name="Research")
    group.user_set.set([world.owner, world.team_mate])
    Quota.objects.create(measure="tokens", most=50_000, group=group, is_pool=True)

    def send(number: int) -> bool:
        try:
            ask((world.owner, world.team_mate)[number % 2], f"c{number}")
        except QuotaSpent:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(10) as threads:
        taken = sum(threads.map(send, range(50)))
    reserved = sum(Generation.objects.values_list("reserved_tokens", flat=True))
    assert taken == Generation.objects.count() == 11, "4,354 tokens each, from 50,000"
    assert reserved <= 50_000
    assert max(Generation.objects.filter(requested_by=user).count() for user in (world.owner, world.team_mate)) <= 7


def test_a_reply_settles_at_its_end_whatever_that_is(world: World, worker: InferenceWorker) -> None:
    Quota.objects.create(most=10_000)
    generation = ask(world.owner, "c1", "[[tokens=400;rate=50]] Hi")
    assert left(world.owner)[0] < 6_000
    wait_for(lambda: Generation.objects.filter(status="running").exists())
    generation.stop()
    record = wait_for(lambda: UsageRecord.objects.first())
    assert left(world.owner) == [10_000 - record.prompt_tokens - record.completion_tokens]
    assert left(world.team_mate) == [10_000]


def test_I11_a_chat_deleted_in_the_middle_of_a_reply_has_cost_what_it_cost(
    world: World, worker: InferenceWorker
) -> None:
    Quota.objects.create(most=10_000)
    turn = Conversation.start(world.owner, "[[tokens=400;rate=50]] Hi", "c2")
    wait_for(lambda: worker.engine and worker.engine.stats().num_completion_tokens > 3)
    Conversation.objects.get(id=turn.message.conversation_id).remove()
    record = wait_for(lambda: UsageRecord.objects.first())
    assert record.completion_tokens > 3
    assert left(world.owner) == [10_000 - record.prompt_tokens - record.completion_tokens]


def test_what_is_refused_is_said_in_plain_words_and_nothing_is_written(world: World) -> None:
    Quota.objects.create(measure="replies", most=1)
    client = signed_in(world.owner)
    accepted = client.post("/c/", {"client_id": "a", "text": "Hello"}, headers=HTMX)
    refused = client.post("/c/", {"client_id": "b", "text": "Again"}, headers=HTMX)
    assert (accepted.status_code, refused.status_code) == (200, 422)
    words = refused.content.decode()
    assert "Your quota is used up (1 replies a day). It starts anew" in words
    assert "(UTC)" in words
    assert Generation.objects.count() == 1
    again = client.post("/c/", {"client_id": "a", "text": "Hello"}, headers=HTMX)
    assert again.status_code == 200, "what was accepted is, however often it is sent"
    with pytest.raises(QuotaSpent) as error:
        ask(world.owner, "c")
    assert timezone.now() < error.value.resets_at <= timezone.now() + timedelta(days=1)


def test_continuing_and_asking_again_take_from_the_quota_too(world: World) -> None:
    Quota.objects.create(measure="replies", most=1)
    generation = ask(world.owner, "c1")
    generation.stop()
    conversation = Conversation.objects.get()
    entry(world.owner)
    for again in (generation.resume, lambda: conversation.reply_again(conversation.branch()[0], "c2")):
        with pytest.raises(QuotaSpent):
            again()
    assert Generation.objects.get().status == "stopped"
    UsageRecord.objects.all().delete()
    generation.resume()
    assert Generation.objects.get().status == "queued"
    assert Generation.objects.get().reserved_tokens > 4096


def test_who_a_quota_is_for(world: World) -> None:
    group = Group.objects.create(name="Research")
    group.user_set.set([world.owner, world.team_mate])
    Quota.objects.create(measure="tokens", most=100, group=group)
    Quota.objects.create(measure="tokens", most=200, group=group, is_pool=True)
    Quota.objects.create(measure="tokens", most=300, user=world.owner)
    Quota.objects.create(measure="tokens", most=400, model="another")
    entry(world.owner)
    entry(world.team_mate, prompt_tokens=0)
    entry(world.outsider)
    assert sorted(left(world.owner)) == [88, 200 - 12 - 4, 288, 400]
    assert sorted(left(world.team_mate)) == [96, 184, 400]
    assert left(world.outsider) == [400]


def test_periods_begin_at_midnight_of_the_zone_and_past_days_count(world: World, settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Shanghai"
    for period in Quota.Period.values:
        Quota.objects.create(measure="replies", most=100, period=period)
    now = timezone.now().astimezone(ZoneInfo("Asia/Shanghai"))
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    starts: list[datetime] = [midnight, midnight - timedelta(days=now.weekday()), midnight.replace(day=1)]
    for start in starts:
        entry(world.owner, created_at=start - timedelta(seconds=1))
        entry(world.owner, created_at=start, status="failed")
        entry(world.owner, created_at=start)
    expected = [
        100 - UsageRecord.objects.filter(created_at__gte=start).exclude(status="failed").count() for start in starts
    ]
    assert sorted(left(world.owner)) == sorted(expected)
    RollUp.go_on()
    assert sorted(left(world.owner)) == sorted(expected)
    day, week, month = (Quota.objects.get(period=period).resets_at() for period in Quota.Period.values)
    assert day == midnight + timedelta(days=1)
    assert (week.weekday(), month.day) == (0, 1)


def test_T2_everybody_sees_their_own_use_by_day_and_model_and_what_is_left_until_when(world: World) -> None:
    Quota.objects.create(most=1_000)
    entry(world.owner, prompt_tokens=900, device_s=2.5, model="small-1")
    entry(world.team_mate, prompt_tokens=5, model="not mine")
    page = signed_in(world.owner).get("/settings/usage/").content.decode()
    assert "96 of 1,000 tokens a day left, until" in page
    assert "(UTC)" in page
    assert '<data value="900">900</data>' in page
    assert "not mine" not in page
    assert '<th scope="row">small-1</th>' in page
    for title in ("Replies", "Prompt tokens", "Completion tokens", "Device seconds"):
        assert f'<th scope="col">{title}</th>' in page, title
    assert page.count('<data value="2.5">2.5</data>') == 4  # of the day, of the model, and both totals
    assert page.count('<th scope="row">20') == 30
    notice = signed_in(world.owner).get("/settings/usage/left/").content.decode()
    assert "96 of 1,000 tokens a day left" in notice
    assert "left" not in signed_in(world.team_mate).get("/settings/usage/left/").content.decode()
    assert signed_in(world.owner).get("/settings/usage/?from=x").status_code == 422
    for address in ("/settings/usage/", "/settings/usage/left/"):
        assert Client().get(address).status_code == 302


def test_the_administrator_makes_quotas_that_make_sense(world: World) -> None:
    client = signed_in(world.admin)
    group = Group.objects.create(name="Research")
    fields = {"most": 10, "measure": "replies", "period": "week"}
    for bad in ({"is_pool": "on"}, {"user": str(world.owner.id), "group": group.id}, {"most": -1}):
        assert client.post("/admin/chat/quota/add/", {**fields, **bad}).status_code == 200, bad
    assert client.post("/admin/chat/quota/add/", {**fields, "group": group.id, "is_pool": "on"}).status_code == 302
    assert Audit.objects.get().act == "quota.added"
    assert str(Quota.objects.get()) == "10 replies a week"
    assert "10 replies a week" in client.get("/admin/chat/quota/").content.decode()
