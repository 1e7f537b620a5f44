"""A long conversation opens on its end; the rest comes in pieces, from the end up."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from chat.models import Conversation, Generation, Message
from tests.conftest import World


@pytest.fixture
def long(world: World) -> Conversation:
    """Of 201 messages, and another reply to the first of them."""
    conversation = Conversation.objects.create(owner=world.owner, title="Long")
    messages: list[Message] = []
    for i in range(201):
        role = Message.Role.ASSISTANT if i % 2 else Message.Role.USER
        parent = messages[-1] if messages else None
        text = {"html": f"<p>No. {i}</p>"} if i % 2 else {"text": f"No. {i}"}
        messages.append(Message(conversation=conversation, parent=parent, role=role, **text))
    stray = Message(conversation=conversation, parent=messages[0], role=Message.Role.ASSISTANT, html="Stray")
    Message.objects.bulk_create([*messages, stray])
    Generation.objects.bulk_create(
        Generation(message=message, requested_by=world.owner, client_id=uuid4().hex, status="completed")
        for message in [*messages, stray]
        if message.role == Message.Role.ASSISTANT
    )
    conversation.active_leaf = messages[-1]
    conversation.save()
    return conversation


def signed_in(world: World, name: str = "owner") -> Client:
    client = Client()
    client.force_login(getattr(world, name))
    return client


def numbers(html: str) -> list[int]:
    return [int(number) for number in re.findall(r"No\. (\d+)<", html)]


def earlier(html: str) -> str:
    found = re.search(r'data-from="([^"]+)"', html)
    return found[1] if found else ""


def test_R4_the_page_opens_on_the_end_and_pieces_lead_up_to_the_beginning(world: World, long: Conversation) -> None:
    client = signed_in(world)
    html = client.get(reverse("conversation_detail", args=[long.id])).content.decode()
    shown = numbers(html)
    num_pieces = 0
    while address := earlier(html):
        html = client.get(address).content.decode()
        shown = numbers(html) + shown
        num_pieces += 1
    assert shown == list(range(201))
    assert num_pieces == 5
    assert "Stray" not in html


def test_R4_a_message_the_address_names_comes_in_one_piece(world: World, long: Conversation) -> None:
    client = signed_in(world)
    address = earlier(client.get(reverse("conversation_detail", args=[long.id])).content.decode())
    third = long.branch()[3]
    assert numbers(client.get(f"{address}?start={third.id}").content.decode()) == list(range(3, 161))
    for nonsense in ("", "x", uuid4()):
        assert numbers(client.get(f"{address}?start={nonsense}").content.decode()) == list(range(121, 161))


def test_R4_without_scripts_everything_is_one_link_away(world: World, long: Conversation) -> None:
    address = reverse("conversation_detail", args=[long.id])
    client = signed_in(world)
    assert 'href="?all"' in client.get(address).content.decode()
    assert numbers(client.get(f"{address}?all").content.decode()) == list(range(201))


def test_R4_what_is_not_on_the_branch_or_not_theirs_has_nothing_above_it(world: World, long: Conversation) -> None:
    stray = Message.objects.get(html="Stray")
    address = reverse("earlier", args=[long.id, stray.id])
    assert signed_in(world).get(address).status_code == 409
    assert signed_in(world).get(reverse("earlier", args=[long.id, uuid4()])).status_code == 409
    assert signed_in(world, "team_mate").get(address).status_code == 404
    assert Client().get(address).status_code == 302


def test_R4_a_window_takes_few_queries_and_reads_no_more_than_it_shows(
    world: World, long: Conversation, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = signed_in(world)
    client.get("/")
    with django_assert_max_num_queries(12):
        html = client.get(reverse("conversation_detail", args=[long.id])).content.decode()
    assert html.count("<article") == Conversation.WINDOW_LENGTH + 1  # and the template of an unsent message
    with django_assert_max_num_queries(6):
        client.get(earlier(html))
