"""What a case is: a fault that is injected while people ask and read; what must hold is checked when it is over.

A case gets the ledger and a seeded random; it returns when everything that was asked is over. What it breaks it mends,
or `WideStack.mend` does.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.faults.ledger import Entry, Ledger

Inject = Callable[[Ledger, random.Random], Awaitable[None]]

REVIVE_S = 4.0
"""So long the living do without the dead; longer than a lease, so that they take over."""


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


async def amid(
    ledger: Ledger,
    chance: random.Random,
    fault: Callable[[list[Entry]], Awaitable[None]],
    *,
    num_words: int = 40,
    web: int | None = None,
) -> list[Entry]:
    """Three people read on two web processes; the fault comes at a random word of the first reply."""
    entries = [await ledger.ask(who, num_words=num_words, web=who % 2 if web is None else web) for who in range(3)]
    watching = asyncio.create_task(ledger.watch(*entries))
    await ledger.begun(entries[0], chance.randint(1, 30))
    await fault(entries)
    await over(ledger, watching)
    return entries


async def over(ledger: Ledger, watching: asyncio.Task[None]) -> None:
    """Wait for the end, and start again what nobody else does."""
    while not (await asyncio.wait({watching}, timeout=REVIVE_S))[0]:
        await asyncio.to_thread(ledger.stack.revive)
    await watching


def disturb(number: int, name: str, fault: Inject) -> None:
    """A case of a fault that needs to know nothing of who reads."""

    async def run(ledger: Ledger, chance: random.Random) -> None:
        async def inject(_: list[Entry]) -> None:
            await fault(ledger, chance)

        await amid(ledger, chance, inject)

    CASES.append(Case(number, name, run))
