"""Workers and web processes that die, hang, leave or are started too early."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Sequence

from tests.faults.case import Inject, amid, case, disturb, over
from tests.faults.ledger import Entry, Ledger
from tests.visitor import Visitor

ALL = ("postgres", "valkey", "inference", "second", "second_web", "web")


def kills(*names: str) -> Inject:
    async def fault(ledger: Ledger, chance: random.Random) -> None:
        ledger.stack.kill(chance.choice(names))

    return fault


def terminates(*names: str) -> Inject:
    async def fault(ledger: Ledger, chance: random.Random) -> None:
        ledger.stack.find(chance.choice(names)).send_signal(signal.SIGTERM)

    return fault


def sleeps(*names: str, seconds: float) -> Inject:
    async def fault(ledger: Ledger, chance: random.Random) -> None:
        process = ledger.stack.find(chance.choice(names))
        process.suspend()
        await asyncio.sleep(seconds)
        process.resume()

    return fault


async def rolls(ledger: Ledger, chance: random.Random) -> None:
    """Every process is told to end, one after the other, as a deploy does."""
    for name in chance.sample(["inference", "second", "web", "second_web"], 4):
        ledger.stack.find(name).send_signal(signal.SIGTERM)
        await asyncio.sleep(1)
        await asyncio.to_thread(ledger.stack.revive)
        await asyncio.to_thread(ledger.stack.wait_for_workers, 1)


disturb(1, "worker killed in mid-reply", kills("inference", "second"))
disturb(3, "worker asleep for 4 s, then awake", sleeps("inference", "second", seconds=4))
disturb(9, "worker terminated for a deploy", terminates("inference", "second"))
disturb(9, "every process restarted in turn", rolls)
disturb(22, "web process killed", kills("web", "second_web"))
disturb(22, "web process asleep for 3 s", sleeps("web", "second_web", seconds=3))
disturb(23, "web process terminated", terminates("web", "second_web"))


@case(2, "worker killed before the first word")
async def before_the_first_word(ledger: Ledger, chance: random.Random) -> None:
    entries = [await ledger.ask(who, script="prefill_ms=1500;") for who in range(2)]
    watching = asyncio.create_task(ledger.watch(*entries))
    await asyncio.sleep(chance.uniform(0.1, 1.2))
    ledger.stack.kill(chance.choice(["inference", "second"]))
    await over(ledger, watching)


@case(1, "both workers killed")
async def both_workers(ledger: Ledger, chance: random.Random) -> None:
    async def fault(entries: list[Entry]) -> None:
        await down(ledger, ("inference", "second"), chance.uniform(0, 1))

    await amid(ledger, chance, fault)


@case(3, "engine stuck in one worker")
async def engine_stuck(ledger: Ledger, chance: random.Random) -> None:
    """The reply that gets two engines stuck is interrupted with its text; those beside it go on."""
    stuck = await ledger.ask(2, script=f"fail_at={chance.randint(5, 60)};mode=hang;")
    stuck.may_end = ("interrupted",)
    entries = [await ledger.ask(who, num_words=80) for who in range(2)]
    for entry in entries:
        entry.may_end = ("completed", "interrupted")  # who sits beside it twice has lost two workers, too
    await over(ledger, asyncio.create_task(ledger.watch(stuck, *entries)))


@case(5, "one reply fails for want of memory")
async def out_of_memory(ledger: Ledger, chance: random.Random) -> None:
    await one_fails(ledger, chance, "oom")


@case(6, "one reply fails on the device")
async def illegal_access(ledger: Ledger, chance: random.Random) -> None:
    await one_fails(ledger, chance, "poison")


async def one_fails(ledger: Ledger, chance: random.Random, mode: str) -> None:
    """It says so, with the text it had; those beside it come to their end."""
    failing = await ledger.ask(2, script=f"fail_at={chance.randint(0, 60)};mode={mode};")
    failing.may_end = ("failed",)
    await ledger.watch(failing, *[await ledger.ask(who) for who in range(2)])


@case(57, "stores, workers and web processes killed together")
async def power_loss(ledger: Ledger, chance: random.Random) -> None:
    async def fault(entries: list[Entry]) -> None:
        await down(ledger, ALL, chance.uniform(0, 1))

    await amid(ledger, chance, fault)


@case(58, "processes started while the stores are away")
async def without_stores(ledger: Ledger, chance: random.Random) -> None:
    """They come up, say that they are not ready, and are when the stores are back."""
    stack = ledger.stack

    async def fault(entries: list[Entry]) -> None:
        for name in chance.sample(ALL, len(ALL)):
            await asyncio.to_thread(stack.end if name in stack.servers else stack.kill, name)
        await asyncio.to_thread(stack.revive, ("second_web", "second"))
        visitor = Visitor(entries[1].visitor.port, session="")
        answers = [(await visitor.get(path)).split()[1] for path in ("/healthz", "/readyz")]
        ledger.expect(answers == ["200", "503"], f"I10: a web process without stores answered {answers}")
        await asyncio.sleep(chance.uniform(0, 2))
        await asyncio.to_thread(stack.mend)

    await amid(ledger, chance, fault)


async def down(ledger: Ledger, names: Sequence[str], seconds: float) -> None:
    for name in names:
        ledger.stack.kill(name)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(ledger.stack.mend)
