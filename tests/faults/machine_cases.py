"""A machine that runs out of memory, of room on its disks or of file handles, by limits of single processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
from collections.abc import Iterator

import psutil
from websockets.exceptions import InvalidHandshake

from tests.faults.case import amid, case
from tests.faults.ledger import Entry, Ledger
from tests.visitor import Visitor

MB = 1 << 20


@contextlib.contextmanager
def limited(what: int, least: int, *processes: psutil.Process) -> Iterator[None]:
    """No more than `least` of a resource for these processes; those that live get back what they had."""
    former: list[tuple[psutil.Process, tuple[int, int]]] = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            former.append((process, process.rlimit(what)))
            process.rlimit(what, (least, former[-1][1][1]))
    try:
        yield
    finally:
        for process, limits in former:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.rlimit(what, limits)


@case(4, "worker gets no more memory for 3 s")
async def no_memory(ledger: Ledger, chance: random.Random) -> None:
    async def fault(entries: list[Entry]) -> None:
        worker = ledger.stack.find(chance.choice(["inference", "second"]))
        with limited(resource.RLIMIT_AS, worker.memory_info().vms, worker):
            await ledger.watch(await ledger.ask(0))
            await asyncio.sleep(3)

    await amid(ledger, chance, fault)


@case(34, "no room on disk for logs")
async def no_room_for_logs(ledger: Ledger, chance: random.Random) -> None:
    async def fault(entries: list[Entry]) -> None:
        processes = [ledger.stack.find(name) for name in ("web", "second_web", "inference", "second")]
        with limited(resource.RLIMIT_FSIZE, 0, *processes):
            ledger.stack.lines["valkey"].reset()
            ledger.stack.lines["postgres"].reset()
            await ledger.watch(*[await ledger.ask(who, web=who % 2) for who in range(3)])

    await amid(ledger, chance, fault)


@case(34, "no room on disk for Valkey")
async def no_room_for_valkey(ledger: Ledger, chance: random.Random) -> None:
    """It dies in the middle of a line of its log, and starts again with what stands there."""

    async def fault(entries: list[Entry]) -> None:
        log = next(ledger.stack.valkey.data_dir.glob("appendonlydir/*.incr.aof"))
        room = log.stat().st_size + chance.randint(0, 3000)
        with limited(resource.RLIMIT_FSIZE, room, ledger.stack.find("valkey")):
            await asyncio.sleep(2)

    await amid(ledger, chance, fault, num_words=80)


@case(34, "no room on disk for Postgres for 3 s")
async def no_room_for_postgres(ledger: Ledger, chance: random.Random) -> None:
    async def fault(entries: list[Entry]) -> None:
        postgres = ledger.stack.find("postgres")
        with limited(resource.RLIMIT_FSIZE, 64 * 1024, postgres, *postgres.children(recursive=True)):
            asking = asyncio.create_task(ledger.ask(0))
            await asyncio.sleep(3)
        await asyncio.to_thread(ledger.stack.end, "postgres")
        await asyncio.to_thread(ledger.stack.mend)
        await ledger.watch(await asking)

    await amid(ledger, chance, fault, num_words=80)


@case(36, "web process without file handles")
async def no_handles(ledger: Ledger, chance: random.Random) -> None:
    """Whom it can't take it does not take; those whom it has read on, and when there are handles again it takes all."""

    async def fault(entries: list[Entry]) -> None:
        web = ledger.stack.find("second_web")
        with limited(resource.RLIMIT_NOFILE, web.num_fds() + 10, web):
            strangers = [Visitor(ledger.stack.ports[1], ledger.sessions[2]) for _ in range(30)]
            opening = [asyncio.wait_for(visitor.open_page(), 2) for visitor in strangers]
            await asyncio.gather(*opening, return_exceptions=True)
            await ledger.watch(*entries)
        for visitor in strangers:
            with contextlib.suppress(AttributeError, InvalidHandshake):
                visitor.socket.transport.abort()
        await ledger.watch(await ledger.ask(0, web=1))

    await amid(ledger, chance, fault, num_words=80)


@case(60, "log of a web process blocked")
async def blocked_log(ledger: Ledger, chance: random.Random) -> None:
    """Its lines go into a pipe that nobody reads and that is full."""
    web = ledger.stack.servers["second_web"]
    pipe, log = ledger.stack.data_dir.parent / "blocked.log", web.log
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while os.write(held, b"full\n" * 1000):
            pass
    try:
        web.log = pipe
        await _start_again(ledger)

        async def fault(entries: list[Entry]) -> None:
            for line in ("valkey", "postgres"):
                ledger.stack.lines[line].reset()

        await amid(ledger, chance, fault, web=1)
    finally:
        web.log = log
        await _start_again(ledger)
        os.close(held)


async def _start_again(ledger: Ledger) -> None:
    await asyncio.to_thread(ledger.stack.end, "second_web")
    await asyncio.to_thread(ledger.stack.revive)
