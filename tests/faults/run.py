"""One run of a case: inject, wait, compare, and see that all is well again."""

from __future__ import annotations

import asyncio
import random

from tests.faults.cases import Case
from tests.faults.ledger import Ledger
from tests.faults.wide import WideStack

LONGEST_S = 120.0


async def run(stack: WideStack, sessions: list[str], case: Case, seed: int) -> list[str]:
    """What did not hold, in words."""
    ledger = Ledger(stack, sessions)
    try:
        async with asyncio.timeout(LONGEST_S):
            await case.run(ledger, random.Random(f"{case.name} {seed}"))
            await asyncio.to_thread(stack.mend)
            await ledger.probe()
    except (TimeoutError, RuntimeError, OSError) as error:
        await asyncio.to_thread(stack.mend)
        return [*ledger.breaks(), f"I3 I12: {type(error).__name__} {error}"]
    finally:
        await asyncio.to_thread(stack.wait_for_workers)
    return ledger.breaks()
