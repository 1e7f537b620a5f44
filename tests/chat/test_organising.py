from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from chat.models import Conversation, Folder, Generation, User
from chat.tasks import sweep
from tests.conftest import World

HTMX = {"HX-Request": "true"}


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def started(user: User, *titles: str) -> list[Conversation]:
    return [Conversation.start(user, title, title).message.conversation for title in titles]


def listed(client: Client) -> str:
    return client.get(reverse("chats")).content.decode()


@pytest.fixture
def conversation(world: World) -> Conversation:
    return started(world.owner, "Mine")[0]


def test_nobody_else_can_put_a_chat_in_order(world: World, conversation: Conversation) -> None:
    folder = Folder.objects.create(owner=world.owner, name="Private")
    before = Conversation.objects.values().get()
    for user in (world.team_mate, world.outsider, world.admin):
        client = signed_in(user)
        for name in ("pin", "archival", "reading", "closing", "move"):
            assert client.post(reverse(name, args=[conversation.id]), {"is_on": "1"}).status_code == 404, name
        for name in ("folder", "folder_delete"):
            assert client.post(reverse(name, args=[folder.id]), {"name": "x"}).status_code == 404, name
        assert client.get(f"/?folder={folder.id}").status_code == 404
        theirs = started(user, f"Of {user.name}")[0]
        assert client.post(reverse("move", args=[theirs.id]), {"folder": str(folder.id)}).status_code == 404
        client.post(reverse("manage"), {"act": "delete", "chat": str(conversation.id)})
        client.post(reverse("manage"), {"act": "delete-all", "word": "delete"})
        for name in ("archive", "manage", "folders"):
            page = client.get(reverse(name)).content.decode()
            assert "Mine" not in page
            assert "Private" not in page
    assert Conversation.objects.values().get() == before
    assert Folder.objects.get() == folder


def test_strangers_are_sent_to_sign_in(world: World, conversation: Conversation) -> None:
    client = Client()
    for name in ("archive", "manage", "folders", "search", "shortcuts"):
        assert client.get(reverse(name)).status_code == 302, name
    for name in ("pin", "archival", "reading", "closing", "move"):
        assert client.post(reverse(name, args=[conversation.id])).status_code == 302, name


def test_pinned_chats_are_on_top_and_only_there(world: World) -> None:
    client = signed_in(world.owner)
    first, _ = started(world.owner, "First", "Second")
    assert client.post(reverse("pin", args=[first.id]), {"is_on": "1"}, headers=HTMX).status_code == 204
    page = listed(client)
    assert re.findall(r'<h2 class="chats__group">(\w+)', page) == ["Pinned", "Today"]
    assert page.index("First") < page.index("Second")
    assert page.count(f'id="chat-{first.id}"') == 1
    client.post(reverse("pin", args=[first.id]), {"is_on": "0"})
    assert "Pinned" not in listed(client)


def test_archived_chats_leave_the_list_for_a_page_of_their_own_and_come_back(
    world: World, conversation: Conversation
) -> None:
    client = signed_in(world.owner)
    client.post(reverse("archival", args=[conversation.id]), {"is_on": "1"})
    assert "Mine" not in listed(client)
    assert "Mine" in client.get(reverse("archive")).content.decode()
    assert client.get(reverse("conversation_detail", args=[conversation.id])).status_code == 200
    client.post(reverse("archival", args=[conversation.id]), {"is_on": "0"})
    assert "Mine" in listed(client)


def test_a_folder_keeps_chats_and_a_name_that_must_be_one(world: World, conversation: Conversation) -> None:
    client = signed_in(world.owner)
    assert client.post(reverse("folders"), {"name": "  "}).status_code == 422
    assert client.post(reverse("folders"), {"name": "x" * 81}).status_code == 422
    assert client.post(reverse("folders"), {"name": "a", "system_prompt": "x" * 8001}).status_code == 422
    address = client.post(reverse("folders"), {"name": "Work", "system_prompt": "Be brief."})["Location"]
    folder = Folder.objects.get()
    assert client.post(reverse("move", args=[conversation.id]), {"folder": str(folder.id)}).status_code == 302
    assert "Mine" in client.get(address).content.decode()
    assert "Work" in client.get(reverse("conversation_detail", args=[conversation.id])).content.decode()
    client.post(address, {"name": "Play"})
    client.post(reverse("move", args=[conversation.id]), {"name": "A new one"}, headers=HTMX)
    assert set(Folder.objects.values_list("name", "system_prompt")) == {("Play", ""), ("A new one", "")}
    assert client.post(reverse("move", args=[conversation.id]), {"folder": "nonsense"}).status_code == 400
    client.post(reverse("folder_delete", args=[Folder.objects.get(name="A new one").id]))
    assert Conversation.objects.get().folder is None


