"""People who come back, leave, flood, read slowly, change their minds or lose their rights."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from uuid import uuid4

from websockets.exceptions import ConnectionClosed

from tests.faults.case import amid, case
from tests.faults.ledger import Entry, Ledger
from tests.stack import SIGNED_IN

CLOSE_SIGNED_OUT = 4401
BY_THE_LINE = 2


@case(24, "page loaded again at random moments")
async def reload(ledger: Ledger, chance: random.Random) -> None:
    async def fault(entries: list[Entry]) -> None:
        for _ in range(4):
            await entries[0].visitor.reload()
            await asyncio.sleep(chance.uniform(0.05, 0.3))

    await amid(ledger, chance, fault)


@case(25, "two pages of one person")
async def two_pages(ledger: Ledger, chance: random.Random) -> None:
    """The second page asks something of its own, and reads the first page's reply too."""

    async def fault(entries: list[Entry]) -> None:
        twin = ledger.again(entries[0])
        twin.generation = entries[0].generation
        await ledger.watch(await ledger.ask(0), twin)
        ledger.expect(twin.visitor.text == entries[0].visitor.text, "I6: two pages show two texts")

    await amid(ledger, chance, fault)


@case(26, "reader away for 4 s")
async def away(ledger: Ledger, chance: random.Random) -> None:
    async def fault(entries: list[Entry]) -> None:
        line = ledger.stack.lines["readers"]
        line.refuses = True
        line.reset()
        await asyncio.sleep(4)
        line.heal()

    await amid(ledger, chance, fault, num_words=120, web=BY_THE_LINE)


@case(27, "line of a reader half open")
async def half_open(ledger: Ledger, chance: random.Random) -> None:
    """Nothing gets through, and nobody is told; others read on, and a new connection gets all of it."""

    async def fault(entries: list[Entry]) -> None:
        line = ledger.stack.lines["readers"]
        line.black_hole = True
        await ledger.watch(await ledger.ask(0, web=1))
        line.heal()
        line.reset()

    await amid(ledger, chance, fault, web=BY_THE_LINE)


@case(28, "line of a reader flaps")
async def flapping(ledger: Ledger, chance: random.Random) -> None:
    async def fault(entries: list[Entry]) -> None:
        for _ in range(8):
            await chance.choice(entries).visitor.socket.close()
            await asyncio.sleep(chance.uniform(0.05, 0.3))

    await amid(ledger, chance, fault)


@case(29, "reader takes 2 KB a second")
async def slow_reader(ledger: Ledger, chance: random.Random) -> None:
    """Others do not wait for it, and it gets everything in the end."""

    async def fault(entries: list[Entry]) -> None:
        line = ledger.stack.lines["readers"]
        line.piece, line.bytes_per_s = 200, 2000
        await ledger.watch(*[await ledger.ask(who, web=who % 2) for who in range(3)])
        line.heal()

    await amid(ledger, chance, fault, num_words=200, web=BY_THE_LINE)


@case(44, "one person floods")
async def flood(ledger: Ledger, chance: random.Random) -> None:
    """What is over the limit is refused; the others are answered, and nothing that was accepted is lost."""
    flooding = [asyncio.create_task(ledger.ask(2, num_words=5)) for _ in range(30)]
    others = [await ledger.ask(who) for who in range(2)]
    await ledger.watch(*others)
    await ledger.watch(*await asyncio.gather(*flooding))


@case(45, "everybody asks more than can be at work")
async def overload(ledger: Ledger, chance: random.Random) -> None:
    asked = [ledger.ask(who, num_words=chance.randint(1, 20), web=who % 2) for who in range(3) for _ in range(20)]
    await ledger.watch(*await asyncio.gather(*asked))


@case(46, "stopped at a random moment")
async def stop(ledger: Ledger, chance: random.Random) -> None:
    async def fault(entries: list[Entry]) -> None:
        entries[0].may_end = ("stopped", "completed")
        for _ in range(2):
            await entries[0].visitor.post(f"/generations/{entries[0].generation}/cancellation/", {"twice": "1"})

    await amid(ledger, chance, fault)


