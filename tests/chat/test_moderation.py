"""Rules for what is sent and shown: off without a rule; what they did is in the audit log, without the text."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.test import Client

from chat import reply_stream, valkey
from chat.models import Audit, Conversation, Generation, Message, ModerationRule
from chat.moderation import WINDOW, Moderated
from chat.worker import InferenceWorker
from inference.contract import Event, Finished, ReasoningDelta, TextDelta
from tests.chat.people import auditor, signed_in
from tests.chat.test_models import ended, send
from tests.conftest import World, wait_for

Action, Side = ModerationRule.Action, ModerationRule.Side


def rule(
    name: str, pattern: str, action: ModerationRule.Action, side: str = Side.BOTH, **fields: Any
) -> ModerationRule:
    return ModerationRule.objects.create(name=name, pattern=pattern, action=action, side=side, **fields)


def noted() -> list[tuple[str, str, str, str]]:
    lines = Audit.objects.filter(act__startswith="moderation.").order_by("id")
    return [(line.act, line.object_name, line.details["rule"], line.details["where"]) for line in lines]


def test_a_message_is_refused_changed_or_noted_before_it_is_sent(world: World) -> None:
    client = signed_in(world.owner)
    assert send(client, "The Falcon project and card 4111-1111").status_code == 200, (
        "without a rule nothing is looked at"
    )
    rule("Codename", r"\bfalcon\b", Action.REFUSE, Side.MESSAGES)
    rule("Card", r"\d{4}-\d{4}", Action.REPLACE, Side.MESSAGES, replacement="[card]")
    rule("Mood", "angry", Action.MARK)
    rule("Idle", "hello", Action.REFUSE, is_active=False)
    rule("Reply", "hello", Action.REFUSE, Side.REPLIES)

    answer = send(client, "hello, the FALCON project")
    assert answer.status_code == 422
    assert "A rule of this server (“Codename”) does not let this message through." in answer.content.decode()
    assert Conversation.objects.count() == 1
    answer = send(client, "hello, angry about 4111-1111 and 4222-2222")
    assert "angry about [card] and [card]" in answer.content.decode()
    first, sent = Message.objects.filter(role="user").order_by("id")
    assert sent.text == "hello, angry about [card] and [card]"
    assert "4111" not in sent.conversation.title

    address = f"/c/{sent.conversation_id}/messages/"
    Generation.objects.update(status="completed")
    assert send(client, "more of falcon", address).status_code == 422
    version = client.post(f"{address}{sent.id}/versions/", {"text": "falcon", "client_id": "v1"})
    assert version.status_code == 422, "an edit is a message too"
    assert noted() == [
        ("moderation.refuse", "olga@example.org", "Codename", "message"),
        ("moderation.replace", "olga@example.org", "Card", "message"),
        ("moderation.mark", "olga@example.org", "Mood", "message"),
        ("moderation.refuse", "olga@example.org", "Codename", "message"),
        ("moderation.refuse", "olga@example.org", "Codename", "message"),
    ]
    everything = str(list(Audit.objects.values()))
    assert not any(word in everything.lower() for word in ("falcon", "4111", "angry"))
    assert first.text == "The Falcon project and card 4111-1111", "what was there stays"


@pytest.fixture
def checker(settings: Any) -> Iterator[dict[str, Any]]:
    """A server with a model that flags what has the word `poison` in it, unless it is a script for the engine; what it
    was asked, what it shall answer."""
    known: dict[str, Any] = {"asked": [], "answer": None}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known["asked"].append((body["input"], self.headers["Authorization"]))
            is_bad = "poison" in body["input"] and not body["input"].startswith("[[")
            result = {"flagged": is_bad, "categories": {"violence": is_bad, "other": False}}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(known["answer"] or json.dumps({"results": [result]}).encode())

        def log_message(self, *args: Any) -> None:
            """Nothing is written down."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.MODERATION_URL = f"http://127.0.0.1:{server.server_port}/v1/moderations"
    settings.MODERATION_KEY = "a-key"
    yield known
    server.shutdown()
    server.server_close()


