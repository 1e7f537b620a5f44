from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.db import connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from chat.models import Conversation, Generation, Message, SetupLink, Turn, User
from tests.conftest import PASSWORD, World

HTMX = {"HX-Request": "true"}


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def turn(world: World) -> Turn:
    return Conversation.start(world.owner, "How are <b>you</b>?", "first")


def finish(turn: Turn, html: str = "<p>Fine.</p>", **fields: object) -> None:
    Message.objects.filter(id=turn.reply.id).update(text="Fine.", html=html)
    Generation.objects.filter(id=turn.generation.id).update(**{"status": "completed", **fields})


def addresses(turn: Turn) -> list[tuple[str, str]]:
    """Every address that shows or changes something of one person, with the method."""
    conversation, message, generation = turn.message.conversation_id, turn.message.id, turn.generation.id
    return [
        ("get", reverse("conversation_detail", args=[conversation])),
        ("get", reverse("message_create", args=[conversation])),
        ("post", reverse("message_create", args=[conversation])),
        ("post", reverse("reply_create", args=[conversation, message])),
        ("post", reverse("cancellation_create", args=[generation])),
        ("get", reverse("conversation_rename", args=[conversation])),
        ("post", reverse("conversation_rename", args=[conversation])),
        ("get", reverse("conversation_delete", args=[conversation])),
        ("post", reverse("conversation_delete", args=[conversation])),
    ]


def test_nobody_else_sees_or_changes_a_conversation(world: World, turn: Turn) -> None:
    fields = {"client_id": "foreign", "text": "mine now", "title": "mine now"}
    for user in (world.team_mate, world.outsider, world.admin):
        client = signed_in(user)
        for method, address in addresses(turn):
            response = getattr(client, method)(address, fields)
            assert response.status_code == 404, (user.name, method, address)
            assert "How are" not in response.content.decode()
        assert "How are" not in client.get(reverse("chats")).content.decode()
    conversation = Conversation.objects.get()
    assert (conversation.title, conversation.messages.count()) == ("How are <b>you</b>?", 2)
    assert Generation.objects.get().status == "queued"


def test_strangers_are_sent_to_sign_in(world: World, turn: Turn) -> None:
    client = Client()
    for method, address in [*addresses(turn), ("get", "/"), ("get", reverse("chats")), ("get", reverse("model"))]:
        page = getattr(client, method)(address)
        assert page.status_code == 302, address
        assert page["Location"].startswith("/accounts/login/?next=/")
        assert getattr(client, method)(address, headers=HTMX).status_code == 401, address


def test_a_message_of_another_conversation_is_not_found_under_this_one(world: World, turn: Turn) -> None:
    other = Conversation.start(world.owner, "Another", "second")
    address = reverse("reply_create", args=[other.message.conversation_id, turn.message.id])
    assert signed_in(world.owner).post(address, {"client_id": "x"}).status_code == 404


def test_no_cache_keeps_what_signed_in_people_see(world: World, turn: Turn) -> None:
    finish(turn)
    client = signed_in(world.owner)
    for method, address in [("get", "/"), ("get", reverse("chats")), *addresses(turn)[:-1]]:
        assert getattr(client, method)(address, {"client_id": "y"})["Cache-Control"] == "no-store", address


def test_the_content_security_policy_allows_nothing_inline(world: World, turn: Turn) -> None:
    response = signed_in(world.owner).get(addresses(turn)[0][1])
    policy = response["Content-Security-Policy"]
    assert "script-src 'self';" in f"{policy};"
    assert "style-src 'self';" in f"{policy};"
    assert "unsafe" not in policy


def test_a_conversation_is_shown_escaped_and_with_one_markup_per_message(world: World, turn: Turn) -> None:
    finish(turn)
    page = signed_in(world.owner).get(addresses(turn)[0][1]).content.decode()
    assert "How are &lt;b&gt;you&lt;/b&gt;?" in page
    assert "<p>Fine.</p>" in page
    assert page.count(f'data-message-id="{turn.reply.id}"') == 1
    assert "<reply-stream" not in page