def test_a_chat_of_a_folder_is_answered_under_its_system_prompt(world: World) -> None:
    from chat.reply import _prompt

    folder = Folder.objects.create(owner=world.owner, name="Work", system_prompt="Answer as a pirate.")
    client = signed_in(world.owner)
    assert f"/c/?folder={folder.id}" in client.get(f"/?folder={folder.id}").content.decode()
    client.post(f"/c/?folder={folder.id}", {"client_id": "a", "text": "Hello"})
    reply = Generation.objects.select_related("message").get()
    assert [(said.role, said.content) for said in _prompt(reply)] == [
        ("system", "Answer as a pirate."),
        ("user", "Hello"),
    ]
    Conversation.objects.get().move_to(None)
    assert [said.role for said in _prompt(reply)] == ["user"]


def test_many_are_archived_or_deleted_at_once_and_all_only_with_the_word(world: World) -> None:
    client = signed_in(world.owner)
    one, two, three, _ = started(world.owner, "One", "Two", "Three", "Four")
    client.post(reverse("manage"), {"act": "archive", "chat": [str(one.id), str(two.id)]})
    client.post(reverse("manage"), {"act": "delete", "chat": [str(three.id)]})
    assert set(Conversation.objects.values_list("title", flat=True)) == {"One", "Two", "Four"}
    assert set(Conversation.listed(world.owner).values_list("title", flat=True)) == {"Four"}
    refused = client.post(reverse("manage"), {"act": "delete-all", "word": "yes"})
    assert refused.status_code == 422
    assert Conversation.objects.count() == 3
    assert client.post(reverse("manage"), {"act": "delete", "chat": "nonsense"}).status_code == 400
    client.post(reverse("manage"), {"act": "delete-all", "word": "delete"})
    assert not Conversation.objects.exists()


def test_a_temporary_chat_is_nowhere_and_ends(world: World) -> None:
    client = signed_in(world.owner)
    page = client.get("/?temporary").content.decode()
    assert "data-temporary" in page
    assert "/c/?temporary" in page
    client.post("/c/?temporary", {"client_id": "a", "text": "Between us"})
    conversation = Conversation.objects.get()
    address = reverse("conversation_detail", args=[conversation.id])
    assert "data-temporary" in client.get(address).content.decode()
    for name in ("chats", "manage", "archive"):
        assert "Between us" not in client.get(reverse(name)).content.decode()
    assert conversation.expires_at is not None
    assert conversation.expires_at <= timezone.now() + timedelta(hours=24)

    client.post(reverse("closing", args=[conversation.id]))
    client.post(reverse("reading", args=[conversation.id]))  # the page was loaded again
    assert Conversation.objects.get().expires_at == conversation.created_at + timedelta(hours=24)
    client.post(reverse("closing", args=[conversation.id]))
    sweep()
    assert Conversation.objects.exists()
    Conversation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    sweep()
    assert client.get(address).status_code == 404


def test_closing_a_chat_that_is_not_temporary_ends_nothing(world: World, conversation: Conversation) -> None:
    signed_in(world.owner).post(reverse("closing", args=[conversation.id]))
    assert Conversation.objects.get().expires_at is None


def test_the_list_says_what_is_being_written_and_what_is_unread(world: World, conversation: Conversation) -> None:
    client = signed_in(world.owner)
    assert "chats__state--running" in listed(client)
    Generation.objects.update(status="completed", ended_at=timezone.now())
    assert "chats__state--unread" in listed(client)
    assert client.post(reverse("reading", args=[conversation.id])).status_code == 204
    assert "chats__state--" not in listed(client)
    Generation.objects.update(ended_at=timezone.now())
    assert "chats__state--unread" in listed(client)
