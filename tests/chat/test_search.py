from __future__ import annotations

import re
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from chat.models import Conversation, Generation, Message, Turn, User
from chat.reply_stream import Told
from chat.search import Found, search
from inference.contract import Finished
from tests.conftest import World

HTMX = {"HX-Request": "true"}


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def told(user: User, question: str, answer: str = "") -> Turn:
    turn = Conversation.start(user, question, str(uuid4()))
    Generation.objects.filter(id=turn.generation.id).update(status="running")
    turn.generation.finish(Told(answer, ""), None, Finished("stop"))
    return turn


def messages(found: list[Found]) -> list[object]:
    return [one.message_id for one in found]


def test_titles_and_messages_are_found_by_words_and_the_beginning_of_the_last(world: World) -> None:
    turn = told(world.owner, "Plan a garden", "Tomatoes, Zucchini and the ÜBERNAHME of snake_case_names.")
    told(world.owner, "Something else", "Nothing about vegetables.")
    for query in ("zucchini", "zucch", "TOMATOES zuc", "übernahme", "case_names", "ｚｕｃｃｈｉｎｉ"):
        assert messages(search(world.owner, query)) == [turn.reply.id], query
    by_title = search(world.owner, "garden")
    assert messages(by_title) == [turn.message.id]
    assert by_title[0].title == "Plan a <mark>garden</mark>"
    turn.message.conversation.rename("Paradise")
    assert messages(search(world.owner, "paradise")) == [None]
    for query in ("zucchini vegetables", "ucchini", "zucchinis", "", "!?", "' & | :* \\ (", "\x00"):
        assert search(world.owner, query) == [], query


@pytest.mark.parametrize(
    ("text", "hits", "misses"),
    [
        ("我们在北京大学学习人工智能。", ["北京", "北京大学", "学", "人工智能", "能", "北京 智能"], ["京北", "大学人"]),
        ("東京タワーはどこですか？", ["東京", "タワー", "東京タワー", "ﾀﾜｰ", "どこ"], ["京都", "タワ京"]),
        ("Python入門と型", ["python", "入門", "Python入門", "型"], ["入型"]),
        ("한국어를 배워요", ["한국", "한국어", "배워"], ["국한"]),
        ("北京人和京大的人", ["北京", "京大"], ["北京大"]),
    ],
)
def test_text_without_spaces_is_found_by_any_piece_of_it(
    world: World, text: str, hits: list[str], misses: list[str]
) -> None:
    turn = told(world.owner, "x", text)
    for query in hits:
        assert messages(search(world.owner, query)) == [turn.reply.id], query
    for query in misses:
        assert search(world.owner, query) == [], query


def test_only_ones_own_chats_are_found_and_no_temporary_ones(world: World) -> None:
    told(world.owner, "My secret xylophone", "A xylophone it is.")
    Conversation.start(world.owner, "A hidden xylophone", "t", is_temporary=True)
    for user in (world.team_mate, world.outsider, world.admin):
        page = signed_in(user).get(reverse("search"), {"q": "xylophone"}).content.decode()
        assert "secret" not in page
    page = signed_in(world.owner).get(reverse("search"), {"q": "xylophone"}, headers=HTMX).content.decode()
    assert "My secret <mark>xylophone</mark>" in page
    assert "hidden" not in page
    assert Client().get(reverse("search"), {"q": "x"}).status_code == 302


def test_a_snippet_shows_the_match_and_no_markup_of_the_text(world: World) -> None:
    told(world.owner, "Question", f"{'word ' * 100}<script>alert(1)</script> needle & <b>thread</b>{' word' * 100}")
    snippet = search(world.owner, "needle")[0].snippet
    assert "&lt;/script&gt; <mark>needle</mark> &amp; &lt;b&gt;" in snippet
    assert snippet.startswith("…")
    assert snippet.endswith("…")
    assert len(snippet) < 400


def test_the_newest_match_comes_first_and_a_chat_once(world: World) -> None:
    first, second = told(world.owner, "A", "pear one"), told(world.owner, "B", "pear two")
    later = first.message.conversation.ask("pear again", "later", parent=first.reply.id)
    assert messages(search(world.owner, "pear")) == [later.message.id, second.reply.id]


def test_a_result_leads_to_the_branch_that_has_the_message_and_stores_nothing(world: World) -> None:
    turn = told(world.owner, "Question", "The first answer")
    conversation = Conversation.objects.get()
    again = conversation.reply_again(turn.message, "again")
    client = signed_in(world.owner)
    page = client.get(reverse("search"), {"q": "first answer"}, headers=HTMX).content.decode()
    address = re.findall(r'href="([^"]*\?at=[^"]*)"', page)[0]
    assert address.endswith(f"#m-{turn.reply.id}")
    shown = client.get(address).content.decode()
    assert f'id="m-{turn.reply.id}"' in shown
    assert f'id="m-{again.reply.id}"' not in shown
    assert f'id="m-{again.reply.id}"' in client.get(f"/c/{conversation.id}").content.decode()
    for at in ("nonsense", str(uuid4())):
        assert f'id="m-{again.reply.id}"' in client.get(f"/c/{conversation.id}?at={at}").content.decode()


def test_commands_are_found_by_their_name(world: World) -> None:
    page = signed_in(world.owner).get(reverse("search"), {"q": "dark"}, headers=HTMX).content.decode()
    assert 'data-theme-choice="dark"' in page
    assert page.count("found__item--command") == 1


def test_the_longest_messages_can_be_stored(world: World) -> None:
    turn = told(world.owner, "x")
    every = "".join(map(chr, range(0x4E00, 0x9FFF)))
    for text in (every * 8, "\ufdfa" * 150_000, "a" * 200_000, "\U00020000" * 200_000, "x1 " * 66_000):
        Message.objects.filter(id=turn.reply.id).update(text=text)
    assert messages(search(world.owner, "x1")) == [turn.reply.id]
