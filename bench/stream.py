"""What the platform adds to a reply: from POST to first frame, and from the engine's event to the browser's frame.

The whole stack runs with the scripted engine, whose tokens carry the moment they were made; all replies are asked for
at once and run at 20 tokens a second, on one web process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
from pathlib import Path

from bench.people import Person
from tests.stack import RunningStack, running_stack

RATE = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replies", default="1,20,100", help="how many at once, one round each")
    parser.add_argument("--tokens", type=int, default=200, help="tokens of a reply")
    options = parser.parse_args()
    rounds = [int(num) for num in options.replies.split(",")]
    with (
        tempfile.TemporaryDirectory(prefix="qwenweb-bench-") as directory,
        running_stack(Path(directory) / "var") as stack,
    ):
        sessions = stack.people(max(rounds))
        asyncio.run(_round(stack, sessions[:2], 20))
        results = {str(num): asyncio.run(_round(stack, sessions[:num], options.tokens)) for num in rounds}
    print(
        f"{'replies':>8} {'first p50':>10} {'first p95':>10} {'token p50':>10} {'token p95':>10} {'frames':>8} "
        f"{'lost':>5} {'disordered':>10}"
    )
    for num, row in results.items():
        print(
            f"{num:>8} {row['first_p50_ms']:>7} ms {row['first_p95_ms']:>7} ms "
            f"{row['p50_ms']:>7} ms {row['p95_ms']:>7} ms "
            f"{row['frames']:>8} {row['lost']:>5} {row['disordered']:>10}"
        )
    print(json.dumps({"bench": "stream", **results}))


async def _round(stack: RunningStack, sessions: list[str], num_tokens: int) -> dict[str, float]:
    people = [Person(stack.port, session) for session in sessions]
    for person in people:
        await person.open_page()
    await asyncio.sleep(0.5)
    await asyncio.gather(*(person.measure(f"[[stamp;tokens={num_tokens};rate={RATE}]]") for person in people))
    latencies = [latency for person in people for latency in person.latencies_ms]
    first = [person.first_ms for person in people]
    return {
        "first_p50_ms": _percentile(first, 50),
        "first_p95_ms": _percentile(first, 95),
        "posted_p95_ms": _percentile([person.posted_ms for person in people], 95),
        "p50_ms": _percentile(latencies, 50),
        "p95_ms": _percentile(latencies, 95),
        "frames": sum(person.num_frames for person in people),
        "lost": sum(person.num_lost(num_tokens) for person in people),
        "disordered": sum(person.num_disordered for person in people),
        "unfinished": sum((person.end or {}).get("status") != "completed" for person in people),
    }


def _percentile(values: list[float], percent: int) -> float:
    if len(values) == 1:
        return round(values[0], 1)
    return round(statistics.quantiles(values, n=100, method="inclusive")[percent - 1], 1)


if __name__ == "__main__":
    main()