def test_a_conversation_takes_the_same_queries_however_long_it_is(
    world: World, turn: Turn, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    finish(turn)
    conversation = Conversation.objects.get()
    client = signed_in(world.owner)
    for i in range(8):
        finish(conversation.ask(f"Question {i}", f"ask-{i}"))
    with django_assert_max_num_queries(8):
        client.get(addresses(turn)[0][1])


def test_a_trailing_slash_leads_to_the_conversation(world: World, turn: Turn) -> None:
    address = addresses(turn)[0][1]
    assert signed_in(world.owner).get(f"{address}/")["Location"] == address


# Sending


def test_the_first_message_makes_a_conversation_and_says_where_it_is(world: World) -> None:
    response = signed_in(world.owner).post("/c/", {"client_id": "a", "text": "Hello\r\nthere"}, headers=HTMX)
    conversation = Conversation.objects.get()
    assert response.status_code == 200
    assert response["HX-Push-Url"] == f"/c/{conversation.id}"
    assert [message.text for message in conversation.branch()] == ["Hello\nthere", ""]
    html = response.content.decode()
    assert "<reply-stream" in html
    assert f'data-generation="{Generation.objects.get().id}"' in html


def test_without_script_sending_leads_to_the_conversation(world: World) -> None:
    client = signed_in(world.owner)
    assert client.post("/c/", {"client_id": "a", "text": "Hello"})["Location"] == f"/c/{Conversation.objects.get().id}"
    blank = client.post("/c/", {"client_id": "b", "text": " \n"})
    assert blank.status_code == 422
    assert "Write something first." in blank.content.decode()
    assert "<html" in blank.content.decode()


def test_the_same_client_id_twice_makes_one_message(world: World, turn: Turn) -> None:
    finish(turn)
    client = signed_in(world.owner)
    answers = {
        client.post(addresses(turn)[2][1], {"client_id": "same", "text": "Once"}, headers=HTMX).content
        for _ in range(3)
    }
    assert len(answers) == 1
    assert Conversation.objects.get().messages.count() == 4


def test_what_is_refused_is_answered_in_plain_words(world: World, turn: Turn) -> None:
    client = signed_in(world.owner)
    address = addresses(turn)[2][1]
    for fields, words in (
        ({"text": "\u200b \n"}, "Write something first."),
        ({"text": "x" * 200_001}, "200,001"),
        ({"text": "too early"}, "A reply is still being written."),
        ({"text": "to nobody", "parent": str(uuid4())}, "Reload the page"),
    ):
        response = client.post(address, {"client_id": uuid4().hex, **fields}, headers=HTMX)
        assert response.status_code == 422
        assert words in response.content.decode()
        assert "<html" not in response.content.decode()


@pytest.mark.parametrize("client_id", ["", "x" * 65, "a b", "<script>", "a\x00b"])
def test_a_form_the_page_did_not_make_is_a_bad_request(world: World, client_id: str) -> None:
    response = signed_in(world.owner).post("/c/", {"client_id": client_id, "text": "Hello"}, headers=HTMX)
    assert response.status_code == 400
    assert not Conversation.objects.exists()


def test_hostile_characters_are_taken_out_and_the_rest_is_kept(world: World) -> None:
    text = "NUL \x00, emoji 👩‍👩‍👧, עברית, e\u0301"
    assert signed_in(world.owner).post("/c/", {"client_id": "a", "text": text}, headers=HTMX).status_code == 200
    assert Message.objects.get(role="user").text == text.replace("\x00", "")


def test_sending_takes_few_queries(
    world: World, turn: Turn, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    finish(turn)
    client = signed_in(world.owner)
    with django_assert_max_num_queries(12):
        client.post(addresses(turn)[2][1], {"client_id": "new", "text": "Quick"}, headers=HTMX)


def test_a_tab_gets_the_turns_it_lacks(world: World, turn: Turn) -> None:
    finish(turn)
    second = Conversation.objects.get().ask("And now?", "second")
    client = signed_in(world.owner)
    address = addresses(turn)[1][1]
    lacking = client.get(address, {"after": str(turn.reply.id)})
    assert lacking.status_code == 200
    assert str(second.message.id) in lacking.content.decode()
    assert str(turn.reply.id) not in lacking.content.decode().replace(f"/{turn.reply.id}", "")
    assert client.get(address, {"after": str(second.reply.id)}).status_code == 204
    assert client.get(address, {"after": str(uuid4())}).status_code == 409
    assert client.get(address, {"after": "\x00'"}).status_code == 409


# Replies


def test_a_failed_reply_says_why_and_can_be_retried_once(world: World, turn: Turn) -> None:
    finish(turn, status="failed", error_text="The model failed.")
    client = signed_in(world.owner)
    page = client.get(addresses(turn)[0][1]).content.decode()
    assert "The model failed." in page
    assert str(turn.generation.id) in page
    fields = {"client_id": str(turn.generation.id)}
    replies = {client.post(addresses(turn)[3][1], fields, headers=HTMX).content for _ in range(2)}
    assert len(replies) == 1
    assert Conversation.objects.get().messages.count() == 3
    assert f'data-message-id="{turn.reply.id}"' not in client.get(addresses(turn)[0][1]).content.decode()


def test_a_reply_is_not_what_a_reply_answers(world: World, turn: Turn) -> None:
    address = reverse("reply_create", args=[turn.message.conversation_id, turn.reply.id])
    assert signed_in(world.owner).post(address, {"client_id": "x"}).status_code == 404


def test_a_queued_reply_is_stopped_and_stopping_twice_is_harmless(world: World, turn: Turn) -> None:
    client = signed_in(world.owner)
    for _ in range(2):
        assert client.post(addresses(turn)[4][1], headers=HTMX).status_code == 204
    assert Generation.objects.get().status == "stopped"
    page = client.get(addresses(turn)[0][1]).content.decode()
    assert "Stopped" in page
    assert 'aria-label="Regenerate"' in page


# The list of chats


def chats_of(user: User, num: int, *, days: float = 0) -> list[UUID]:
    moment = timezone.now() - timedelta(days=days)
    chats = [
        Conversation(owner=user, title=f"Chat {i}", last_active_at=moment - timedelta(seconds=i)) for i in range(num)
    ]
    return [chat.id for chat in Conversation.objects.bulk_create(chats)]


def test_chats_come_newest_first_in_pages_without_gap_or_repeat(world: World) -> None:
    ids = [str(id_) for id_ in chats_of(world.owner, 95)]
    client = signed_in(world.owner)
    seen: list[str] = []
    query = ""
    while True:
        chats = client.get(f"/chats/{query}").context["chats"]
        seen += [str(chat.id) for _, members in chats.groups for chat in members]
        if not chats.cursor:
            break
        query = f"?before={chats.cursor.replace('+', '%2B')}"
    assert seen == ids


def test_chats_are_grouped_by_the_readers_days(world: World) -> None:
    for days in (0, 1, 3, 30):
        chats_of(world.owner, 1, days=days)
    client = signed_in(world.owner)
    for zone in ("UTC", "Pacific%2FKiritimati", "no/such", "../../etc/passwd", "%00"):
        client.cookies["timezone"] = zone
        groups = client.get("/chats/").context["chats"].groups
        assert [name for name, _ in groups] == ["Today", "Yesterday", "Previous 7 days", "Older"]


def test_the_list_takes_one_query_however_long_it_is(
    world: World, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    chats_of(world.owner, 60)
    client = signed_in(world.owner)
    with django_assert_max_num_queries(3):
        client.get("/chats/")


@pytest.mark.parametrize("query", ["before=x", "before=2026-01-01_x", "before=_", "before=%00", "size=x"])
def test_a_bad_place_in_the_list_breaks_nothing(world: World, query: str) -> None:
    assert signed_in(world.owner).get(f"/chats/?{query}").status_code in {200, 400}


def test_a_chat_is_renamed_and_deleted_by_its_owner(world: World, turn: Turn) -> None:
    finish(turn)
    client = signed_in(world.owner)
    rename, delete = addresses(turn)[5][1], addresses(turn)[7][1]
    assert client.post(rename, {"title": "  "}, headers=HTMX).status_code == 422
    assert client.post(rename, {"title": "New <i>name</i>"}, headers=HTMX).status_code == 204
    assert "New &lt;i&gt;name&lt;/i&gt;" in client.get("/chats/").content.decode()
    assert "Delete chat?" in client.get(delete, headers=HTMX).content.decode()
    there = {**HTMX, "HX-Current-URL": f"http://testserver{addresses(turn)[0][1]}"}
    assert client.post(delete, headers=there)["HX-Redirect"] == "/"
    assert not Conversation.objects.exists()


# Set-up and health


def set_up(client: Client, token: str, **changed: str) -> int:
    fields = {"name": "Ada", "email": "new@example.org", "password": PASSWORD, **changed}
    return client.post(f"/setup/{token}/", fields).status_code


def test_the_set_up_link_works_once(transactional_db: None) -> None:
    token = SetupLink.renew()
    assert token
    client = Client()
    assert set_up(client, "wrong") == 404
    for bad in ({"password": "short"}, {"password": "password123"}, {"email": "x"}, {"name": " \x00 "}):
        assert set_up(client, token, **bad) == 422
    assert set_up(client, token) == 302
    assert client.get("/").status_code == 200
    assert set_up(Client(), token, email="second@example.org") == 404
    assert list(User.objects.values_list("email", "is_superuser")) == [("new@example.org", True)]


def test_of_fifty_uses_of_the_set_up_link_at_once_one_makes_an_administrator(transactional_db: None) -> None:
    token = SetupLink.renew()
    assert token

    def use(number: int) -> int:
        try:
            return set_up(Client(), token, email=f"person{number}@example.org")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(use, range(50)))
    assert sorted(answers) == [302, *[404] * 49]
    assert User.objects.count() == 1
    assert SetupLink.renew() is None


def test_health_is_told_without_signing_in(transactional_db: None) -> None:
    assert Client().get("/healthz").content == b"ok"
    ready = Client().get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"database": True, "valkey": True})


