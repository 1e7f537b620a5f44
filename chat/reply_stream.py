"""The token stream of a reply in Valkey: an append-only log that any reader may replay and then tail.

Entries have explicit ids `<attempt>-<n>`, n counting from 1. Sending one twice is refused by Valkey and so harmless,
and the first entry of a higher attempt fences off whatever a worker of a lower attempt still sends. An attempt that
goes on with a reply tells the text that is there first, so it can be read without those before it. The id is the
reader's cursor. The writer keeps a reply's entries until its end, so what a Valkey loses, all of it or only its last
second, is told again under the same ids.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, cast

import redis
import structlog
from redis.exceptions import RedisError, ResponseError

Kind = Literal["stage", "reasoning", "text", "end"]

KEPT_RUNNING_S = 86_400
KEPT_ENDED_S = 600

log = structlog.get_logger()


class Cursor(NamedTuple):
    attempt: int
    n: int

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """`"2-17"` → Cursor(2, 17); raises ValueError for anything else."""
        attempt, _, n = text.partition("-")
        if not (attempt.isascii() and attempt.isdigit() and n.isascii() and n.isdigit() and len(text) < 40):
            raise ValueError("not a cursor")
        return cls(int(attempt), int(n))

    def __str__(self) -> str:
        return f"{self.attempt}-{self.n}"


START = Cursor(0, 0)


def key(generation_id: object) -> str:
    return f"reply:{generation_id}"


@dataclass(slots=True)
class Told:
    """All that was said of a reply so far."""

    text: str = ""
    reasoning: str = ""
    reasoning_ms: float = 0.0
    num_tokens: int = 0
    """How many tokens this attempt made of it, those of the reasoning included."""
    num_reasoning_tokens: int = 0


def entries(client: redis.Redis, generation_id: object) -> list[tuple[Cursor, Kind, str]]:
    """All that stands in a reply's stream, oldest first."""
    found = cast(list[tuple[str, dict[str, Any]]], client.xrange(key(generation_id)))
    return [(Cursor.parse(entry_id), fields["k"], fields["d"]) for entry_id, fields in found]


def told(client: redis.Redis, generation_id: object, attempt: int) -> Told:
    """What one attempt put into a reply's stream, that is, what its readers may have seen."""
    found = cast(list[tuple[str, dict[str, str]]], client.xrange(key(generation_id), f"{attempt}-0", f"{attempt}"))
    told = Told()
    for _, fields in found:
        num_tokens = int(fields.get("n", 0))
        if fields["k"] == "text":
            told.text += fields["d"]
            told.num_tokens = max(told.num_tokens, num_tokens)
        elif fields["k"] == "reasoning":
            told.reasoning += fields["d"]
            told.num_tokens = told.num_reasoning_tokens = max(told.num_reasoning_tokens, num_tokens)
    return told


def fence(client: redis.Redis, generation_id: object, attempt: int) -> None:
    """Close the stream for all attempts below `attempt`: what they still send is refused."""
    _append_end(client, generation_id, Cursor(attempt, 1), kind="stage", data="handover")


def end(client: redis.Redis, generation_id: object, attempt: int, status: str) -> None:
    """End a stream in place of its writer, which is gone; comes after `fence`."""
    _append_end(client, generation_id, Cursor(attempt, 2), kind="end", data=status)


def forget(client: redis.Redis, generation_ids: Iterable[object]) -> int:
    """Remove the streams of replies that are gone, before their time; how many there were."""
    keys = [key(generation_id) for generation_id in generation_ids]
    return int(client.delete(*keys)) if keys else 0


def _append_end(client: redis.Redis, generation_id: object, cursor: Cursor, kind: Kind, data: str) -> None:
    try:
        client.xadd(key(generation_id), {"k": kind, "d": data}, id=str(cursor))
    except ResponseError as error:
        if "equal or smaller" not in str(error):
            raise
    client.expire(key(generation_id), KEPT_ENDED_S)


class Entry(NamedTuple):
    """One entry of a stream; `num_tokens` as in the engine's deltas, 0 where there are none to count."""

    kind: Kind
    data: str
    num_tokens: int = 0

    @property
    def fields(self) -> dict[str, str]:
        count = {"n": str(self.num_tokens)} if self.num_tokens else {}
        return {"k": self.kind, "d": self.data, **count}


@dataclass(slots=True, eq=False)
class OpenReply:
    """The writer's end of one stream: what was told but is not sent, and what is sent but may have to be sent again."""

    generation_id: str
    attempt: int
    told: list[Entry] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    num_sent: int = 0
    is_ended: bool = False
    ended_at: float = 0.0


