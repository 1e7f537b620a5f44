"""One run of a case: inject, wait, compare, and see that all is well again."""

from __future__ import annotations

import asyncio
import random
import time
from typing import NamedTuple

import psycopg
import redis

from qwenweb.up.child import Failure
from tests.faults.case import Case
from tests.faults.ledger import Ledger
from tests.faults.wide import WideStack

LONGEST_S = 120.0
FAILURES = (TimeoutError, RuntimeError, OSError, AssertionError, Failure, psycopg.Error, redis.RedisError)


class Outcome(NamedTuple):
    found: list[str]
    """What did not hold, in words."""
    answered_s: float
    """How long after the end of the fault it took until a new question was answered; 0 when it was not."""
    is_well: bool
    """Whether the stack can be used for the next run."""


async def run(stack: WideStack, sessions: list[str], case: Case, seed: int) -> Outcome:
    ledger = Ledger(stack, sessions)
    answered_s = 0.0
    try:
        async with asyncio.timeout(LONGEST_S):
            await case.run(ledger, random.Random(f"{case.name} {seed}"))
            await asyncio.to_thread(stack.mend)
            began = time.monotonic()
            await ledger.probe()
            answered_s = time.monotonic() - began
    except FAILURES as error:
        ledger.found.append(f"I3 I12: {type(error).__name__} {error}")
    try:
        await asyncio.to_thread(stack.mend)
        await asyncio.to_thread(stack.wait_for_workers)
        return Outcome(ledger.breaks(), answered_s, is_well=True)
    except FAILURES as error:
        return Outcome([*ledger.found, f"I12: not well again: {error}"], answered_s, is_well=False)
