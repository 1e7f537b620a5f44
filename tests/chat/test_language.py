"""Everybody is spoken to in their own language: the one they chose, else their browser's, else English."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import html5lib
import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from chat import stages
from chat.database import db
from chat.models import Conversation, Feedback, Generation, Message, SetupLink, Turn, User, Worker
from chat.worker import InferenceWorker
from inference.run import SHUTDOWN, too_long
from qwenweb.asgi import application
from tests.chat.test_socket import ORIGIN, cookie_of, follow, frames_until
from tests.communicator import WebsocketCommunicator
from tests.conftest import World

CHINESE = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"}
HTMX = {"HX-Request": "true"}
# Names, not words: ours, the keys to press, what the tests' people are called and write.
NAMES = {
    "qwenweb",
    "Ctrl",
    "Shift",
    "Enter",
    "English",
    "Olga",
    "olga",
    "example",
    "org",
    "scripted",
    "token",
    "Cookie",
    "Email",
}


def visitor(user: User | None = None, /, **headers: str) -> Client:
    client = Client(headers=headers)
    if user:
        client.force_login(user)
    return client


def language_of(page: Any) -> tuple[str, str]:
    found = re.search(r'<html lang="([^"]*)"\s+dir="([^"]*)"', page.content.decode())
    assert found
    return found[1], found[2]


def words_of(html: str) -> str:
    """All that a page says: its text, its labels, its hints."""
    said: list[str] = []
    for element in html5lib.parse(html, namespaceHTMLElements=False).iter():
        if not isinstance(element.tag, str) or element.tag in {"script", "style"}:
            continue
        said += [element.text or "", *(element.get(name, "") for name in ("aria-label", "title", "placeholder", "alt"))]
        said += [child.tail or "" for child in element]
    return " ".join(said)


def english_words(page: Any) -> set[str]:
    text = re.sub(r"[0-9a-f-]{36}|\{(?:seconds|number)\}", "", words_of(page.content.decode()))
    return set(re.findall(r"[A-Za-z]{2,}", text)) - NAMES


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("zh-CN,zh;q=0.9", "zh-hans"),
        ("zh-Hans", "zh-hans"),
        ("zh", "zh-hans"),
        ("de,zh;q=0.5", "zh-hans"),
        ("en-GB,en;q=0.9,zh;q=0.8", "en"),
        ("de,fr;q=0.5", "en"),
        ("", "en"),
        ("\x00;q=x, *", "en"),
    ],
)
def test_L5_a_stranger_is_spoken_to_in_the_language_of_the_browser(world: World, accepted: str, language: str) -> None:
    page = visitor(**{"Accept-Language": accepted}).get(reverse("account_login"))
    assert language_of(page) == (language, "ltr")
    assert page["Content-Language"] == language
    assert "Accept-Language" in page["Vary"]
    assert ("登录" in page.content.decode()) == (language == "zh-hans")


def test_L5_arabic_runs_from_right_to_left_on_every_page(world: World) -> None:
    for client in (visitor(**{"Accept-Language": "ar"}), visitor(world.owner, **{"Accept-Language": "ar-EG"})):
        for address in ("/", "/settings/", "/accounts/login/", "/nothing", "/accounts/password/change/"):
            assert language_of(client.get(address, follow=True)) == ("ar", "rtl"), address


def test_L5_a_choice_holds_on_every_device_and_can_be_taken_back(world: World) -> None:
    desk, phone = visitor(world.owner), visitor(world.owner, **CHINESE)
    assert (language_of(desk.get("/"))[0], language_of(phone.get("/"))[0]) == ("en", "zh-hans")
    desk.post("/language/", {"language": "zh-hans"})
    assert language_of(desk.get("/"))[0] == "zh-hans"
    phone.post("/language/", {"language": "en"})
    assert (language_of(desk.get("/"))[0], language_of(phone.get("/"))[0]) == ("en", "en")
    phone.post("/language/", {"language": ""})
    assert (language_of(desk.get("/"))[0], language_of(phone.get("/"))[0]) == ("en", "zh-hans")
    assert language_of(visitor(world.team_mate).get("/"))[0] == "en"


def test_a_language_that_is_not_spoken_cannot_be_chosen(world: World) -> None:
    client = visitor(world.owner)
    for language in ("tlh", "zh-Hans", "../../etc", "x" * 500, "\x00"):
        assert client.post("/language/", {"language": language}).status_code == 400
    assert User.objects.get(id=world.owner.id).language == ""
    assert visitor().post("/language/", {"language": "en"}).status_code == 302
    assert client.get("/language/").status_code == 405


def test_a_language_that_is_spoken_no_more_falls_back_to_the_browsers(world: World) -> None:
    User.objects.update(language="tlh")
    assert language_of(visitor(world.owner, **CHINESE).get("/"))[0] == "zh-hans"


def test_who_chooses_a_language_stays_on_the_page(world: World) -> None:
    turn = Conversation.start(world.owner, "Hello", "c1")
    address = reverse("conversation_detail", args=[turn.message.conversation_id])
    client = visitor(world.owner)
    for referer, place in (
        (f"http://testserver{address}", address),
        (f"http://testserver{address}?x=1", address),
        ("http://testserver/", "/"),
        ("", "/"),
        ("http://testserver//evil.example/", "/"),
        ("http://evil.example/c/", "/"),
        ("http://[", "/"),
        ("javascript:alert(1)", "/"),
    ):
        answer = client.post("/language/", {"language": "en"}, headers={"Referer": referer})
        assert (answer.status_code, answer["Location"]) == (302, place), referer


def ended(world: World, text: str = "", **fields: Any) -> Turn:
    turn = Conversation.start(world.owner, "1 + 1", uuid4().hex)
    Message.objects.filter(id=turn.reply.id).update(text=text, html=f"<p>{text}</p>", reasoning_html="<p>3</p>")
    Generation.objects.filter(id=turn.generation.id).update(**fields)
    return turn


def pages(world: World) -> list[tuple[str, str, dict[str, str] | None]]:
    """Every page and every answer of the server that has words, in all its states."""
    stopped = ended(world, "2", status="stopped", num_dropped_messages=7)
    cut = ended(world, "2", status="completed", finish_reason="length", num_dropped_messages=1)
    failed = ended(world, "2", status="failed", error_text=too_long(1004, 75).message)
    lost = ended(world, "2", status="interrupted", error_text=SHUTDOWN.message)
    unknown = ended(world, status="failed")
    waiting = ended(world)
    conversation = stopped.message.conversation_id
    detail, rename, delete = (
        reverse(name, args=[conversation])
        for name in ("conversation_detail", "conversation_rename", "conversation_delete")
    )
    create = reverse("message_create", args=[waiting.message.conversation_id])
    Feedback.vote(stopped.reply, "down")
    edit, why, details, repeat = (
        reverse(name, args=[conversation, message.id])
        for name, message in (
            ("version_create", stopped.message),
            ("reasons_update", stopped.reply),
            ("reply_details", stopped.reply),
            ("repetition_create", stopped.reply),
        )
    )
    return [
        ("get", "/", None),
        *(
            ("get", reverse("conversation_detail", args=[turn.message.conversation_id]), None)
            for turn in (stopped, cut, failed, lost, unknown, waiting)
        ),
        ("get", "/chats/", None),
        ("get", "/model/", None),
        ("get", "/settings/", None),
        ("post", "/settings/sessions/ending/", {}),
        ("get", rename, None),
        ("get", delete, None),
        ("get", edit, None),
        ("get", why, None),
        ("get", details, None),
        ("get", f"{detail}?branched=1", None),
        ("post", edit, {"client_id": "a", "text": " "}),
        ("post", repeat, {"client_id": "a"}),
        ("post", rename, {"title": " "}),
        ("post", rename, {"title": "x" * 201}),
        ("post", "/c/", {"client_id": "a", "text": " "}),
        ("post", "/c/", {"client_id": "a", "text": "1" * 200_001}),
        ("post", create, {"client_id": "a", "text": "1"}),
        ("post", create, {"client_id": "a", "text": "1", "parent": str(uuid4())}),
        (
            "post",
            reverse("reply_create", args=[waiting.message.conversation_id, waiting.message.id]),
            {"client_id": "a"},
        ),
        ("post", reverse("continuation_create", args=[failed.generation.id]), {}),
        ("post", "/language/", {"language": "tlh"}),
        ("get", "/nothing", None),
        ("get", "/accounts/logout/", None),
        ("get", "/accounts/password/change/", None),
        ("post", "/accounts/password/change/", {"oldpassword": "x", "password1": "1", "password2": "2"}),
        ("get", detail, None),
    ]


def test_L5_a_chinese_page_says_nothing_in_english(world: World) -> None:
    client = visitor(world.owner, **CHINESE)
    for method, address, fields in pages(world):
        for headers in ({}, HTMX):
            page = getattr(client, method)(address, fields, headers=headers)
            assert english_words(page) <= ({"x"} if fields else set()), (method, address, fields)
    for state in (Worker.State.LOADING, Worker.State.FAILED, Worker.State.READY):
        Worker.objects.all().delete()
        Worker.objects.create(name="gpu0", state=state)
        stages._waiting.cache_clear()
        assert english_words(client.get("/")) == set()


def test_L5_who_is_not_signed_in_reads_no_english_either(world: World, settings: Settings) -> None:
    client = visitor(**CHINESE)
    wrong = {"login": "nobody@example.org", "password": "x"}
    User.objects.filter(is_superuser=True).delete()
    token = SetupLink.renew() or ""
    for method, address, fields in (
        ("get", "/accounts/login/", None),
        ("post", "/accounts/login/", wrong),
        ("post", "/accounts/login/", {}),
        ("get", "/accounts/signup/", None),
        ("get", "/accounts/password/reset/", None),
        ("post", "/accounts/password/reset/", {"email": "x"}),
        ("get", "/accounts/password/reset/done/", None),
        ("get", "/accounts/password/reset/key/1-x/", None),
        ("get", "/accounts/password/reset/key/done/", None),
        ("get", "/accounts/inactive/", None),
        ("get", f"/setup/{token}/", None),
        ("post", f"/setup/{token}/", {"name": " \x00", "email": "x", "password": "password12"}),
        ("get", "/setup/wrong/", None),
        ("get", "/nothing", None),
    ):
        page = getattr(client, method)(address, fields)
        assert page.status_code in {200, 404, 422}, address
        assert english_words(page) <= {"nobody"}, address
    settings.IS_SIGNUP_OPEN = True
    assert english_words(client.get("/accounts/signup/")) == set()
    strict = Client(enforce_csrf_checks=True, headers=CHINESE)
    assert english_words(strict.post("/accounts/login/", wrong)) == set()


@pytest.mark.parametrize(
    ("language", "numbers", "day", "plurals"),
    [
        ("en", ("12,345 read", "25.5 tokens/s"), "Nov. 24, 2026", ("1 chat<", "2 chats<")),
        ("zh-hans", ("12,345", "25.5"), "2026年11月24日", ("1 个对话", "2 个对话")),
        ("ar", ("12,345", "25.5"), "24 نوفمبر، 2026", ("محادثة واحدة", "محادثتان")),
    ],
)
def test_L5_numbers_days_and_plurals_are_those_of_the_language(
    world: World, language: str, numbers: tuple[str, ...], day: str, plurals: tuple[str, str]
) -> None:
    client = visitor(world.owner, **{"Accept-Language": language})
    turn = ended(world, "1", status="completed", prompt_tokens=12345, completion_tokens=51, decode_ms=2000)
    for number, words in enumerate(plurals):
        assert words in client.get("/manage/").content.decode(), number
        ended(world, "1", status="completed")
    details = reverse("reply_details", args=[turn.message.conversation_id, turn.reply.id])
    html = client.get(details).content.decode()
    for told in numbers:
        assert told in html
    Conversation.objects.update(created_at=datetime(2026, 11, 24, 12, tzinfo=UTC))
    assert day in client.get(reverse("print", args=[turn.message.conversation_id])).content.decode()


def test_letters_are_in_the_language_of_who_asks_for_them(world: World) -> None:
    for language, subject, words in (
        ("zh-CN", "设置新密码", "只能使用一次"),
        ("en", "Choose a new password", "works once"),
    ):
        mail.outbox.clear()
        visitor(**{"Accept-Language": language}).post("/accounts/password/reset/", {"email": world.owner.email})
        [letter] = mail.outbox
        assert subject in letter.subject
        assert words in letter.body
        assert "http://testserver/accounts/password/reset/key/" in letter.body


def test_what_broke_is_told_in_the_readers_language(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import OperationalError

    for error, status in ((RuntimeError, 500), (OperationalError, 503)):

        def fail(*_: object, error: type[Exception] = error) -> None:
            raise error

        monkeypatch.setattr("chat.access.conversations", fail)
        client = visitor(world.owner, **CHINESE)
        client.raise_request_exception = False
        page = client.get("/")
        assert page.status_code == status
        assert language_of(page) == ("zh-hans", "ltr")
        assert english_words(page) == set()


def test_the_administration_follows_too(world: World) -> None:
    page = visitor(world.admin, **CHINESE).get("/admin/chat/user/").content.decode()
    assert "电子邮箱" in page
    assert "管理员" in page


def test_the_words_that_rendering_puts_in_are_translated_and_no_others(world: World) -> None:
    source = (
        "```python\nCopy\n```\n\n```\nText\n```\n\n| Copy | Table |\n|---|---|\n| 1 | 2 |\n\n![](https://example.com/)\n\n"
        '<div class="table-scroll" role="group" aria-label="Table"> `<copy-button><button type="button">Copy</button>`'
    )
    from chat.markdown import in_language, render

    html = render(source)
    assert in_language(html, "en") == html
    chinese = in_language(html, "zh-hans")
    assert chinese.count(">复制</button>") == html.count('<button type="button">Copy</button>') == 2
    assert ">文本</span>" in chinese
    assert 'aria-label="表格"' in chinese
    assert ">图片</a>" in chinese
    for kept in ("<code>Copy\n", "<code>Text\n", ">Copy</th>", 'aria-label="Table"&gt;', "&gt;Copy&lt;"):
        assert chinese.count(kept) == html.count(kept) == 1, kept


async def page_in(user: User, language: str) -> WebsocketCommunicator:
    headers = [(b"cookie", (await db(cookie_of, user)).encode()), (b"origin", ORIGIN)]
    socket = WebsocketCommunicator(application, f"/ws/?language={language}", headers=headers)
    assert (await socket.connect())[0]
    return socket


async def test_L5_each_page_gets_the_frames_of_one_reply_in_its_own_language(world: World) -> None:
    sockets = {language: await page_in(world.owner, language) for language in ("en", "zh-hans", "tlh", "")}
    turn = await db(Conversation.start, world.owner, "[[rate=200;say]]```\n1 + 1\n```\n\n2", "c1")
    waits = {}
    for language, socket in sockets.items():
        await follow(socket, turn.generation)
        waits[language] = (await frames_until(socket, "reply.status"))[-1]
    late = InferenceWorker("late", "cpu")
    late.start()
    frames = {language: await frames_until(socket, "reply.end") for language, socket in sockets.items()}
    await db(late.stop)

    assert "目前没有模型在运行" in waits["zh-hans"]["text"]
    assert "No model is running" in waits["en"]["text"]
    for language, of_page in frames.items():
        said = json.dumps(of_page, ensure_ascii=False)
        copy, other = ("复制", "Copy") if language == "zh-hans" else ("Copy", "复制")
        assert f'title=\\"{copy}\\"' in said
        assert f">{copy}</button>" in of_page[-1]["html"]
        assert f">{copy}</button>" in json.dumps(of_page[:-1], ensure_ascii=False)
        assert other not in said
    assert waits["tlh"]["text"] == waits[""]["text"] == waits["en"]["text"]
    for socket in sockets.values():
        await socket.disconnect()


async def test_a_frame_that_is_not_understood_is_answered_in_the_pages_language(world: World) -> None:
    for language, words in (("zh-hans", "这不是 JSON。"), ("en", "That is not JSON.")):
        socket = await page_in(world.owner, language)
        await socket.send_to(text_data="x")
        [error] = await frames_until(socket, "error")
        assert error["text"] == words
        await socket.disconnect()
