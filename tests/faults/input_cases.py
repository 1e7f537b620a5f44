"""What people and pages send that they should not, and texts that are hard to keep as they are."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from uuid import uuid4

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.faults.case import amid, case
from tests.faults.ledger import Entry, Ledger, words_of
from tests.visitor import Visitor

BLANK = ["", " ", "\n\t", "\u200b", "\u200b\u200d\ufeff", "\u2060 \u00ad", "\x00", "\u3000"]
HARD = [
    "👩‍👩‍👧‍👦 family",
    "\u202eright to left\u202c",
    "e" + "\u0301" * 300,
    "\u00e9 and e\u0301",
    "a\x00b",
    "𠜎 𝄞",
    "العربية עברית",
    "\ufffd",
]
NO_FRAMES: list[str | bytes] = [
    "",
    "{",
    "null",
    "[]",
    "3",
    '"text"',
    "NaN",
    '{"type": NaN}',
    '{"type": "reply.follow"}',
    '{"type": "reply.follow", "generation": 5, "after": "0-0"}',
    '{"type": "reply.ack", "generation": "x", "cursor": "9-9-9"}',
    '{"type": "\\ud800"}',
    "[" * 3000,
    "1" * 4000,
    "x" * 100_000,
    b"\x00\xff",
    b"",
]
FOREIGN = [
    None,
    "null",
    "http://evil.example",
    "https://127.0.0.1:{port}",
    "http://127.0.0.1",
    "http://127.0.0.1:{port}.evil.example",
    "http://evil@127.0.0.1:{port}",
    "http://127.0.0.1:{port}/",
    "http://localhost:{port}",
    "HTTP://127.0.0.1:{port}",
    "http://127.0.0.1:1",
]


async def status(visitor: Visitor, path: str, fields: dict[str, str]) -> int:
    """What a form is answered with; 413 when the server hung up before it was sent whole."""
    try:
        return int((await visitor.post(path, {"client_id": str(uuid4()), **fields})).split()[1])
    except (OSError, IndexError):
        return 413


@case(37, "questions around the length of the context window")
async def too_long(ledger: Ledger, chance: random.Random) -> None:
    """One that fits is answered; one that does not is refused, or its reply says so; nobody else notices."""

    async def fault(entries: list[Entry]) -> None:
        for num_characters in (100_000, 140_000, 1_500_000):
            entry = ledger.again(entries[0])
            code = await status(entry.visitor, "/c/", {"text": "[[tokens=2;words]]" + "long " * (num_characters // 5)})
            ledger.expect(code < 500, f"I10: {num_characters} characters were answered with {code}")

    await amid(ledger, chance, fault, num_words=90)


@case(38, "reply without an end")
async def endless(ledger: Ledger, chance: random.Random) -> None:
    """It goes on to the limit of its length, or until somebody stops it; others are answered."""
    entry = await ledger.ask(2, rate=300, script="mode=no_eos;")
    entry.expected = entry.expected * 2000
    entry.may_end = ("stopped",)
    watching = asyncio.create_task(ledger.watch(entry))
    await ledger.watch(*[await ledger.ask(who) for who in range(2)])
    await entry.visitor.post(f"/generations/{entry.generation}/cancellation/", {"x": "1"})
    await watching


@case(39, "messages of 10 MB")
async def huge(ledger: Ledger, chance: random.Random) -> None:
    async def fault(entries: list[Entry]) -> None:
        visitor = ledger.again(entries[0]).visitor
        codes = [await status(visitor, "/c/", {"text": "x" * 10_000_000}) for _ in range(3)]
        ledger.expect(all(400 <= code < 500 for code in codes), f"I10: 10 MB were answered with {codes}")

    await amid(ledger, chance, fault, num_words=90)


@case(40, "empty and blank messages")
async def blank(ledger: Ledger, chance: random.Random) -> None:
    async def fault(entries: list[Entry]) -> None:
        for text in BLANK:
            before = _num_generations(ledger)
            code = await status(ledger.again(entries[0]).visitor, "/c/", {"text": text})
            ledger.expect(code == 422, f"I10: {text!r} was answered with {code}")
            ledger.expect(_num_generations(ledger) == before, f"I10: {text!r} got a reply")

    await amid(ledger, chance, fault, num_words=90)


def _num_generations(ledger: Ledger) -> int:
    ((num,),) = ledger.stack.sql("SELECT count(*) FROM chat_generation")
    return int(str(num))


@case(41, "characters no database takes, and bytes that are no text")
async def unstorable(ledger: Ledger, chance: random.Random) -> None:
    async def fault(entries: list[Entry]) -> None:
        visitor = ledger.again(entries[0]).visitor
        codes = [await status(visitor, "/c/", {"text": text}) for text in ("a\x00b", "\ufffe", "\x1b[31m")]
        codes.append(await status(visitor, "/c/", {"client_id": "\x00"}))
        codes.append(int((await visitor.get("/c/%00")).split()[1]))
        codes.append(int((await visitor.get("/search/?q=%ff%fe%00")).split()[1]))
        ledger.expect(all(code < 500 for code in codes), f"I10: answered with {codes}")

    await amid(ledger, chance, fault)


@case(42, "emoji, marks and scripts of any direction")
async def hard_to_keep(ledger: Ledger, chance: random.Random) -> None:
    """The same code points come back, but for NUL."""
    for who, text in enumerate(HARD):
        entry = ledger.again(await ledger.ask(who % 3, num_words=1))
        entry.expected = words_of(text.replace("\x00", ""))
        entry.visitor.history = []
        await ledger.send(entry, "/c/", {"text": f"[[rate=200;say]]{text}"})
        await ledger.watch(entry)
        entry.visitor.history = []  # each word of it is foreign to the canary
        asked_id, _ = ledger.messages(entry)
        ((asked,),) = ledger.stack.sql(f"SELECT text FROM chat_message WHERE id = '{asked_id}'")
        same = str(asked) == f"[[rate=200;say]]{text}".replace("\x00", "")
        ledger.expect(same, f"I1: {text!r} was stored as {asked!r}")


@case(53, "sockets of strangers and from foreign pages")
async def foreign(ledger: Ledger, chance: random.Random) -> None:
    async def fault(entries: list[Entry]) -> None:
        port = entries[0].visitor.port
        for origin in FOREIGN:
            named = origin.format(port=port) if origin else None
            ledger.expect(not await _is_let_in(port, named, entries[0].visitor.cookie), f"I7: let in from {named}")
        for cookie in ("", "session=", "session=nobody", f"session={'a' * 32}"):
            own = f"http://127.0.0.1:{port}"
            ledger.expect(not await _is_let_in(port, own, cookie), f"I7: let in with {cookie!r}")

    await amid(ledger, chance, fault, num_words=90)


async def _is_let_in(port: int, origin: str | None, cookie: str) -> bool:
    try:
        headers = {"Cookie": cookie} if cookie else {}
        async with connect(
            f"ws://127.0.0.1:{port}/ws/",
            origin=origin,  # type: ignore[arg-type]
            additional_headers=headers,
            proxy=None,
        ) as socket:
            await asyncio.wait_for(socket.recv(), 2)
    except TimeoutError:
        return True
    except (InvalidHandshake, ConnectionClosed, OSError):
        return False
    return True


@case(54, "frames that are none")
async def no_frames(ledger: Ledger, chance: random.Random) -> None:
    """Each is answered in words, or the socket closes by the rule; the reply on the same page goes on."""

    async def fault(entries: list[Entry]) -> None:
        for frame in chance.sample(NO_FRAMES, len(NO_FRAMES)):
            with contextlib.suppress(ConnectionClosed):
                await entries[0].visitor.socket.send(frame)
            await asyncio.sleep(0.02)
        visitor = ledger.again(entries[1]).visitor
        await visitor.open_page()
        await visitor.socket.send("{")
        answer = json.loads(await asyncio.wait_for(visitor.socket.recv(), 5))
        ledger.expect(answer["type"] == "error", f"I10: answered with {answer}")
        await visitor.socket.close()

    await amid(ledger, chance, fault, num_words=90)


@case(55, "two hundred sockets of one person")
async def many_sockets(ledger: Ledger, chance: random.Random) -> None:
    async def fault(entries: list[Entry]) -> None:
        visitors = [Visitor(entries[0].visitor.port, ledger.sessions[2]) for _ in range(200)]
        with contextlib.suppress(OSError, InvalidHandshake, TimeoutError):
            for visitor in visitors:
                await visitor.open_page()
        await ledger.watch(await ledger.ask(0))
        for visitor in visitors:
            if visitor.num_connections and hasattr(visitor, "socket"):
                visitor.socket.transport.abort()

    await amid(ledger, chance, fault)
