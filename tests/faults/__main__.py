"""All faults with seeds: `python -m tests.faults --seeds 3`; a table, and in the last line JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time

from tests.faults.cases import CASES
from tests.faults.run import run
from tests.faults.wide import wide_stack


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    options.add_argument("--seeds", type=int, default=10)
    options.add_argument("--only", default="", help="cases with this in their name")
    options.add_argument("--limit-s", type=float, default=3600, help="begin no run after so many seconds")
    given = options.parse_args()
    began = time.monotonic()
    runs: dict[str, list[list[str]]] = {}
    with wide_stack() as stack:
        sessions = stack.people(3)
        for seed in range(given.seeds):
            for case in sorted(CASES, key=lambda case: case.number):
                if given.only in case.name and time.monotonic() - began < given.limit_s:
                    found = asyncio.run(run(stack, sessions, case, seed))
                    runs.setdefault(f"| {case.number} | {case.name}", []).append(found)
                    print(f"{case.number:>3} {case.name}, seed {seed}: {found or 'holds'}", file=sys.stderr, flush=True)
    num_breaks = sum(bool(found) for founds in runs.values() for found in founds)
    print("| # | fault | runs | breaks |\n| ---: | --- | ---: | ---: |")
    for name, founds in runs.items():
        print(f"{name} | {len(founds)} | {sum(map(bool, founds))} |")
    print(json.dumps({"faults": len(runs), "runs": sum(map(len, runs.values())), "breaks": num_breaks}))
    return min(num_breaks, 1)


if __name__ == "__main__":
    sys.exit(main())
