"""What a group means: which models its members may ask, how much of the devices they get, and links meant for it."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from chat.models import Audit, Conversation, FairShare, Generation, GroupRule, ModelAccess, ShareLink, Worker
from tests.chat.people import auditor, live_worker, signed_in
from tests.chat.sharing import share, submit, told
from tests.chat.test_fair_queue import ask, serve
from tests.chat.test_models import send
from tests.conftest import World


@pytest.fixture
def research(world: World) -> Group:
    group = Group.objects.create(name="Research")
    world.owner.groups.add(group)
    return group


def test_the_admin_gives_a_group_its_weight_and_a_model_its_groups(world: World, research: Group) -> None:
    live_worker("gpu0", model="big")
    client = signed_in(world.admin)
    address = f"/admin/auth/group/{research.id}/change/"
    fields = {"name": "Research", "members": [str(world.owner.id)], "weight": "2.5"}
    assert client.post(address, fields).status_code == 302
    assert GroupRule.objects.get().weight == 2.5
    assert 'value="2.5"' in client.get(address).content.decode()
    assert client.post(address, {**fields, "weight": "0"}).status_code == 200, "nobody can be left out for ever"

    page = client.get("/admin/chat/modelaccess/add/").content.decode()
    assert "Served of late: big" in page
    assert client.post("/admin/chat/modelaccess/add/", {"model": "big", "groups": [research.id]}).status_code == 302
    assert "Research" in client.get("/admin/chat/modelaccess/").content.decode()
    assert list(Audit.objects.order_by("id").values_list("act", flat=True)) == ["group.changed", "modelaccess.added"]
    for refused, status in ((auditor(), 403), (world.owner, 302)):
        for address in ("/admin/chat/modelaccess/add/", "/admin/auth/group/add/"):
            assert signed_in(refused).post(address, {"model": "x", "name": "x", "weight": "1"}).status_code == status


def test_a_model_for_some_groups_is_neither_offered_to_others_nor_asked_by_them(world: World, research: Group) -> None:
    live_worker("gpu0", model="big", adapters=["big-law"])
    live_worker("gpu1", model="small")
    inside, outside = signed_in(world.owner), signed_in(world.team_mate)
    assert send(outside, "Hello", model="big").status_code == 200, "at first everything is for everybody"
    ModelAccess.objects.create(model="big").groups.add(research)

    def offered(client: Client) -> list[str]:
        page = client.get("/").content.decode()
        return [name for name in ("big", "big-law", "small") if f'<dt dir="auto">{name}</dt>' in page]

    assert offered(inside) == ["big", "big-law", "small"]
    assert offered(outside) == offered(signed_in(world.admin)) == ["small"]
    for name in ("big", "big-law"):
        answer = send(outside, "Hello", model=name)
        assert answer.status_code == 422
        assert f"The model “{name}” is for other groups." in answer.content.decode()
        assert send(inside, "Hello", model=name).status_code == 200
    assert "There is no model “huge”" in send(outside, "Hello", model="huge").content.decode()
    assert send(outside, "Hello", model="small").status_code == 200

    stopped = Generation.objects.filter(requested_by=world.team_mate, asked_model="big").get()
    Generation.objects.filter(id=stopped.id).update(status="stopped", finish_reason="cancelled")
    again = outside.post(f"/generations/{stopped.id}/continuation/", headers={"HX-Request": "true"})
    assert "is for other groups" in again.content.decode(), "nor continued"


def test_a_worker_takes_only_what_its_askers_may_ask_it(world: World, research: Group) -> None:
    big, small = live_worker("gpu0", model="big", num_slots=4), live_worker("gpu1", model="small", num_slots=4)
    ModelAccess.objects.create(model="big").groups.add(research)
    mine = Conversation.start(world.owner, "Hello", "c1").generation
    others = Conversation.start(world.team_mate, "Hello", "c1").generation
    assert Generation.claim(big, 4) == [mine]
    assert Generation.claim(big, 4) == []
    assert Generation.claim(small, 4) == [others]

    ModelAccess.objects.create(model="small")
    answer = send(signed_in(world.team_mate), "Hello")
    assert answer.status_code == 422
    assert "No model here is for your groups." in answer.content.decode()
    assert send(signed_in(world.owner), "Hello").status_code == 200
    Worker.objects.all().delete()
    assert send(signed_in(world.team_mate), "Hello").status_code == 200, "nobody knows yet what will answer"


def test_members_of_a_heavier_group_wait_less_by_the_largest_of_their_weights(world: World, research: Group) -> None:
    gpu = live_worker("gpu0", num_slots=4)
    light = Group.objects.create(name="Light")
    GroupRule.objects.create(group=research, weight=4)
    GroupRule.objects.create(group=light, weight=0.5)
    world.owner.groups.add(light)
    world.outsider.groups.add(light, Group.objects.create(name="No rule"))
    for person, device_s in ((world.owner, 60.0), (world.team_mate, 30.0), (world.outsider, 25.0)):
        ask(person, 1)
        serve(gpu, 1, device_s)
    assert set(FairShare.objects.exclude(user=None).values_list("weight", flat=True)) == {1.0}
    waiting = {
        person.name: Conversation.start(person, "More", str(uuid4())).generation
        for person in (world.team_mate, world.outsider, world.owner)
    }
    order = [Generation.claim(gpu, 1)[0] for _ in waiting]
    assert order == [waiting["Olga"], waiting["Oscar"], waiting["Tariq"]]


def test_a_link_for_named_groups_opens_for_their_members_as_long_as_they_are_members(
    world: World, research: Group
) -> None:
    turn = told(world.owner)
    owner, mate = signed_in(world.owner), signed_in(world.team_mate)
    world.team_mate.groups.add(research)
    other = Group.objects.create(name="Sales")
    dialog = owner.get(f"/c/{turn.message.conversation_id}/links/", headers={"HX-Request": "true"}).content.decode()
    assert ("Research" in dialog, "Sales" in dialog) == (True, False), "groups of one's own are offered"
    assert submit(owner, turn, audience="named", groups=[other.id]).status_code == 422
    assert submit(owner, turn, audience="named").status_code == 422

    path = share(owner, turn, audience="named", groups=[research.id])
    assert "Named people: Research" in " ".join(owner.get("/settings/links/").content.decode().split())
    for client, status in ((owner, 200), (mate, 200), (signed_in(world.outsider), 404), (signed_in(world.admin), 404)):
        assert client.get(path).status_code == status
    assert Client().get(path).status_code == 404
    world.team_mate.groups.remove(research)
    assert mate.get(path).status_code == 404
    assert ShareLink.objects.get().groups.get() == research
    everyone = share(owner, turn, audience="members", groups=[research.id])
    assert signed_in(world.outsider).get(everyone).status_code == 200
    assert not ShareLink.objects.get(audience="members").groups.exists()
