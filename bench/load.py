"""What the whole stack carries: `python -m bench.load`, one row or all; the last line is JSON.

Stack and readers share the machine. The engine is scripted; its tokens carry the moment they were made, so "added" is
from the engine's event to the frame in the reader's hands, rendering included.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.people import Person
from tests.faults.proxy import Proxy
from tests.stack import RunningStack

Figures = dict[str, float]
NUM_SLOTS = 8
"""Of the one worker, where people wait for each other."""


class LoadStack(RunningStack):
    """With a line to its web process that can be cut."""

    def __init__(self, data_dir: Path, **env: str) -> None:
        super().__init__(data_dir, **env)
        self.line = Proxy(self.port)
        self.line.start()
        self._env["QWENWEB_ORIGINS"] = f"{self.url},http://127.0.0.1:{self.line.port}"

    def stop(self) -> int:
        self.line.stop()
        return super().stop()

    @property
    def web(self) -> psutil.Process:
        child = self.child("web")
        assert child
        return child


Run = Callable[[LoadStack, float], Awaitable[Figures]]


@dataclass(frozen=True)
class Row:
    name: str
    num_people: int
    run: Run
    env: dict[str, str] = field(default_factory=dict)


ROWS: list[Row] = []


def row(name: str, num_people: int, **env: str) -> Callable[[Run], Run]:
    def note(run: Run) -> Run:
        ROWS.append(Row(name, num_people, run, env))
        return run

    return note


def percentile(values: list[float], percent: int) -> float:
    if len(values) < 2:
        return round(sum(values), 1)
    return round(statistics.quantiles(values, n=100, method="inclusive")[percent - 1], 1)


async def people(stack: LoadStack, num: int, port: int = 0) -> list[Person]:
    """So many, each signed in and with a page open."""
    sessions = await asyncio.to_thread(stack.people, num)
    persons = [Person(port or stack.port, session) for session in sessions]
    for person in persons:
        await person.open_page()
    return persons


async def read(persons: list[Person], rate: float, seconds: float) -> Figures:
    """Everybody asks within a sixth of the time for a reply that takes `seconds`, and reads it."""
    num_tokens, ramp_s = int(rate * seconds), seconds / 6

    async def ask(place: int, person: Person) -> None:
        await asyncio.sleep(ramp_s * place / len(persons))
        await person.measure(f"[[stamp;tokens={num_tokens};rate={rate}]]")

    await asyncio.gather(*(ask(place, person) for place, person in enumerate(persons)))
    return added(persons, num_tokens)


def added(persons: list[Person], num_tokens: int) -> Figures:
    latencies = [each for person in persons for each in person.latencies_ms]
    return {
        "p50_ms": percentile(latencies, 50),
        "p95_ms": percentile(latencies, 95),
        "p99_ms": percentile(latencies, 99),
        "lost": sum(person.num_lost(num_tokens) for person in persons),
        "repeated": sum(person.num_disordered for person in persons),
    }


@row("replies_200", 200)
async def replies_200(stack: LoadStack, seconds: float) -> Figures:
    return await read(await people(stack, 200), 20, seconds)


@row("replies_400", 400)
async def replies_400(stack: LoadStack, seconds: float) -> Figures:
    return await read(await people(stack, 400), 10, seconds)


@row("idle_1000", 1000)
async def idle_1000(stack: LoadStack, seconds: float) -> Figures:
    (first,) = await people(stack, 1)
    await asyncio.sleep(1)
    before = memory_kb(stack)
    idle = await people(stack, 1000)
    pages_ms: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter()
        await first.get("/")
        pages_ms.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.05)
    kb_each = (memory_kb(stack) - before) / len(idle)
    await close(idle)
    return {"kb_each": round(kb_each, 1), "page_p95_ms": percentile(pages_ms, 95)}


def memory_kb(stack: LoadStack) -> float:
    return float(stack.web.memory_info().rss / 1024)


async def close(persons: list[Person]) -> None:
    await asyncio.gather(*(person.socket.close() for person in persons), return_exceptions=True)


@row("first_frame", 50)
async def first_frame(stack: LoadStack, seconds: float) -> Figures:
    """50 people ask one after the other; nobody waits for the engine."""
    persons = await people(stack, 50)
    first_ms: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for person in persons:
            asking = Person(person.port, person.session)
            await asking.open_page()
            await asking.measure("[[stamp;tokens=3;rate=100]]")
            first_ms.append(asking.first_ms)
    await close(persons)
    return {"p50_ms": percentile(first_ms, 50), "p95_ms": percentile(first_ms, 95), "sent": len(first_ms)}


@row("cut_500", 500)
async def cut_500(stack: LoadStack, seconds: float) -> Figures:
    """All lines are cut in the middle of the replies; until when each has a new frame, and what is missing."""
    persons = await people(stack, 500, stack.line.port)
    num_tokens = max(20, int(2 * seconds))
    asked = [await person.ask(f"[[stamp;tokens={num_tokens};rate=2]]") for person in persons]
    limit_s = num_tokens + 60
    reading = [asyncio.create_task(person.watch(each, limit_s)) for person, each in zip(persons, asked, strict=True)]
    await asyncio.sleep(num_tokens / 4)
    seen = [person.num_frames for person in persons]
    began = time.monotonic()
    stack.line.reset()
    while any(person.num_frames == num and not person.end for person, num in zip(persons, seen, strict=True)):
        await asyncio.sleep(0.05)
        if time.monotonic() - began > limit_s:
            break
    resumed_s = time.monotonic() - began
    await asyncio.gather(*reading)
    figures = added(persons, num_tokens)
    return {"resumed_s": round(resumed_s, 1), "lost": figures["lost"], "repeated": figures["repeated"]}


@row("slow_client", 101)
async def slow_client(stack: LoadStack, seconds: float) -> Figures:
    """100 read; then the same beside one that takes a kilobyte a second of a reply that is written fast."""
    alone = await read(await people(stack, 100), 20, seconds / 2)
    (slow, *_), others = await people(stack, 1, stack.line.port), await people(stack, 100)
    generation = await slow.ask(f"[[stamp;tokens={int(200 * seconds)};rate=200]]")
    stack.line.piece, stack.line.bytes_per_s = 200, 1000
    before = stack.line.num_bytes
    await slow.follow(generation)
    beside = await read(others, 20, seconds / 2)
    taken = stack.line.num_bytes - before
    stack.line.heal()
    held = await pending_bytes(slow)
    return {
        "buffer_mb": round((held - taken) / 1e6, 3),
        "others_p95_ms": beside["p95_ms"],
        "others_p95_ms_alone": alone["p95_ms"],
        "lost": alone["lost"] + beside["lost"],
    }


async def pending_bytes(person: Person) -> int:
    """All that the server has sent to a reader who has acknowledged nothing."""
    num = 0
    try:
        while True:
            num += len(await asyncio.wait_for(person.socket.recv(), 2))
    except TimeoutError:
        await person.socket.close()
        return num


@row("flood_500", 10, QWENWEB_SCRIPT=f"slots={NUM_SLOTS}", QWENWEB_USER_QUEUED="500")
async def flood_500(stack: LoadStack, seconds: float) -> Figures:
    """One sends 500 messages, then nine send one each: how long they wait, in the time that a reply has its slot."""
    reply_s = max(0.5, seconds / 60)
    text = f"[[stamp;tokens={int(20 * reply_s)};rate=20]]"
    flooding, *nine = await people(stack, 10)
    for first in range(0, 500, 20):
        await asyncio.gather(*(Person(stack.port, flooding.session).ask(text) for _ in range(first, first + 20)))
    await asyncio.gather(*(person.measure(text) for person in nine))
    slowest_s = max(person.first_ms for person in nine) / 1000
    await flooding.socket.close()
    return {"slowest_s": round(slowest_s, 2), "slot_times": round(slowest_s / reply_s, 2)}


@row("soak", 100)
async def soak(stack: LoadStack, seconds: float) -> Figures:
    """100 read, ask again and come anew, for thirty times as long as the other rows; memory from a sixth of it on."""
    persons, until = await people(stack, 100), time.monotonic() + 30 * seconds
    await close(persons)
    handles = stack.web.num_fds()
    samples: list[tuple[float, float]] = []

    async def live(person: Person) -> None:
        while time.monotonic() < until:
            again = Person(person.port, person.session)
            await again.open_page()
            await again.measure("[[stamp;tokens=100;rate=20]]")

    async def look() -> None:
        await asyncio.sleep(5 * seconds)
        while time.monotonic() < until:
            samples.append((time.monotonic() / 60, memory_kb(stack) / 1024))
            await asyncio.sleep(seconds / 4)

    await asyncio.gather(look(), *(live(person) for person in persons))
    await asyncio.sleep(2)
    slope = statistics.linear_regression(*zip(*samples, strict=True)).slope
    return {"mb_per_min": round(slope, 2), "handles_more": stack.web.num_fds() - handles}


def measure(each: Row, seconds: float) -> Figures:
    """One row on a stack of its own."""
    with tempfile.TemporaryDirectory(prefix="qwenweb-load-") as directory:
        stack = LoadStack(Path(directory) / "var", **each.env)
        try:
            stack.start(timeout_s=180)
            return asyncio.run(_run(stack, each, seconds))
        finally:
            stack.stop()


async def _run(stack: LoadStack, each: Row, seconds: float) -> Figures:
    async with asyncio.timeout(60 * seconds + 300):
        await read(await people(stack, 2), 20, 1)  # what is loaded at first use is loaded now
        return await each.run(stack, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=[each.name for each in ROWS], action="append", help="may be given again")
    parser.add_argument("--seconds", type=float, default=60, help="of a row; the soak takes thirty times as long")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    for each in ROWS:
        if not options.only or each.name in options.only:
            results[each.name] = measure(each, options.seconds)
            print(f"{each.name:>12}: {', '.join(f'{name} {value}' for name, value in results[each.name].items())}")
    print(json.dumps({"bench": "load", **results}))


if __name__ == "__main__":
    main()
