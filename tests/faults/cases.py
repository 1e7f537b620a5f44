"""The faults: each is injected while people ask and read, and what must hold is checked when it is over.

A case gets the ledger and a seeded random; it returns when everything that was asked is over.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import redis

from tests.faults.ledger import Entry, Ledger

Inject = Callable[[Ledger, random.Random], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    number: int
    """The row of the list of faults."""
    name: str
    run: Inject


CASES: list[Case] = []


def case(number: int, name: str) -> Callable[[Inject], Inject]:
    def note(run: Inject) -> Inject:
        CASES.append(Case(number, name, run))
        return run

    return note


async def amid(ledger: Ledger, chance: random.Random, fault: Callable[[list[Entry]], Awaitable[None]]) -> list[Entry]:
    """Three people read on two web processes; the fault comes at a random word of the first reply."""
    entries = [await ledger.ask(who, web=who % 2) for who in range(3)]
    watching = asyncio.create_task(ledger.watch(*entries))
    await ledger.begun(entries[0], chance.randint(1, 30))
    await fault(entries)
    await watching
    return entries


def disturb(number: int, name: str, fault: Callable[[Ledger, random.Random], Awaitable[None]]) -> None:
    async def run(ledger: Ledger, chance: random.Random) -> None:
        async def inject(_: list[Entry]) -> None:
            await fault(ledger, chance)

        await amid(ledger, chance, inject)

    CASES.append(Case(number, name, run))


def kills(*names: str) -> Callable[[Ledger, random.Random], Awaitable[None]]:
    async def fault(ledger: Ledger, chance: random.Random) -> None:
        ledger.stack.kill(chance.choice(names))

    return fault


def terminates(*names: str) -> Callable[[Ledger, random.Random], Awaitable[None]]:
    async def fault(ledger: Ledger, chance: random.Random) -> None:
        ledger.stack.find(chance.choice(names)).send_signal(signal.SIGTERM)

    return fault


def sleeps(*names: str, seconds: float) -> Callable[[Ledger, random.Random], Awaitable[None]]:
    async def fault(ledger: Ledger, chance: random.Random) -> None:
        process = ledger.stack.find(chance.choice(names))
        process.suspend()
        await asyncio.sleep(seconds)
        process.resume()

    return fault


def restarts(name: str, *, away_s: float = 0.0) -> Callable[[Ledger, random.Random], Awaitable[None]]:
    async def fault(ledger: Ledger, chance: random.Random) -> None:
        ledger.stack.kill(name)
        await asyncio.sleep(away_s)
        await asyncio.to_thread(ledger.stack.mend)

    return fault


def line(name: str, *, seconds: float = 2.0, **state: float) -> Callable[[Ledger, random.Random], Awaitable[None]]:
    async def fault(ledger: Ledger, chance: random.Random) -> None:
        proxy = ledger.stack.lines[name]
        for attribute, value in state.items():
            setattr(proxy, attribute, value)
        if "refuses" in state:
            proxy.reset()
        await asyncio.sleep(seconds)
        proxy.heal()

    return fault


async def cuts_lines(ledger: Ledger, chance: random.Random) -> None:
    for _ in range(6):
        ledger.stack.lines[chance.choice(["postgres", "valkey"])].reset()
        await asyncio.sleep(chance.uniform(0.1, 0.5))


async def terminates_backends(ledger: Ledger, chance: random.Random) -> None:
    for _ in range(4):
        ledger.stack.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = 'qwenweb'"
        )
        await asyncio.sleep(chance.uniform(0.2, 0.8))


async def locks_table(ledger: Ledger, chance: random.Random) -> None:
    statement = "BEGIN; LOCK TABLE chat_generation; SELECT pg_sleep(3); COMMIT"
    await asyncio.to_thread(ledger.stack.sql, statement)


def store(ledger: Ledger, database: int = 0) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(ledger.stack.valkey.socket_path), db=database)


async def flushes(ledger: Ledger, chance: random.Random) -> None:
    store(ledger).flushall()


async def fills_valkey(ledger: Ledger, chance: random.Random) -> None:
    with store(ledger) as client:
        client.config_set("maxmemory", "1mb")
        await asyncio.sleep(2)
        client.config_set("maxmemory", "256mb")


async def sends_garbage(ledger: Ledger, chance: random.Random) -> None:
    with store(ledger, 1) as client:
        for queue in ("gpu", "default"):
            client.lpush(queue, "{this is no task")


async def rings_often(ledger: Ledger, chance: random.Random) -> None:
    await asyncio.to_thread(ledger.stack.run, "from chat.tasks import wake\nfor _ in range(20): wake.apply_async()")


disturb(1, "worker killed in mid-reply", kills("inference", "second"))
disturb(3, "worker asleep for 4 s, then awake", sleeps("inference", "second", seconds=4))
disturb(9, "worker terminated for a deploy", terminates("inference", "second"))
disturb(11, "Valkey killed, data kept", restarts("valkey"))
disturb(12, "Valkey loses everything", flushes)
disturb(13, "Valkey away for 4 s", restarts("valkey", away_s=4))
disturb(14, "Valkey slow", line("valkey", latency_s=0.3))
disturb(14, "line to Valkey dead for 2 s", line("valkey", black_hole=1))
disturb(14, "line to Valkey chopped into 7 bytes", line("valkey", piece=7))
disturb(15, "Valkey full", fills_valkey)
disturb(17, "Postgres killed", restarts("postgres"))
disturb(18, "connections of Postgres ended", terminates_backends)
disturb(19, "Postgres away for 4 s", restarts("postgres", away_s=4))
disturb(20, "lines cut at random", cuts_lines)
disturb(20, "line to Postgres refused for 2 s", line("postgres", refuses=1))
disturb(21, "Postgres slow", line("postgres", latency_s=0.1))
disturb(21, "table locked for 3 s", locks_table)
disturb(22, "web process killed", kills("web", "second_web"))
disturb(23, "web process terminated", terminates("web", "second_web"))
disturb(30, "wake-ups doubled", rings_often)
disturb(32, "garbage in the queues", sends_garbage)


@case(2, "worker killed before the first word")
async def before_the_first_word(ledger: Ledger, chance: random.Random) -> None:
    entries = [await ledger.ask(who, script="prefill_ms=1500;") for who in range(2)]
    watching = asyncio.create_task(ledger.watch(*entries))
    await asyncio.sleep(chance.uniform(0.1, 1.2))
    ledger.stack.kill(chance.choice(["inference", "second"]))
    await watching


@case(1, "both workers killed")
async def both_workers(ledger: Ledger, chance: random.Random) -> None:
    async def fault(entries: list[Entry]) -> None:
        ledger.stack.kill("inference")
        ledger.stack.kill("second")
        await asyncio.sleep(chance.uniform(0, 1))
        await asyncio.to_thread(ledger.stack.mend)

    await amid(ledger, chance, fault)


@case(3, "engine stuck in one worker")
async def engine_stuck(ledger: Ledger, chance: random.Random) -> None:
    """The reply that gets two engines stuck is interrupted with its text; those beside it go on."""
    stuck = await ledger.ask(2, script=f"fail_at={chance.randint(5, 60)};mode=hang;")
    stuck.may_end = ("interrupted",)
    entries = [await ledger.ask(who, num_words=80) for who in range(2)]
    for entry in entries:
        entry.may_end = ("completed", "interrupted")  # who sits beside it twice has lost two workers, too
    await ledger.watch(stuck, *entries)


@case(5, "one reply fails for want of memory")
async def out_of_memory(ledger: Ledger, chance: random.Random) -> None:
    failing = await ledger.ask(2, script=f"fail_at={chance.randint(0, 60)};mode=oom;")
    failing.may_end = ("failed",)
    await ledger.watch(failing, *[await ledger.ask(who) for who in range(2)])


@case(24, "page loaded again at random moments")
async def reload(ledger: Ledger, chance: random.Random) -> None:
    async def fault(entries: list[Entry]) -> None:
        for _ in range(4):
            visitor = entries[0].visitor
            visitor.cursor, visitor.shown = "0-0", {}
            await visitor.socket.close()
            await asyncio.sleep(chance.uniform(0.05, 0.3))

    await amid(ledger, chance, fault)


@case(25, "two pages of one person")
async def two_pages(ledger: Ledger, chance: random.Random) -> None:
    async def fault(entries: list[Entry]) -> None:
        other = await ledger.ask(0)
        await ledger.watch(other)

    await amid(ledger, chance, fault)


@case(28, "line of a reader flaps")
async def flapping(ledger: Ledger, chance: random.Random) -> None:
    async def fault(entries: list[Entry]) -> None:
        for _ in range(8):
            await chance.choice(entries).visitor.socket.close()
            await asyncio.sleep(chance.uniform(0.05, 0.3))

    await amid(ledger, chance, fault)


@case(44, "one person floods")
async def flood(ledger: Ledger, chance: random.Random) -> None:
    """What is over the limit is refused; the others are answered, and nothing that was accepted is lost."""
    flooding = [asyncio.create_task(ledger.ask(2, num_words=5)) for _ in range(30)]
    others = [await ledger.ask(who) for who in range(2)]
    await ledger.watch(*others)
    await ledger.watch(*await asyncio.gather(*flooding))


@case(46, "stopped at a random moment")
async def stop(ledger: Ledger, chance: random.Random) -> None:
    async def fault(entries: list[Entry]) -> None:
        entries[0].may_end = ("stopped", "completed")
        for _ in range(2):
            await entries[0].visitor.post(f"/generations/{entries[0].generation}/cancellation/", {"twice": "1"})

    await amid(ledger, chance, fault)


@case(57, "stores and workers killed together")
async def power_loss(ledger: Ledger, chance: random.Random) -> None:
    async def fault(entries: list[Entry]) -> None:
        for name in ("postgres", "valkey", "inference", "second", "second_web", "web"):
            ledger.stack.kill(name)
        await asyncio.sleep(chance.uniform(0, 1))
        await asyncio.to_thread(ledger.stack.mend)

    await amid(ledger, chance, fault)
