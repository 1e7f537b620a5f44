"""All faults with seeds: `python -m tests.faults --seeds 3`; a table, and in the last line JSON.

It comes to an end by itself whatever happens: a run has its limit, a stack that is not well after a run is replaced,
and what still hangs loses the processes that it waits for.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from tests.faults.case import Case
from tests.faults.cases import CASES
from tests.faults.run import FAILURES, LONGEST_S, Outcome, run
from tests.faults.wide import WideStack, wide_stack

HANGS_S = LONGEST_S + 180


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    options.add_argument("--seeds", type=int, default=10)
    options.add_argument("--first-seed", type=int, default=0)
    options.add_argument(
        "--only", action="append", help="cases with this in their name, or of this row; may be given again"
    )
    options.add_argument("--limit-s", type=float, default=14_400, help="begin no run after so many seconds")
    given = options.parse_args()
    chosen = [case for case in sorted(CASES, key=lambda case: case.number) if _is_meant(case, given.only or [""])]
    runs = [(seed, case) for seed in range(given.first_seed, given.first_seed + given.seeds) for case in chosen]
    outcomes: dict[Case, list[Outcome]] = {case: [] for case in chosen}
    began = time.monotonic()
    while runs and time.monotonic() - began < given.limit_s:
        with contextlib.suppress(*FAILURES), watched() as reset, wide_stack() as stack:
            _go_on(stack, runs, outcomes, began + given.limit_s, reset)
    return report(outcomes)


def _is_meant(case: Case, wanted: list[str]) -> bool:
    return any(only == str(case.number) if only.isdigit() else only in case.name for only in wanted)


def _go_on(
    stack: WideStack,
    runs: list[tuple[int, Case]],
    outcomes: dict[Case, list[Outcome]],
    until: float,
    reset: Callable[[], object],
) -> None:
    """Run what is left, as long as the stack is well."""
    sessions = stack.people(3)
    while runs and time.monotonic() < until:
        seed, case = runs.pop(0)
        outcome = Outcome(["I12: it did not come to an end"], 0, is_well=False)
        reset()
        try:
            outcome = asyncio.run(run(stack, sessions, case, seed))
        finally:
            outcomes[case].append(outcome)
            print(f"{case.number:>3} {case.name}, seed {seed}: {outcome.found or 'holds'}", file=sys.stderr, flush=True)
        if not outcome.is_well:
            return


@contextmanager
def watched() -> Iterator[Callable[[], object]]:
    """Whoever hangs waits for a process, so all processes end when nobody called what this gives for `HANGS_S`."""
    is_alive, is_over = threading.Event(), threading.Event()

    def watch() -> None:
        while is_alive.wait(HANGS_S) and not is_over.is_set():
            is_alive.clear()
        if not is_over.is_set():
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()

    threading.Thread(target=watch, name="watch", daemon=True).start()
    try:
        yield is_alive.set
    finally:
        is_over.set()
        is_alive.set()


def report(outcomes: dict[Case, list[Outcome]]) -> int:
    done = {case: each for case, each in outcomes.items() if each}
    num_breaks = sum(bool(outcome.found) for each in done.values() for outcome in each)
    print("| # | fault | runs | breaks | answered again after, at most |\n| ---: | --- | ---: | ---: | ---: |")
    for case, each in done.items():
        slowest_s = max(outcome.answered_s for outcome in each)
        num_broken = sum(bool(outcome.found) for outcome in each)
        print(f"| {case.number} | {case.name} | {len(each)} | {num_broken} | {slowest_s:.1f} s |")
    print(json.dumps({"faults": len(done), "runs": sum(map(len, done.values())), "breaks": num_breaks}))
    return min(num_breaks, 1)


if __name__ == "__main__":
    sys.exit(main())
