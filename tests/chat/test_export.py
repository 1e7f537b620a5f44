"""Chats as files: what is in them, and that they come back as they were."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from chat.models import Conversation, Feedback, Generation, Import, Message, UsageRecord
from chat.tasks import import_chats
from tests.chat.people import signed_in
from tests.conftest import World

THEN = datetime(2024, 2, 3, 4, 5, 6, 789000, tzinfo=UTC)


@pytest.fixture
def chat(world: World) -> Conversation:
    """Two versions of a question, the first with two replies, one of them judged, and one more turn."""
    turn = Conversation.start(world.owner, "What is *two* and two?", "c1")
    conversation = turn.message.conversation
    ended(turn.reply, "It is `four`.", "Let me add.", seed=7, model="scripted", prompt_tokens=11)
    other = conversation.reply_again(turn.message, "c2")
    ended(other.reply, "```python\n2 + 2", "", status="stopped", finish_reason="cancelled")
    Feedback.objects.create(message=turn.reply, value="down", reasons=["wrong"], comment="Is it?")
    ended(conversation.edit(turn.message, "And three?", "c3").reply, "Six\n\nor 六.")
    ended(conversation.ask("Sure?", "c4").reply, "Quite.")
    gone = conversation.reply_again(turn.message, "c5")
    ended(gone.reply, "A deleted answer")
    conversation.delete_message(gone.reply)
    conversation.show(Message.objects.get(text="Quite."))
    conversation.rename('Sums: a/b \u202e"x"')
    Conversation.objects.filter(id=conversation.id).update(created_at=THEN, last_active_at=THEN)
    conversation.refresh_from_db()
    return conversation


def ended(reply: Message, text: str, reasoning: str = "", **made: Any) -> None:
    fields = {"status": "completed", "finish_reason": "stop", "attempt": 1, **made}
    Generation.objects.filter(message=reply).update(**fields)
    Message.objects.filter(id=reply.id).update(text=text, reasoning=reasoning)


def shape(conversation: Conversation) -> list[Any]:
    """The tree of a chat with its texts, in order, without ids."""
    rows = list(conversation.messages.filter(deleted_at=None).select_related("generation", "feedback").order_by("id"))
    place = {row.id: number for number, row in enumerate(sorted(rows, key=lambda row: row.created_at))}
    return sorted(
        [
            place[row.id],
            place[row.parent_id] if row.parent_id else None,
            row.role,
            row.text,
            row.reasoning,
            row.created_at,
            row.id == conversation.active_leaf_id,
            getattr(getattr(row, "generation", None), "status", None),
            getattr(getattr(row, "feedback", None), "comment", None),
        ]
        for row in rows
    )


def imported(client: Client, content: bytes, name: str = "chats.json") -> Import:
    """A file sent as the page sends it without script, and read."""
    file = io.BytesIO(content)
    file.name = name
    answer = client.post(reverse("imports"), {"file": file})
    assert answer.status_code == 302, answer.content.decode()
    import_chats()
    return Import.objects.latest("created_at")


def test_T1_a_chat_that_is_exported_and_imported_is_the_same_tree_with_new_ids(
    world: World, chat: Conversation
) -> None:
    file = signed_in(world.owner).get(reverse("export_json", args=[chat.id]))
    assert file["Content-Disposition"].startswith("attachment; ")
    assert 'attachment; filename="Sums a b x.json"' in file["Content-Disposition"]
    told = json.loads(file.content)
    assert (told["format"], told["version"]) == ("qwenweb.chat", 1)
    assert "A deleted answer" not in file.content.decode()
    assert imported(signed_in(world.team_mate), file.content).num_made == 1
    copy = Conversation.objects.get(owner=world.team_mate)
    assert (copy.title, copy.created_at, copy.last_active_at, copy.has_manual_title) == (chat.title, THEN, THEN, True)
    assert shape(copy) == shape(chat)
    assert not set(copy.messages.values_list("id")) & set(chat.messages.values_list("id"))
    again = signed_in(world.team_mate).get(reverse("export_json", args=[copy.id]))
    assert imported(signed_in(world.owner), again.content).num_made == 1
    assert shape(Conversation.objects.exclude(id=chat.id).get(owner=world.owner)) == shape(chat)


def test_an_imported_reply_says_where_it_is_from_and_is_counted_nowhere(world: World, chat: Conversation) -> None:
    client = signed_in(world.team_mate)
    before = UsageRecord.objects.count()
    imported(client, signed_in(world.owner).get(reverse("export_json", args=[chat.id])).content)
    generation = Generation.objects.get(requested_by=world.team_mate, message__text="It is `four`.")
    assert (generation.model, generation.prompt_tokens, generation.seed, generation.worker) == ("", 0, None, None)
    assert generation.is_over
    assert not generation.can_repeat
    assert UsageRecord.objects.count() == before
    address = [generation.message.conversation_id, generation.message_id]
    details = client.get(reverse("reply_details", args=address)).content.decode()
    assert "Imported from" in details
    assert "qwenweb" in details
    assert "scripted" in details
    assert "not made here" in details
    assert "<code>four</code>" in generation.message.html
    page = client.get(f"{reverse('conversation_detail', args=address[:1])}?at={address[1]}")
    assert "four" in page.content.decode()
    copy = generation.message.conversation
    turn = copy.reply_again(generation.message.parent, "n1", **generation.again())  # type: ignore[arg-type]
    assert turn.generation.imported is None


def test_H2_a_chat_is_exported_as_markdown_and_for_paper(world: World, chat: Conversation) -> None:
    client = signed_in(world.owner)
    dialog = client.get(reverse("export", args=[chat.id]), headers={"HX-Request": "true"}).content.decode()
    for name in ("export_markdown", "export_json", "print"):
        assert reverse(name, args=[chat.id]) in dialog
    chat.show(Message.objects.get(text__startswith="```python"))
    file = client.get(reverse("export_markdown", args=[chat.id]))
    assert file["Content-Type"] == "text/markdown; charset=utf-8"
    assert file.content.decode() == (
        f"# {chat.title}\n\n*2024-02-03 04:05 UTC*\n\n"
        "## You\n\nWhat is *two* and two?\n\n## Reply\n\n```python\n2 + 2\n```\n"
    )
    chat.show(Message.objects.get(text="It is `four`."))
    text = client.get(reverse("export_markdown", args=[chat.id])).content.decode()
    assert "## Reply (scripted)\n\n> Let me add.\n\nIt is `four`.\n" in text
    page = client.get(reverse("print", args=[chat.id])).content.decode()
    assert "What is *two* and two?" in page
    assert "Six" not in page
    assert 'name="text"' not in page


def test_the_menu_of_the_page_leads_to_the_chat_that_is_open(world: World, chat: Conversation) -> None:
    address = reverse("conversation_detail", args=[chat.id])
    headers = {"HX-Request": "true", "HX-Current-URL": f"http://testserver{address}"}
    for act, name in (("export", "export"), ("rename", "conversation_rename"), ("delete", "conversation_delete")):
        assert reverse("here", args=[act]) in signed_in(world.owner).get(address).content.decode()
        answer = signed_in(world.owner).get(reverse("here", args=[act]), headers=headers)
        assert answer["Location"] == reverse(name, args=[chat.id])
        assert signed_in(world.team_mate).get(reverse("here", args=[act]), headers=headers).status_code == 404
    assert signed_in(world.owner).get(reverse("here", args=["export"])).status_code == 404
    assert signed_in(world.owner).get(reverse("here", args=["other"]), headers=headers).status_code == 404


def test_T1_all_chats_leave_as_one_file_of_their_owner_alone_and_come_back(world: World, chat: Conversation) -> None:
    many = [Conversation(owner=world.owner, title=f"Number {n}") for n in range(60)]
    Conversation.objects.bulk_create(many)
    chat.archive(True)
    Conversation.start(world.owner, "Between us", "t1", is_temporary=True)
    Conversation.start(world.team_mate, "Of a colleague", "o1")
    client = signed_in(world.owner)
    assert "61 chats" in client.get(reverse("export_all")).content.decode()
    answer = client.get(reverse("export_zip"))
    assert answer["Content-Type"] == "application/zip"
    parts = list(answer.streaming_content)  # type: ignore[attr-defined]
    assert len(parts) > 60
    with zipfile.ZipFile(io.BytesIO(b"".join(parts))) as file:
        names = file.namelist()
        assert file.testzip() is None
        assert len(set(names)) == len(names) == 122
        assert all("/" not in name and "\\" not in name for name in names)
        text = "".join(file.read(name).decode() for name in names)
    assert "What is *two* and two?" in text
    for private in ("Between us", "Of a colleague"):
        assert private not in text
    done = imported(signed_in(world.outsider), b"".join(parts), "chats.zip")
    assert (done.num_made, done.refused, done.failure) == (61, [], "")
    copy = Conversation.objects.get(owner=world.outsider, archived_at__isnull=False)
    assert shape(copy) == shape(chat)


def test_nobody_else_can_export_a_chat(world: World, chat: Conversation) -> None:
    for user in (world.team_mate, world.outsider, world.admin):
        client = signed_in(user)
        for name in ("export", "export_markdown", "export_json", "print"):
            assert client.get(reverse(name, args=[chat.id])).status_code == 404, name
        text = b"".join(client.get(reverse("export_zip")).streaming_content)  # type: ignore[attr-defined]
        assert zipfile.ZipFile(io.BytesIO(text)).namelist() == []
    for name in ("export", "export_markdown", "export_json", "print"):
        assert Client().get(reverse(name, args=[chat.id])).status_code == 302, name


def test_T1_data_leads_to_export_import_links_and_deletion_which_wants_a_word(world: World, chat: Conversation) -> None:
    client = signed_in(world.owner)
    settings = client.get("/settings/").content.decode()
    for name in ("export_all", "imports", "links", "archive", "deletion"):
        assert f'href="{reverse(name)}"' in settings, name
    others = Conversation.start(world.team_mate, "Of a colleague", "o1").message.conversation
    page = client.get(reverse("deletion")).content.decode()
    assert "1 chat<" in page.replace("\n", "").replace("  ", "")
    for word in ("", "yes", "deleted"):
        assert client.post(reverse("deletion"), {"word": word}).status_code == 422
    assert Conversation.objects.filter(owner=world.owner).exists()
    done = client.post(reverse("deletion"), {"word": " Delete "})
    assert "All chats are deleted." in done.content.decode()
    assert list(Conversation.objects.all()) == [others]


def test_names_of_files_are_safe_everywhere(world: World) -> None:
    client = signed_in(world.owner)
    for title, name in (
        ("../../etc/passwd", "etc passwd.md"),
        ("CON", "chat.md"),
        ("nul.txt", "chat.md"),
        ("...", "chat.md"),
        ("", "chat.md"),
        ("a\x01\u202eb\u200bc", "a b c.md"),
        ("x" * 200, f"{'x' * 80}.md"),
        ('say "hi"; rm -rf ~ $HOME', "say hi ; rm -rf HOME.md"),
    ):
        conversation = Conversation.objects.create(owner=world.owner, title=title)
        file = client.get(reverse("export_markdown", args=[conversation.id]))
        assert file["Content-Disposition"] == f'attachment; filename="{name}"', title
    conversation = Conversation.objects.create(owner=world.owner, title="会议纪要")
    header = client.get(reverse("export_markdown", args=[conversation.id]))["Content-Disposition"]
    assert header == "attachment; filename*=utf-8''%E4%BC%9A%E8%AE%AE%E7%BA%AA%E8%A6%81.md"