def test_a_model_looks_at_messages_where_the_operator_names_one(
    world: World, checker: dict[str, Any], settings: Any
) -> None:
    rule("Card", r"\d{4}", Action.REPLACE, replacement="#")
    client = signed_in(world.owner)
    assert send(client, "harmless 1234").status_code == 200
    assert checker["asked"] == [("harmless #", "Bearer a-key")], "after the rules"
    answer = send(client, "how to poison")
    assert answer.status_code == 422
    assert "does not pass the check of this server" in answer.content.decode()
    line = Audit.objects.get(act="moderation.refuse")
    assert line.details == {"rule": "model", "where": "message", "categories": "violence"}

    for nonsense in (b"nonsense", b"[]", b'{"results": [{}]}', b'{"results": [{"flagged": false, "categories": 3}]}'):
        checker["answer"] = nonsense
        refused = send(client, "harmless")
        assert refused.status_code == 422, nonsense
        assert "could not be checked just now" in refused.content.decode()
    settings.MODERATION_URL = "http://127.0.0.1:9/"
    assert send(client, "harmless").status_code == 422, "nobody is there"
    settings.MODERATION_URL = ""
    assert send(client, "how to poison").status_code == 200
    assert Conversation.objects.count() == 2


def shown_of(generation: Generation) -> str:
    entries = reply_stream.entries(valkey.client(), generation.id)
    return "".join(data for _, kind, data in entries if kind == "text")


def test_a_reply_is_changed_or_ended_before_anybody_sees_it(world: World, worker: InferenceWorker) -> None:
    rule("Card", r"\d{4}-\d{4}", Action.REPLACE, Side.REPLIES, replacement="[card]")
    rule("Codename", r"\bfalcon\b", Action.REFUSE, Side.REPLIES)
    rule("Mood", "angry", Action.MARK, Side.REPLIES)
    client = signed_in(world.owner)
    send(client, "[[text=Pay 4111-1111 or 4222-2222, angry one.]]")
    made = ended(world.owner)
    assert (made.status, made.message.text) == ("completed", "Pay [card] or [card], angry one.")
    assert shown_of(made) == made.message.text

    filler = "word " * 100
    send(client, f"[[text={filler}then Falcon flies and more]]")
    refused = ended(world.owner)
    assert (refused.status, refused.finish_reason) == ("failed", "error")
    assert refused.message.text == f"{filler}then "
    assert "alcon" not in shown_of(refused)
    page = client.get(f"/c/{refused.message.conversation_id}").content.decode()
    assert "A rule of this server ended this reply." in page
    replies = [(act, name) for act, _, name, where in noted() if where == "reply"]
    assert sorted(replies) == [
        ("moderation.mark", "Mood"),
        ("moderation.refuse", "Codename"),
        ("moderation.replace", "Card"),
    ]
    assert Audit.objects.filter(details__generation=str(refused.id)).exists()
    send(client, "[[text=plain and short]]")
    assert ended(world.owner).message.text == "plain and short", "all of it, the held back end too"


def told_of(generation: Generation) -> list[tuple[str, str]]:
    """All that was told of a reply, its end included, which comes a moment after Postgres knows of it."""

    def told() -> list[tuple[str, str]] | None:
        entries = [(str(kind), data) for _, kind, data in reply_stream.entries(valkey.client(), generation.id)]
        return entries if entries[-1][0] == "end" else None

    found: list[tuple[str, str]] = wait_for(told)
    return found


def test_a_reply_is_shown_whole_once_a_model_has_looked_at_it_where_the_operator_wants_that(
    world: World, worker: InferenceWorker, checker: dict[str, Any], settings: Any
) -> None:
    settings.MODERATES_REPLIES = True
    rule("Card", r"\d{4}-\d{4}", Action.REPLACE, Side.REPLIES, replacement="#")
    client = signed_in(world.owner)
    send(client, "[[reasoning=4;tokens=6;text=One two 4111-1111 four.]]")
    made = ended(world.owner)
    (first, length), thought, said, end = told_of(made)
    assert (first, length.split()[0], end) == ("stage", "held", ("end", "completed"))
    assert (thought, said) == (("reasoning", made.message.reasoning), ("text", "One two # four."))
    assert made.message.reasoning
    assert checker["asked"][-1][0] == f"{made.message.reasoning}\n\nOne two # four.", "after the rules"

    send(client, "[[text=how to poison]]")
    flagged = ended(world.owner)
    assert (flagged.status, flagged.message.text) == ("failed", "")
    assert [kind for kind, _ in told_of(flagged)] == ["stage", "end"]
    page = client.get(f"/c/{flagged.message.conversation_id}").content.decode()
    assert "This reply does not pass the check of this server" in page
    line = Audit.objects.get(act="moderation.refuse")
    about = {"rule": "model", "where": "reply", "categories": "violence", "generation": str(flagged.id)}
    assert (line.object_name, line.details) == ("olga@example.org", about)