@case(46, "stopped while it waits, and continued")
async def stopped_early(ledger: Ledger, chance: random.Random) -> None:
    """Continue goes on to the whole reply from whatever there is."""
    entry = await ledger.ask(0, script="prefill_ms=800;")
    await asyncio.sleep(chance.uniform(0, 1.2))
    entry.may_end = ("stopped", "completed")
    await entry.visitor.post(f"/generations/{entry.generation}/cancellation/", {"x": "1"})
    await ledger.watch(entry)
    await entry.visitor.post(f"/generations/{entry.generation}/continuation/", {"x": "1"})
    entry.may_end = ("completed",)
    entry.visitor.end, entry.visitor.ticket = None, ""
    await ledger.watch(entry)


@case(47, "made again and edited while it is written")
async def made_again(ledger: Ledger, chance: random.Random) -> None:
    """Nothing is overwritten: each is a reply of its own, and comes to its end."""

    async def fault(entries: list[Entry]) -> None:
        entries[0].may_end = ("completed", "stopped")
        asked, _ = await asyncio.to_thread(ledger.messages, entries[0])
        message = f"/c/{entries[0].conversation}/messages/{asked}"
        text = {"text": f"[[rate=60;say]]{entries[0].expected}"}
        doors = [("replies", {"x": "1"}), ("versions", text), ("replies", {"x": "1"})]
        sent = [ledger.send(ledger.again(entries[0]), f"{message}/{door}/", fields) for door, fields in doors]
        await ledger.watch(*await asyncio.gather(*sent))

    await amid(ledger, chance, fault)


@case(48, "chat deleted in mid-reply")
async def deleted(ledger: Ledger, chance: random.Random) -> None:
    async def fault(entries: list[Entry]) -> None:
        entries[0].is_deleted = True
        await entries[0].visitor.post(f"/c/{entries[0].conversation}/deletion/", {"x": "1"})

    await amid(ledger, chance, fault, num_words=90)


@case(49, "person deactivated in mid-reply")
async def deactivated(ledger: Ledger, chance: random.Random) -> None:
    async def lose(entry: Entry, email: str) -> None:
        code = f"from chat.models import User\nperson = User.objects.get(email={email!r})"
        await asyncio.to_thread(ledger.stack.run, f"{code}\nperson.is_active = False\nperson.save()")

    await loses_rights(ledger, lose)


@case(51, "signed out in mid-reply")
async def signed_out(ledger: Ledger, chance: random.Random) -> None:
    async def lose(entry: Entry, email: str) -> None:
        await entry.visitor.post(f"/generations/{entry.generation}/cancellation/", {"x": "1"})
        await entry.visitor.post("/accounts/logout/", {"x": "1"})

    await loses_rights(ledger, lose)


async def loses_rights(ledger: Ledger, lose: Callable[[Entry, str], Awaitable[None]]) -> None:
    """I8: three pages of the person close, say why, and show nothing more; others read on."""
    number = uuid4().int % 10**9
    session = await asyncio.to_thread(ledger.stack.run, f"{SIGNED_IN}\nresult = signed_in({number})")
    entry = await ledger.ask(0, num_words=900, rate=60, session=session)
    entry.may_end = ("stopped",)
    pages = [asyncio.create_task(until_closed(ledger.again(entry), entry.generation)) for _ in range(3)]
    other = await ledger.ask(1)
    await lose(entry, f"person{number}@example.org")
    codes = await asyncio.wait_for(asyncio.gather(*pages), 10)
    ledger.expect(codes == [CLOSE_SIGNED_OUT] * 3, f"I8: the sockets closed with {codes}")
    await ledger.watch(other)


async def until_closed(entry: Entry, generation: str) -> int | None:
    """Read until the server closes the socket; its code."""
    visitor = entry.visitor
    try:
        await visitor.open_page()
        await visitor.follow(generation)
        async for _ in visitor.socket:
            pass
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None
    return visitor.socket.close_code
