"""The stream of a reply: complete, in order, once; whatever happens to Valkey."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from uuid import uuid4

import pytest
import redis

from chat import reply_stream, valkey
from chat.reply_stream import Cursor, OpenReply, Writer
from qwenweb.up.valkey import Valkey
from tests.conftest import wait_for


@pytest.fixture
def writer(db: None) -> Iterator[Writer]:
    writer = Writer(valkey.short_client())
    yield writer
    writer.close()


def text_of(reply: OpenReply) -> str:
    return reply_stream.told(valkey.client(), reply.generation_id, reply.attempt).text


def ended(reply: OpenReply) -> bool:
    entries = reply_stream.entries(valkey.client(), reply.generation_id)
    return bool(entries) and entries[-1][1] == "end"


def test_what_is_told_arrives_in_order_with_explicit_ids(writer: Writer) -> None:
    reply = writer.open(uuid4(), attempt=1)
    for i in range(100):
        writer.tell(reply, "text", f"{i} ")
    writer.tell(reply, "end", "completed")
    wait_for(lambda: ended(reply))

    assert text_of(reply) == "".join(f"{i} " for i in range(100))
    ids = [cursor for cursor, _, _ in reply_stream.entries(valkey.client(), reply.generation_id)]
    assert ids == [Cursor(1, n) for n in range(1, len(ids) + 1)]
    assert 0 < valkey.client().ttl(reply_stream.key(reply.generation_id)) <= reply_stream.KEPT_ENDED_S


def test_a_valkey_killed_and_restarted_empty_is_filled_again(writer: Writer, valkey_server: Valkey) -> None:
    reply = writer.open(uuid4(), attempt=1)
    writer.tell(reply, "text", "before ")
    wait_for(lambda: text_of(reply) == "before ")
    valkey_server.kill()
    writer.tell(reply, "text", "while away ")
    valkey_server.start()
    valkey.client().flushall()
    writer.tell(reply, "text", "after")
    wait_for(lambda: "after" in text_of(reply))

    assert text_of(reply) == "before while away after"


def test_a_valkey_that_lost_its_data_without_a_word_is_filled_again(writer: Writer) -> None:
    reply = writer.open(uuid4(), attempt=1)
    writer.tell(reply, "text", "one ")
    wait_for(lambda: text_of(reply) == "one ")
    valkey.client().flushall()
    writer.tell(reply, "text", "two")
    wait_for(lambda: text_of(reply) == "one two")


def test_what_is_gone_from_one_stream_is_told_again_in_all_that_are_open(writer: Writer) -> None:
    silent, busy = (writer.open(uuid4(), attempt=attempt) for attempt in (1, 3))
    writer.tell(silent, "reasoning", "Well")
    writer.tell(silent, "text", "shown")
    writer.tell(busy, "text", "one ")
    wait_for(lambda: (text_of(silent), text_of(busy)) == ("shown", "one "))
    known = reply_stream.entries(valkey.client(), silent.generation_id)
    valkey.client().flushall()
    writer.tell(busy, "text", "two")
    wait_for(lambda: (text_of(silent), text_of(busy)) == ("shown", "one two"))

    assert reply_stream.entries(valkey.client(), silent.generation_id) == known


def test_a_valkey_that_comes_back_without_its_last_entries_gets_them_again(
    writer: Writer, valkey_server: Valkey
) -> None:
    silent, busy = (writer.open(uuid4(), attempt=2) for _ in range(2))

    def ends(word: str) -> bool:
        return text_of(silent).endswith(word)

    def told(*words: str) -> None:
        for word in words:
            writer.tell(silent, "text", word)
            wait_for(partial(ends, word))

    key = reply_stream.key(silent.generation_id)
    with redis.Redis(unix_socket_path=str(valkey_server.socket_path)) as store:
        writer.tell(busy, "text", "one ")
        told("one ")
        on_disk = store.dump(key)
        told("two ", "three ")
        store.restore(key, 0, on_disk, replace=True)
        store.client_kill_filter(_type="normal")
    writer.tell(busy, "text", "two")
    wait_for(lambda: (text_of(silent), text_of(busy)) == ("one two three ", "one two"))

    cursors = [cursor for cursor, _, _ in reply_stream.entries(valkey.client(), silent.generation_id)]
    assert cursors == [Cursor(2, 1), Cursor(2, 2), Cursor(2, 3)]


def test_I4_a_fenced_writer_can_add_nothing(writer: Writer) -> None:
    reply = writer.open(uuid4(), attempt=1)
    writer.tell(reply, "text", "shown")
    wait_for(lambda: text_of(reply) == "shown")
    reply_stream.fence(valkey.client(), reply.generation_id, attempt=2)
    writer.tell(reply, "text", " by a zombie")
    other = writer.open(uuid4(), attempt=1)
    writer.tell(other, "end", "completed")
    wait_for(lambda: ended(other))
    time.sleep(0.1)

    assert text_of(reply) == "shown"


@pytest.mark.parametrize("bad", ["", "1", "-", "1-", "-1", "a-1", "1-1-1", "1-²", "9" * 50 + "-1", " 1-1"])
def test_a_cursor_that_is_none_is_refused(bad: str) -> None:
    with pytest.raises(ValueError):
        Cursor.parse(bad)


def test_cursors_sort_by_attempt_then_number() -> None:
    assert Cursor.parse("2-1") > Cursor.parse("1-30") > Cursor.parse("1-4")