def test_the_page_can_be_installed_on_a_phone(transactional_db: None) -> None:
    page = Client().get("/accounts/login/").content.decode()
    manifest = re.findall(r'<link rel="manifest" href="/static/([^"]+)"', page)
    touch = re.findall(r'<link rel="apple-touch-icon" href="/static/([^"]+)"', page)
    assert page.count('name="theme-color"') == 2
    static = settings.STATIC_ROOT
    told = json.loads((static / manifest[0]).read_text())
    assert (told["start_url"], told["display"]) == ("/", "standalone")
    for icon in [*(each["src"] for each in told["icons"]), touch[0]]:
        assert (static / icon).read_bytes().startswith(b"\x89PNG"), icon


def test_what_is_not_there_is_said_in_plain_words(transactional_db: None) -> None:
    response = Client().get("/nothing/here")
    assert response.status_code == 404
    assert "There is nothing at this address" in response.content.decode()


def test_what_is_not_allowed_is_said_in_plain_words(world: World) -> None:
    response = signed_in(world.owner).get("/admin/login/")
    assert response.status_code == 403
    assert "You may not do this." in response.content.decode()


def test_a_form_without_its_token_is_refused_in_plain_words(world: World) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(world.owner)
    response = client.post("/c/", {"client_id": "a", "text": "Hello"})
    assert response.status_code == 403
    assert "This page is out of date" in response.content.decode()