class Writer:
    """Sends the streams of all replies of a worker from one thread, one pipeline a round.

    A lone delta goes out at once. Each open reply stretches the pause between two rounds a little, so that under load
    deltas of a reply meet in one entry instead of costing an entry each.

    Behind a new connection may be a Valkey that lost something, all of it or only its last second. So after each one,
    and when a stream has gone, the writer looks where its streams end before it adds to them.
    """

    PAUSE_PER_REPLY_S = 0.0003
    LONGEST_PAUSE_S = 0.05
    LONGEST_BACKOFF_S = 1.0

    def __init__(self, client: redis.Redis) -> None:
        """`client` is this writer's alone and has one connection."""
        self._client = client
        self._lock = threading.Condition()
        self._open: set[OpenReply] = set()
        self._dirty: set[OpenReply] = set()
        self._is_closing = False
        self._is_unsure = False
        self._thread = threading.Thread(target=self._run, name="reply-writer", daemon=True)
        self._thread.start()

    def open(self, generation_id: object, attempt: int) -> OpenReply:
        reply = OpenReply(str(generation_id), attempt)
        with self._lock:
            self._open.add(reply)
        return reply

    def tell(self, reply: OpenReply, kind: Kind, data: str, num_tokens: int = 0) -> None:
        """Add to a stream; never waits. Nothing may follow `end`."""
        with self._lock:
            reply.told.append(Entry(kind, data, num_tokens))
            if kind == "end":
                reply.is_ended, reply.ended_at = True, time.monotonic()
            self._mark(reply)

    def leave(self, reply: OpenReply) -> None:
        """Send what is told and no more: the reply goes on elsewhere, or ended without this writer."""
        with self._lock:
            reply.is_ended, reply.ended_at = True, time.monotonic()
            self._mark(reply)

    def _mark(self, reply: OpenReply) -> None:
        if not self._dirty:
            self._lock.notify()
        self._dirty.add(reply)

    def close(self, timeout_s: float = 5) -> None:
        """Send what is told and stop; gives up after `timeout_s`, as Valkey may be gone."""
        with self._lock:
            self._is_closing = True
            self._lock.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        backoff_s = 0.05
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._dirty or self._is_unsure or self._is_closing)
                if self._is_closing and not self._dirty:
                    break
                round_, self._dirty = self._dirty, set()
                for reply in round_:
                    _coalesce(reply)
            try:
                self._note_new_connections()
                if self._is_unsure:
                    round_ |= self._look()
                again = self._send(round_)
                backoff_s = 0.05
            except (RedisError, OSError) as error:
                self._is_unsure = True
                log.warning("reply_stream.unsent", replies=len(round_), error=type(error).__name__)
                again = {reply for reply in round_ if not self._is_given_up(reply)}
                time.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, self.LONGEST_BACKOFF_S)
            with self._lock:
                self._dirty |= again
            time.sleep(min(self.LONGEST_PAUSE_S, self.PAUSE_PER_REPLY_S * len(self._open)))
        self._client.close()

    def _note_new_connections(self) -> None:
        """Have the connection made now, if it was lost: the client would do so in silence, with the entries at hand."""
        pool = self._client.connection_pool
        connection = pool.get_connection()
        connection.register_connect_callback(self._note_new_connection)  # type: ignore[no-untyped-call]
        pool.release(connection)

    def _note_new_connection(self, _: object) -> None:
        self._is_unsure = True

    def _look(self) -> set[OpenReply]:
        """Where each open stream ends now, as Valkey may have lost all of it or its last; who has less than was told.

        What is gone from one may be gone from all, those that are silent now too. A stream is always told in order, so
        it never lacks something in its midst.
        """
        with self._lock:
            begun = [reply for reply in self._open if reply.num_sent]
        with self._client.pipeline(transaction=False) as pipeline:
            for reply in begun:
                pipeline.xrevrange(key(reply.generation_id), count=1)
            for reply, newest in zip(begun, pipeline.execute(), strict=True):
                last = Cursor.parse(newest[0][0]) if newest else START
                if last.attempt <= reply.attempt:
                    reply.num_sent = last.n if last.attempt == reply.attempt else 0
        self._is_unsure = False
        return {reply for reply in begun if reply.num_sent < len(reply.entries)}

    def _send(self, replies: Iterable[OpenReply]) -> set[OpenReply]:
        """One pipeline with all unsent entries; the replies whose stream has gone and must be sent again."""
        sent: list[tuple[OpenReply, int]] = []
        with self._client.pipeline(transaction=False) as pipeline:
            for reply in replies:
                for n in range(reply.num_sent + 1, len(reply.entries) + 1):
                    fields = reply.entries[n - 1].fields
                    pipeline.xadd(key(reply.generation_id), fields, id=f"{reply.attempt}-{n}", nomkstream=n > 1)  # type: ignore[arg-type]
                    sent.append((reply, n))
                if reply.is_ended or reply.num_sent == 0:
                    pipeline.expire(key(reply.generation_id), KEPT_ENDED_S if reply.is_ended else KEPT_RUNNING_S)
                    sent.append((reply, 0))
            answers = pipeline.execute(raise_on_error=False)
        gone = self._settle(sent, answers)
        self._is_unsure = bool(gone)
        return gone

    def _settle(self, sent: list[tuple[OpenReply, int]], answers: list[object]) -> set[OpenReply]:
        gone: set[OpenReply] = set()
        for (reply, n), answer in zip(sent, answers, strict=True):
            if isinstance(answer, ResponseError) and "equal or smaller" in str(answer):
                answer = "sent before, or fenced off"
            if isinstance(answer, Exception):
                raise answer
            if n and answer is None:
                gone.add(reply)  # NOMKSTREAM found no stream
            elif n:
                reply.num_sent = n
        with self._lock:
            self._open -= {reply for reply, _ in sent if reply.is_ended and reply.num_sent == len(reply.entries)}
        return gone

    def _is_given_up(self, reply: OpenReply) -> bool:
        """A reply that ended long ago stands in Postgres; its readers find it there."""
        is_old = reply.is_ended and time.monotonic() - reply.ended_at > KEPT_ENDED_S
        if is_old:
            with self._lock:
                self._open.discard(reply)
        return is_old


def _coalesce(reply: OpenReply) -> None:
    """Move what was told into entries; neighbours of one kind become one."""
    merged: list[Entry] = []
    for entry in reply.told:
        if merged and merged[-1].kind == entry.kind and entry.kind in ("text", "reasoning"):
            merged[-1] = Entry(entry.kind, merged[-1].data + entry.data, entry.num_tokens)
        else:
            merged.append(entry)
    reply.told.clear()
    reply.entries += merged
