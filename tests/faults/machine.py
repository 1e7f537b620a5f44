"""A random walk: people send, stop, edit, delete and load again while processes die and sleep.

What must hold is checked after each step, and all of it when a walk ends: `python -m tests.faults.machine --walks 20`.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable
from typing import ClassVar, TypeVar

import psutil
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.faults.ledger import Entry, Ledger, words_of
from tests.faults.process_cases import ALL
from tests.faults.wide import WideStack, wide_stack
from tests.visitor import GENERATION

Answer = TypeVar("Answer")

PEOPLE = st.integers(0, 2)
WEBS = st.integers(0, 1)
ANY = st.integers(0, 999)
STEP_S = 0.15
"""So long the replies go on between two steps."""
MOST_MB_MORE = 64
LONGEST_WALK_S = 150.0

# Running, and its worker has said nothing for as long as a takeover may take.
ABANDONED = """
    SELECT count(*) FROM chat_generation generation JOIN chat_worker worker ON worker.id = worker_id
    WHERE status = 'running' AND greatest(beat_at, pg_postmaster_start_time()) < now() - interval '15 s'
"""
TWICE = "SELECT count(*) FROM (SELECT FROM chat_usagerecord GROUP BY generation_id, attempt HAVING count(*) > 1) twice"
TWO_REPLIES = "SELECT count(*) FROM (SELECT FROM chat_generation GROUP BY message_id HAVING count(*) > 1) two"


class Walk(RuleBasedStateMachine):
    stack: ClassVar[WideStack]
    sessions: ClassVar[list[str]]
    until: ClassVar[float]
    usual_mb: ClassVar[float]
    """What a web process takes at the beginning."""
    num_steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(self.stack, self.sessions)
        self.runner = asyncio.Runner()
        self.watching: list[asyncio.Task[None]] = []

    def do(self, act: Awaitable[Answer]) -> Answer:
        """Let something happen, and the replies go on for a moment."""

        async def happen() -> Answer:
            async with asyncio.timeout(LONGEST_WALK_S):
                answer = await act
                await asyncio.sleep(STEP_S)
                return answer

        type(self).num_steps += 1
        return self.runner.run(happen())

    def watch(self, entry: Entry) -> None:
        async def begin() -> None:
            self.watching.append(asyncio.create_task(entry.visitor.watch(entry.generation, LONGEST_WALK_S)))

        self.do(begin())

    def kept(self) -> list[Entry]:
        return [entry for entry in self.ledger.entries if not entry.is_deleted]

    def one(self, number: int) -> Entry:
        return self.kept()[number % len(self.kept())]

    def is_time(self) -> bool:
        return time.monotonic() < self.until

    def has_any(self) -> bool:
        return bool(self.kept()) and self.is_time()

    @precondition(lambda self: not self.is_time())
    @rule()
    def rest(self) -> None:
        """The time is over: nothing happens any more."""

    # What people do

    @precondition(is_time)
    @rule(who=PEOPLE, num_words=st.integers(1, 80), web=WEBS)
    def send(self, who: int, num_words: int, web: int) -> None:
        self.watch(self.do(self.ledger.ask(who, num_words=num_words, web=web)))

    @precondition(has_any)
    @rule(number=ANY)
    def send_again(self, number: int) -> None:
        """I2: the same message with the same id is the same reply."""
        entry = self.one(number)
        if entry.conversation and entry.path == "/c/":
            answer = self.do(self.ledger.posted(entry.visitor, entry.path, entry.fields))
            assert set(GENERATION.findall(answer)) <= {entry.generation}

    @precondition(has_any)
    @rule(number=ANY)
    def stop(self, number: int) -> None:
        entry = self.one(number)
        entry.may_end = ("stopped", "completed")
        self.do(self.ledger.posted(entry.visitor, f"/generations/{entry.generation}/cancellation/", {"x": "1"}))

    @precondition(has_any)
    @rule(number=ANY, door=st.sampled_from(["replies", "versions"]))
    def ask_otherwise(self, number: int, door: str) -> None:
        """Another reply to a question, or the question in other words."""
        entry = self.one(number)
        asked, _ = self.ledger.messages(entry)
        fields = {"text": f"[[rate=60;say]]{entry.expected}"}
        path = f"/c/{entry.conversation}/messages/{asked}/{door}/"
        self.watch(self.do(self.ledger.send(self.ledger.again(entry), path, fields)))

    @precondition(has_any)
    @rule(number=ANY)
    def delete(self, number: int) -> None:
        conversation = self.one(number).conversation
        answer = self.do(self.ledger.posted(self.one(number).visitor, f"/c/{conversation}/deletion/", {"x": "1"}))
        if answer.split()[1:2] in (["204"], ["200"], ["302"]):
            for entry in self.ledger.entries:
                entry.is_deleted = entry.is_deleted or entry.conversation == conversation

    @precondition(has_any)
    @rule(number=ANY)
    def reload(self, number: int) -> None:
        if hasattr(self.one(number).visitor, "socket"):
            self.do(self.one(number).visitor.reload())

    @precondition(has_any)
    @rule(number=ANY)
    def open_second_tab(self, number: int) -> None:
        twin = self.ledger.again(self.one(number))
        twin.generation = self.one(number).generation
        self.watch(twin)

    # What happens to processes

    @precondition(is_time)
    @rule(name=st.sampled_from(ALL))
    def kill(self, name: str) -> None:
        async def die() -> None:
            self.stack.kill(name)
            await asyncio.sleep(STEP_S)
            await asyncio.to_thread(self.stack.revive)

        if self.is_up(name):
            self.do(die())

    @precondition(is_time)
    @rule(name=st.sampled_from(ALL), seconds=st.floats(0.1, 2))
    def pause(self, name: str, seconds: float) -> None:
        async def sleep() -> None:
            process = self.stack.find(name)
            process.suspend()
            await asyncio.sleep(seconds)
            process.resume()

        if self.is_up(name):
            self.do(sleep())

    def is_up(self, name: str) -> bool:
        """What was killed a moment ago may not be there yet."""
        try:
            return self.stack.find(name).is_running()
        except (AssertionError, psutil.NoSuchProcess):
            return False

    # What must hold

    @invariant()
    def holds(self) -> None:
        (abandoned,), (twice,), (two,) = (self.stack.sql(sql)[0] for sql in (ABANDONED, TWICE, TWO_REPLIES))
        assert not abandoned, "I3: a reply is running, and nobody writes it"
        assert not twice, "I11: an attempt was counted twice"
        assert not two, "I2: a message has two replies"
        for entry in self.ledger.entries:
            shown = words_of(entry.visitor.text)
            assert entry.expected.startswith(shown), f"I5 I6 I7: {shown} is no beginning of {entry.expected}"
        assert web_mb(self.stack) < self.usual_mb + MOST_MB_MORE, "I9: a web process takes too much memory"

    def teardown(self) -> None:
        """All is mended: everything comes to its end, a new question is answered, and nothing is lost or doubled."""
        try:
            self.stack.mend()
            self.stack.wait_for_workers()
            self.do(self.ended())
            found = self.ledger.breaks()
            assert not found, found
        finally:
            self.runner.close()

    async def ended(self) -> None:
        await asyncio.gather(*self.watching)
        await self.ledger.probe()


def web_mb(stack: WideStack) -> float:
    """What the larger web process takes; one that is not there takes nothing."""
    taken_mb = [0.0]
    for name in ("web", "second_web"):
        with contextlib.suppress(AssertionError, psutil.NoSuchProcess):
            taken_mb.append(stack.find(name).memory_info().rss / 1e6)
    return max(taken_mb)


def walk(stack: WideStack, sessions: list[str], *, walks: int, steps: int, seconds: float) -> int:
    """So many walks, or as many as there is time for; how many steps they took. Raises for what does not hold."""
    Walk.stack, Walk.sessions, Walk.until = stack, sessions, time.monotonic() + seconds
    Walk.num_steps, Walk.usual_mb = 0, web_mb(stack)
    options = settings(
        max_examples=walks,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],  # what happened between processes does not happen again by itself
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    run_state_machine_as_test(Walk, settings=options)
    return Walk.num_steps


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.faults.machine", description=__doc__)
    options.add_argument("--walks", type=int, default=200)
    options.add_argument("--steps", type=int, default=30)
    options.add_argument("--limit-s", type=float, default=1800, help="no step is begun after so many seconds")
    given = options.parse_args()
    began = time.monotonic()
    with wide_stack() as stack:
        steps = walk(stack, stack.people(3), walks=given.walks, steps=given.steps, seconds=given.limit_s)
    print(json.dumps({"machine": "holds", "steps": steps, "seconds": round(time.monotonic() - began)}))


if __name__ == "__main__":
    main()