def test_a_reply_that_was_not_looked_at_is_not_shown_and_one_that_is_stopped_is_shown_as_far_as_it_is(
    world: World, worker: InferenceWorker, checker: dict[str, Any], settings: Any
) -> None:
    settings.MODERATES_REPLIES = True
    client = signed_in(world.owner)
    send(client, "[[tokens=300;rate=150]]")
    wait_for(Generation.objects.running().exists)
    time.sleep(0.4)  # nothing of it is told that could be waited for
    open_ = Generation.objects.get()
    client.post(f"/generations/{open_.id}/cancellation/")
    stopped = ended(world.owner)
    assert (stopped.status, shown_of(stopped)) == ("stopped", stopped.message.text)
    assert stopped.message.text

    known = len(checker["asked"])
    client.post(f"/generations/{open_.id}/continuation/")
    whole = ended(world.owner).message.text
    assert whole.startswith(stopped.message.text)
    assert [text for text, _ in checker["asked"][known:]] == [whole.strip()], "with what it goes on from"

    send(client, "[[rate=20;text=a fine answer]]")
    checker["answer"] = b"nonsense"
    lost = ended(world.owner)
    assert (lost.status, lost.message.text) == ("failed", "")
    page = client.get(f"/c/{lost.message.conversation_id}").content.decode()
    assert "could not be checked, so it is not shown" in page


class Said:
    """A run that says a text in the given pieces; until it is cancelled."""

    def __init__(self, pieces: list[str], kind: type[TextDelta | ReasoningDelta] = TextDelta) -> None:
        self.pieces, self.kind, self.is_cancelled = pieces, kind, False

    @property
    def prompt_tokens(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Event]:
        for number, piece in enumerate(self.pieces):
            if self.is_cancelled:
                break
            yield self.kind(piece, number + 1)
        yield Finished("cancelled" if self.is_cancelled else "stop")

    def cancel(self) -> None:
        self.is_cancelled = True

    def answer_now(self) -> None:
        raise AssertionError("Nobody asks for that here.")


def pieces_of(text: str, chance: random.Random) -> list[str]:
    pieces = []
    while text:
        length = chance.randint(1, 30)
        pieces.append(text[:length])
        text = text[length:]
    return pieces


@pytest.mark.parametrize("kind", [TextDelta, ReasoningDelta])
def test_however_a_text_is_cut_it_is_shown_as_if_it_had_been_looked_at_whole(kind: Any) -> None:
    chance = random.Random(3)
    card = ModerationRule(id=1, name="Card", pattern=r"\b\d{4}-\d{4}\b", action=Action.REPLACE, replacement="#")
    word = ModerationRule(id=2, name="Word", pattern=r"secret\w*", action=Action.REPLACE, replacement="")
    stop = ModerationRule(id=3, name="Stop", pattern=r"\bfalcon\b", action=Action.REFUSE)
    words = ["4111-1111", "41111-1111", "secret", "secretly", "topsecret", "falconry", "plain", "ünï", "\n", "x" * 60]
    for _ in range(60):
        text = " ".join(chance.choices(words, k=chance.randint(1, 120)))
        moderated = Moderated(Said(pieces_of(text, chance), kind), [card, word, stop])
        shown = "".join(event.text for event in moderated if isinstance(event, kind))
        assert shown == word.expression.sub("", card.expression.sub("#", text))

        cut = Moderated(Said(pieces_of(f"{text} falcon {text}", chance), kind), [card, word, stop])
        seen, end = "", None
        for event in cut:
            seen += getattr(event, "text", "")
            end = event
        assert seen == f"{shown} "
        assert isinstance(end, Finished)
        assert end.reason == "error"
        assert stop in cut.found


def test_no_more_than_the_window_is_held_back() -> None:
    mark = ModerationRule(id=1, name="Mark", pattern="zzz", action=Action.MARK)
    told = held = 0
    for event in Moderated(Said(["abc "] * 500), [mark]):
        if isinstance(event, TextDelta):
            told += len(event.text)
            held = max(held, event.num_tokens * 4 - told)
    assert (told, held) == (2000, WINDOW)


def test_the_admin_makes_rules_that_can_be_searched_for(world: World) -> None:
    client = signed_in(world.admin)
    good = {"name": "Card", "pattern": r"\d{4}", "side": "both", "action": "mark", "replacement": "", "is_active": "on"}
    for bad, words in (({"pattern": "("}, "no regular expression"), ({"pattern": "x*"}, "found in every text")):
        assert words in client.post("/admin/chat/moderationrule/add/", {**good, **bad}).content.decode()
    assert client.post("/admin/chat/moderationrule/add/", good).status_code == 302
    assert ModerationRule.objects.get().is_active
    for refused, status in ((auditor(), 403), (world.owner, 302)):
        assert signed_in(refused).post("/admin/chat/moderationrule/add/", good).status_code == status
    assert Client().get("/admin/chat/moderationrule/").status_code == 302
    assert Audit.objects.get().act == "moderationrule.added"
