"""Nobody starves: the queue goes by what people had of the devices lately, and says how long one waits."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError
from django.db.models import F
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from chat import stages
from chat.models import Conversation, FairShare, Generation, Message, User, Worker, queue
from chat.reply_stream import Told
from chat.worker import InferenceWorker
from inference.contract import Finished, Timings
from tests.conftest import World, wait_for

BACKGROUND, API = Generation.Priority.BACKGROUND, Generation.Priority.API


@pytest.fixture
def gpu(world: World) -> Worker:
    return Worker.objects.create(name="gpu0", state=Worker.State.READY, num_slots=4)


def ask(user: User, num: int, priority: Generation.Priority = Generation.Priority.INTERACTIVE) -> list[Generation]:
    asked = [Conversation.start(user, "Hello", f"{user.name}-{priority}-{i}").generation for i in range(num)]
    Generation.objects.filter(id__in=[each.id for each in asked]).update(priority=priority)
    return asked


def serve(gpu: Worker, num: int, device_s: float = 5.0) -> list[Generation]:
    """Claim one reply after another and end it; in which order they came."""
    served: list[Generation] = []
    for _ in range(num):
        for claimed in Generation.claim(gpu, 1):
            claimed.finish(Told("Hi"), None, Finished("stop", timings=Timings(device_s=device_s)))
            served.append(claimed)
    return served


def test_who_used_the_devices_most_of_late_waits_for_who_used_them_least(world: World, gpu: Worker) -> None:
    for person, device_s in ((world.owner, 60.0), (world.team_mate, 2.0)):
        ask(person, 1)
        serve(gpu, 1, device_s)
    FairShare.objects.filter(priority=None)
    heavy = Conversation.start(world.owner, "More", "more").generation
    light = Conversation.start(world.team_mate, "More", "more").generation
    new = Conversation.start(world.outsider, "Hello", "first").generation

    assert Generation.claim(gpu, 1) == [new]
    assert Generation.claim(gpu, 1) == [light]
    assert Generation.claim(gpu, 1) == [heavy]


def test_what_was_used_is_forgotten_by_halves(world: World, gpu: Worker) -> None:
    ask(world.owner, 1)
    serve(gpu, 1, device_s=60)
    FairShare.objects.update(used_at=timezone.now() - timedelta(seconds=10 * FairShare.HALF_LIFE_S))
    ask(world.team_mate, 1)
    serve(gpu, 1, device_s=2)
    forgiven = Conversation.start(world.owner, "More", "more").generation
    Conversation.start(world.team_mate, "More", "more")

    assert Generation.claim(gpu, 1) == [forgiven]


def test_a_person_with_twice_the_weight_gets_twice_the_replies(world: World, gpu: Worker) -> None:
    for person in (world.owner, world.team_mate):
        ask(person, 20)
    FairShare.objects.create(user=world.owner, weight=2)
    served = serve(gpu, 18)

    assert sum(each.requested_by_id == world.owner.id for each in served) == 12
    with pytest.raises(IntegrityError):
        FairShare.objects.filter(user=world.owner).update(weight=0)


def test_one_who_sends_thirty_messages_lets_nine_others_wait_for_less_than_two_replies_each(
    world: World, gpu: Worker
) -> None:
    ask(world.owner, 30)
    serve(gpu, 2)
    nine = [User.objects.create(email=f"{i}@example.org", name=str(i)) for i in range(9)]
    waiting = [Conversation.start(person, "Hello", "c").generation for person in nine]

    assert set(serve(gpu, 9)) == set(waiting)


def test_beside_one_who_sent_five_hundred_messages_nine_wait_for_less_than_two_replies_time(
    world: World, gpu: Worker
) -> None:
    chat = Conversation.objects.create(owner=world.owner, title="Flood")
    replies = Message.objects.bulk_create(
        Message(conversation=chat, role=Message.Role.ASSISTANT, text="") for _ in range(500)
    )
    Generation.objects.bulk_create(
        Generation(message=reply, requested_by=world.owner, client_id=str(reply.id)) for reply in replies
    )
    num_slots = 8
    at_work = [Generation.claim(gpu, 1)[0] for _ in range(num_slots)]
    nine = [User.objects.create(email=f"{i}@example.org", name=str(i)) for i in range(9)]
    waiting = {Conversation.start(person, "Hello", "c").generation for person in nine}
    num_ended = 0
    while waiting:
        at_work.pop(0).finish(Told("Hi"), None, Finished("stop", timings=Timings(device_s=1)))
        num_ended += 1  # each slot's reply ends once in as many
        at_work += Generation.claim(gpu, 1)
        waiting.discard(at_work[-1])
        assert num_ended < 2 * num_slots


def test_a_class_never_starves(world: World, gpu: Worker, settings: Settings) -> None:
    settings.LEAST_SHARE = 0.2
    settings.USER_QUEUED = 100
    ask(world.owner, 40)
    ask(world.team_mate, 10, BACKGROUND)
    ask(world.outsider, 10, API)
    served = serve(gpu, 40)
    numbers = [sum(each.priority == priority for each in served) for priority in Generation.Priority]

    assert served[0].priority == Generation.Priority.INTERACTIVE
    for number in numbers[1:]:
        assert 6 <= number <= 8
    settings.LEAST_SHARE = 0
    assert {each.priority for each in serve(gpu, 10)} == {Generation.Priority.INTERACTIVE}


def test_a_person_has_only_so_many_at_work_and_background_work_does_not_count_against_the_page(
    world: World, gpu: Worker, settings: Settings
) -> None:
    settings.USER_RUNNING = 2
    ask(world.owner, 5, BACKGROUND)
    interactive = ask(world.owner, 3)
    claimed = Generation.claim(gpu, 10)

    assert [each.priority for each in claimed].count(BACKGROUND) == 2
    assert set(interactive[:2]) <= set(claimed)
    assert len(claimed) == 4
    claimed[0].finish(Told("Hi"), None, Finished("stop"))
    assert len(Generation.claim(gpu, 10)) == 1


def test_who_has_too_many_waiting_is_told_so_and_loses_nothing(world: World, gpu: Worker, settings: Settings) -> None:
    settings.USER_QUEUED = 2
    first, _ = ask(world.owner, 2)
    client = Client()
    client.force_login(world.owner)
    words = "You have 2 messages waiting for an answer already. Send this one when some are answered."
    answer = client.post("/c/", {"client_id": "c3", "text": "Third"}, headers={"HX-Request": "true"})
    assert (answer.status_code, words in answer.content.decode()) == (422, True)
    page = client.post("/c/", {"client_id": "c3", "text": "Third"}).content.decode()
    assert words in page
    assert "Third</textarea>" in page
    assert Generation.objects.count() == 2
    assert Conversation.start(world.owner, "Hello", first.client_id).generation == first
    Conversation.start(world.team_mate, "Hello", "c1")

    Generation.claim(gpu, 1)
    assert client.post("/c/", {"client_id": "c3", "text": "Third"}).status_code == 302


def test_a_reply_knows_its_place_and_when_it_begins(world: World, gpu: Worker) -> None:
    Worker.objects.filter(id=gpu.id).update(num_slots=2)
    running = [*ask(world.owner, 1), *ask(world.team_mate, 1)]
    Generation.claim(gpu, 2)
    busy = ask(world.outsider, 3)
    late = ask(world.admin, 1)[0]
    assert [each.place() for each in (busy[0], late, busy[1])] == [(0, None), (1, None), (2, None)]
    assert running[0].place() is None

    Worker.objects.filter(id=gpu.id).update(reply_s=6.0)
    assert [each.place() for each in (busy[0], late, busy[2])] == [(0, 3.0), (1, 6.0), (3, 12.0)]
    stage = stages.stages([late.id])[late.id]
    frame = stage.frame(str(late.id), "en")
    assert (frame["num_ahead"], frame["expected_s"], frame["stage"]) == (1, 6.0, "waiting")
    assert frame["text"] == "Waiting for a free place, 1 reply before this one"
    Generation.objects.queued().update(queued_at=F("queued_at") - timedelta(seconds=2))
    stages.stages([late.id])  # what was told first counts
    assert Generation.claim(gpu, 2) == [busy[0], late]
    expected = queue.error_of_expected()
    assert expected.num_replies == 1
    for number_s, about_s in ((expected.wait_s, 2), (expected.error_s, 4), (expected.bias_s, 4)):
        assert number_s is not None
        assert about_s - 0.9 < number_s < about_s + 0.9
    client = Client()
    client.force_login(world.admin)
    assert "1 reply began after its wait was told" in client.get("/admin/workers/").content.decode()


def test_a_worker_measures_how_long_its_replies_take(world: World, worker: InferenceWorker) -> None:
    Conversation.start(world.owner, "[[tokens=40;rate=80]] Hello", "c1")
    row = wait_for(lambda: Worker.objects.filter(id=worker.row.id, reply_s__gt=0).first())
    assert 0.45 < row.reply_s < 5
