"""Chats out of files: those of ChatGPT, and files that mean no good."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from chat.models import Conversation, Generation, Import, ImportPiece, Message
from chat.models.import_rows import Rows
from chat.tasks import import_chats, sweep
from chat.transfer import chats, files
from tests.chat.people import signed_in
from tests.chat.test_export import imported
from tests.conftest import World

AT = 1_700_000_000.25


def node(key: str, parent: str | None, role: str, *parts: Any, **more: Any) -> dict[str, Any]:
    content = more.pop("content", {"content_type": "text", "parts": list(parts)})
    message = {"author": {"role": role}, "create_time": AT + len(key), "content": content, "metadata": {}, **more}
    return {"id": key, "parent": parent, "children": [], "message": message}


def chatgpt(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    start: dict[str, Any] = {"id": "root", "parent": None, "children": [], "message": None}
    mapping = {each["id"]: each for each in (start, *nodes)}
    return {"title": "From elsewhere", "create_time": AT, "update_time": AT + 50, "mapping": mapping, **more}


def own(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"format": "qwenweb.chat", "version": 1, "title": "Own", "messages": list(messages), **more}


def message(id_: str, parent: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": id_, "parent": parent, "role": "user", "text": f"Text {id_}", **more}


def as_json(*documents: Any) -> bytes:
    return json.dumps(list(documents)).encode()


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.json", content)
    return file.getvalue()


def texts(conversation: Conversation) -> list[tuple[str | None, str, str]]:
    """Each message with the text of the one above."""
    rows = conversation.messages.select_related("parent").order_by("id")
    return [(row.parent.text if row.parent else None, row.role, row.text) for row in rows]


@pytest.fixture
def client(world: World) -> Client:
    return signed_in(world.owner)


def test_chatgpts_export_comes_with_its_tree_times_and_titles(world: World, client: Client) -> None:
    image = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://1"}
    thoughts = {"content_type": "thoughts", "thoughts": [{"summary": "s", "content": "Hm."}, {"content": "Aha."}]}
    code = {"content_type": "code", "language": "python", "text": "1 + 1"}
    document = chatgpt(
        node("s", "root", "system", "Be helpful."),
        node("u1", "s", "user", image, "What is this?"),
        node("a1a", "u1", "assistant", content=thoughts),
        node("a1ab", "a1a", "assistant", "A cat.", metadata={"model_slug": "gpt-4o"}),
        node("a2aa", "u1", "assistant", "Let me count.", recipient="all"),
        node("a2aab", "a2aa", "assistant", content=code, recipient="python"),
        node("a2aabc", "a2aab", "tool", content={"content_type": "execution_output", "text": "2"}),
        node("a2aabcd", "a2aabc", "assistant", "Two cats."),
        node("u2abcdefg", "a1ab", "user", "Are you sure?"),
        node("a3abcdefgh", "u2abcdefg", "assistant", "Yes."),
        current_node="a2aabcd",
    )
    done = imported(client, as_json(document))
    assert (done.num_made, done.num_left_out, done.refused, done.failure) == (1, 3, [], "")
    conversation = Conversation.objects.get(owner=world.owner)
    assert (conversation.title, conversation.last_active_at) == (
        "From elsewhere",
        datetime.fromtimestamp(AT + 50, tz=UTC),
    )
    assert texts(conversation) == [
        (None, "user", "What is this?"),
        ("What is this?", "assistant", "A cat."),
        ("What is this?", "assistant", "Let me count.\n\nTwo cats."),
        ("A cat.", "user", "Are you sure?"),
        ("Are you sure?", "assistant", "Yes."),
    ]
    first = Message.objects.get(text="A cat.")
    assert (first.reasoning, first.generation.imported) == ("Hm.\n\nAha.", {"from": "ChatGPT", "model": "gpt-4o"})
    assert first.created_at == datetime.fromtimestamp(AT + 4, tz=UTC)
    assert conversation.active_leaf == Message.objects.get(text__endswith="Two cats.")
    page = client.get(reverse("conversation_detail", args=[conversation.id])).content.decode()
    assert "2/2" in re.sub(r"\s+", "", page)
    assert "unread" not in client.get(reverse("chats")).content.decode()
    found = client.get(reverse("search"), {"q": "cats"}).content.decode()
    assert "From elsewhere" in found


def test_the_whole_zip_file_of_chatgpt_is_read_for_its_chats_alone(world: World, client: Client) -> None:
    content = zipped(
        user=b'{"id": "me"}',
        conversations=as_json(chatgpt(node("u", "root", "user", "One"))),
        message_feedback=b"[{}]",
    )
    assert imported(client, content, "export.zip").num_made == 1
    split = {"conversations-000": as_json(chatgpt(node("u", "root", "user", "Two"))), "user": b"{}"}
    split["conversations-001"] = as_json(chatgpt(node("u", "root", "user", "Three")))
    assert imported(client, zipped(**split), "export.zip").num_made == 2
    assert set(Message.objects.values_list("text", flat=True)) == {"One", "Two", "Three"}


def circle(_: None = None) -> Any:
    return chatgpt(node("a", "b", "user", "One"), node("b", "a", "assistant", "Two"))


LONG = 400_001
REFUSED: list[tuple[str, Any, str]] = [
    ("circle", circle(), "in circles"),
    ("own circle", own(message("a", "b"), message("b", "a")), "in circles"),
    ("below itself", own(message("a", "a")), "in circles"),
    ("nothing", chatgpt(), "no text in it"),
    ("mapping of wrong types", {"mapping": {"a": 1, "b": [], "c": {"message": 5, "parent": {}}}}, "no text in it"),
    ("no chat", {"title": "x"}, "no chat that qwenweb or ChatGPT exported"),
    ("a number", 5, "no chat that"),
    ("null", None, "no chat that"),
    ("newer", own(version=2), "newer version"),
    ("a version that is none", own(version=[]), "newer version"),
    ("messages of a wrong type", own() | {"messages": {"a": 1}}, "damaged"),
    ("a message of a wrong type", own() | {"messages": [1]}, "damaged"),
    ("a role that is none", own(message("a", role="system")), "damaged"),
    ("a role of a wrong type", own() | {"messages": [{"id": "a", "role": "tool"}]}, "damaged"),
    ("one id twice", own(message("a"), message("a")), "damaged"),
    ("a long text", own(message("a", text="x" * LONG)), "400,001 characters; 400,000 are the most"),
    ("many messages", own(*(message(str(n)) for n in range(10_001))), "more than 10,000 messages"),
    (
        "a hundred thousand nodes",
        chatgpt(*({"id": str(n), "parent": str(n - 1)} for n in range(100_000))),
        "more than 10,000 messages",
    ),
]


def test_a_bad_chat_is_refused_in_words_and_the_good_ones_beside_it_come(world: World, client: Client) -> None:
    documents = [own(message("a"), title="First")]
    for name, document, _ in REFUSED:
        documents.append(document | {"title": name} if isinstance(document, dict) else document)
    done = imported(client, as_json(*documents, own(message("a"), title="Last")))
    assert (done.state, done.failure, done.num_made, done.num_read) == ("done", "", 2, len(REFUSED) + 2)
    assert set(Conversation.objects.values_list("title", flat=True)) == {"First", "Last"}
    assert Message.objects.count() == 2
    for (name, document, words), (title, why) in zip(REFUSED, done.refused, strict=True):
        assert words in why, name
        assert title == (name if isinstance(document, dict) else "")
    page = client.get(reverse("imports")).content.decode()
    assert "2 chats were imported." in page
    assert "a hundred thousand nodes" in page
    assert f"{len(REFUSED)} chats could not be imported" in page


def test_what_can_not_be_stored_or_shown_is_left_out_of_a_good_chat(world: World, client: Client) -> None:
    hostile = {"from": "\ud800", "model": ["x"], "n": float("inf")}
    documents = [
        own(
            message("a", text="A\x00B\ud800\r\nC", created_at="9999-99-99", reasoning=5),
            message(
                "b",
                "a",
                role="assistant",
                text="<script>alert(1)</script> <img src=x onerror=alert(1)>",
                created_at="2999-01-01T00:00:00",
                generation={"status": "running", "imported": hostile, "reasoning_ms": -1, "seed": 10**40},
                feedback={"value": "up", "reasons": [{}, "wrong", "else"], "comment": "\x00" + "y" * 2000},
            ),
            message("c", "nowhere", created_at=1e400, generation=[], feedback=[]),
            title="\ud800\x00 T \n " + "x" * 300,
            created_at={"a": 1},
            active_leaf=7,
        ),
        chatgpt(
            node("u", "root", "user", "Hi\x00\udfff", None, 5, {}, create_time="yesterday"),
            node("a", "u", "assistant", "Yo", create_time=-1e99, metadata=None, author={"role": "assistant"}),
            {"id": 5, "parent": 6, "message": {"author": [], "content": {"content_type": {}}}} | {"id": "z"},
            title=None,
            create_time=True,
            update_time="x",
            current_node={},
        ),
    ]
    done = imported(client, json.dumps(documents).encode())
    assert (done.num_made, done.refused, done.failure) == (2, [], "")
    first, second = Conversation.objects.order_by("id")
    assert first.title == ("T " + "x" * 300)[:200]
    assert second.title == "Hi"
    assert texts(first)[0] == (None, "user", "AB\nC")
    assert timezone.now() - first.last_active_at < timedelta(minutes=1)
    reply = Message.objects.select_related("generation", "feedback").get(text__startswith="<script>")
    assert (reply.generation.status, reply.generation.seed) == ("interrupted", None)
    assert (reply.feedback.reasons, len(reply.feedback.comment)) == (["wrong"], 1000)
    for conversation in (first, second):
        page = client.get(reverse("conversation_detail", args=[conversation.id])).content.decode()
        assert "<script>alert" not in page
        assert "<img" not in page
        assert client.get(reverse("export_json", args=[conversation.id])).status_code == 200
    details = [first.id, reply.id]
    assert client.get(reverse("reply_details", args=details)).status_code == 200


FILES: list[tuple[str, Callable[[], bytes], str]] = [
    ("no JSON", lambda: b"\x89PNG\r\n\x1a\n" + b"\x00" * 100, "This is no JSON"),
    ("a word", lambda: b'"text"', "This is no JSON"),
    ("other letters", lambda: '[{"title": "x"}]'.encode("utf-16"), "This is no JSON"),
    ("cut off", lambda: as_json(own(message("a")))[:-30], "damaged, or ends in the middle"),
    ("cut off between chats", lambda: b"[", "ends in the middle"),
    ("deep", lambda: b'[{"a":' + b"[" * 200_000, "nested too deeply"),
    ("one large chat", lambda: b'[{"a": "' + b"x" * (17 * 1024 * 1024), "larger than 16 MB"),
    ("no chats", lambda: zipped(), "no chats in this ZIP"),
    ("a torn ZIP", lambda: zipped(chat=as_json(own()) * 999)[100:], "damaged"),
    ("a bomb", lambda: zipped(conversations=b"[" + b" " * 3_000_000 + b"]"), "larger than 1 MB"),
    ("a long listing", lambda: long_listing(), "too many files"),
]


def long_listing() -> bytes:
    """A ZIP file whose last record says that a list of 100 MB comes before it."""
    content = zipped(chat=b"{}")
    return content[:-10] + struct.pack("<L", 100_000_000) + content[-6:]


def test_a_bad_file_is_refused_in_words(world: World, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LARGEST_UNPACKED", 1024**2)
    for name, made, words in FILES:
        content = made()
        begun = Import.begin(world.owner, name, len(content))
        for number in range(-(-len(content) // Import.LARGEST_PIECE)):
            size = Import.LARGEST_PIECE
            address = reverse("import_piece_create", args=[begun.id])
            piece = content[number * size : (number + 1) * size]
            for _ in range(2):  # as from a line that broke
                sent = client.post(f"{address}?number={number}", piece, content_type="application/octet-stream")
                assert sent.status_code == 204
        assert client.post(reverse("import_start", args=[begun.id])).status_code == 302
        import_chats()
        begun.refresh_from_db()
        assert begun.state == "done", name
        assert words in begun.failure, name
        assert words in client.get(reverse("imports")).content.decode(), name
    assert not Conversation.objects.exists()
    assert not ImportPiece.objects.exists()


def test_what_came_before_the_damage_is_kept(world: World, client: Client) -> None:
    done = imported(client, as_json(own(message("a")), own(message("b")))[:-20])
    assert (done.num_made, done.failure) == (1, "The file is damaged, or ends in the middle.")
    assert Conversation.objects.count() == 1


def test_limits_are_in_the_words(world: World, client: Client) -> None:
    address = reverse("imports")
    large = client.post(address, {"name": "x.json", "size": str(129 * 1024**2)})
    assert large.status_code == 422
    assert "This file has 129 MB; 128 MB can be imported." in large.content.decode()
    for size in ("", "0", "-1", "x", "9" * 50):
        assert client.post(address, {"name": "x", "size": size}).status_code == 422, size
    begun = client.post(address, {"name": "x" * 999, "size": "1000001"})
    assert begun.status_code == 201
    pieces, start = f"{begun['Location']}pieces/", f"{begun['Location']}start/"
    assert client.post(start).status_code == 422
    for number, length in ((0, 5), (1, 1_000_000), (2, 1), ("x", 5), (99999, 1)):
        sent = client.post(f"{pieces}?number={number}", b"x" * length, content_type="application/octet-stream")
        assert sent.status_code == 422, number
    assert client.post(pieces, b"x" * 2_000_000, content_type="application/octet-stream").status_code in {400, 413}
    assert "did not come whole" in client.post(start).content.decode()


def test_one_file_of_a_person_at_a_time_and_nobody_elses(world: World, client: Client) -> None:
    address = client.post(reverse("imports"), {"name": "mine.json", "size": "2"})["Location"]
    for user in (world.team_mate, world.outsider, world.admin):
        other = signed_in(user)
        sent = other.post(f"{address}pieces/?number=0", b"[]", content_type="application/octet-stream")
        assert (sent.status_code, other.post(f"{address}start/").status_code) == (404, 404)
        assert "mine.json" not in other.get(reverse("imports")).content.decode()
    assert Client().post(f"{address}start/").status_code == 302
    client.post(f"{address}pieces/?number=0", b"[]", content_type="application/octet-stream")
    assert client.post(f"{address}start/").status_code == 302
    assert "mine.json" in client.get(reverse("imports")).content.decode()
    refused = client.post(reverse("imports"), {"name": "more.json", "size": "2"})
    assert "Wait until it is done" in refused.content.decode()
    assert signed_in(world.team_mate).post(reverse("imports"), {"name": "a", "size": "2"}).status_code == 201


def test_an_import_goes_on_where_it_was_cut_off(world: World, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Import, "SLICE_S", 0.0)
    content = as_json(*(own(message("a"), title=f"Chat {n}") for n in range(5)))
    imported(client, content)
    assert Import.objects.get().state == "waiting"
    monkeypatch.setattr(Import, "SLICE_S", 10.0)
    store, stored = Rows.store, list[Rows]()

    def cut(rows: Rows) -> None:
        if len(stored) == 2:
            raise OperationalError("The database is away.")
        store(rows)
        stored.append(rows)

    monkeypatch.setattr(Rows, "store", cut)
    with pytest.raises(OperationalError):
        import_chats()
    monkeypatch.setattr(Rows, "store", store)
    assert (Import.objects.get().state, Import.objects.get().num_read) == ("running", 2)
    import_chats()  # somebody else may still be at work
    assert Conversation.objects.count() == 2
    Import.objects.update(beat_at=timezone.now() - timedelta(seconds=61))
    import_chats()
    assert (Import.objects.get().state, Import.objects.get().num_made) == ("done", 5)
    assert sorted(Conversation.objects.values_list("title", flat=True)) == [f"Chat {n}" for n in range(5)]


def test_a_chat_that_fails_half_way_leaves_nothing(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("not this time")

    monkeypatch.setattr(Generation.objects, "bulk_create", fail)
    done = imported(client, as_json(own(message("a"), message("b", "a", role="assistant"))))
    assert (done.num_made, done.refused) == (0, [["Own", "It could not be stored."]])
    assert not Conversation.objects.exists()
    assert not Message.objects.exists()


def test_a_file_that_never_came_whole_is_dropped(world: World) -> None:
    begun = Import.begin(world.owner, "half.json", 10)
    sweep()
    assert Import.objects.exists()
    Import.objects.filter(id=begun.id).update(created_at=timezone.now() - timedelta(hours=2))
    sweep()
    assert not Import.objects.exists()


def test_a_chat_as_large_as_one_may_be_comes_and_goes(world: World, client: Client) -> None:
    deep = [node("0", "root", "user", "Start")]
    deep += [node(str(n), str(n - 1), ("user", "assistant")[n % 2], f"Text {n}") for n in range(1, 3000)]
    assert len(deep) < chats.MOST_MESSAGES
    assert imported(client, as_json(chatgpt(*deep))).num_made == 1
    conversation = Conversation.objects.get()
    assert conversation.messages.count() == 3000
    assert client.get(reverse("conversation_detail", args=[conversation.id])).status_code == 200
    assert client.post(reverse("conversation_delete", args=[conversation.id])).status_code == 302
    assert not Message.objects.exists()
