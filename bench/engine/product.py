"""The same replies through the whole product: POST, claim, engine, stream, hub, socket; beside the engine alone."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.engine.figures import Measured, Timed, fastest, loud, measured, percentile, ratio
from bench.engine.missing import Missing
from bench.engine.ours import ask_all
from bench.engine.plan import Plan
from bench.engine.workload import prompts
from inference.contract import ChatMessage, Engine
from tests.stack import RunningStack
from tests.visitor import Visitor

READY_WITHIN_S = 120
_TOKENS = """
from chat.models import Generation
result = [
    [g.completion_tokens, g.finish_reason, g.prompt_tokens, g.cached_tokens]
    for g in Generation.objects.filter(id__in={ids})
]
"""
_READY = "from chat.models import Worker\nresult = Worker.objects.filter(state=Worker.State.READY).exists()"


@dataclass(frozen=True)
class Overhead:
    alone: list[Measured[Timed]]
    through: list[Measured[Timed]]

    @property
    def ratio(self) -> float | None:
        """Tokens per second through the product over those of the engine alone; None when they can't be judged."""
        alone, through = fastest(self.alone), fastest(self.through)
        return ratio(through.figure.tokens_per_s, alone.figure.tokens_per_s) if alone and through else None

    @property
    def others_cpu(self) -> list[float]:
        return [(fastest(tries) or tries[-1]).others_cpu for tries in (self.alone, self.through)]

    def __str__(self) -> str:
        shown = [_shown(fastest(tries) or tries[-1]) for tries in (self.through, self.alone)]
        verdict = loud(max(self.others_cpu)) if self.ratio is None else f"{self.ratio} (wanted: at least 0.95)."
        return f"Through the product {shown[0]}, the engine alone {shown[1]}: {verdict}"


def _shown(measured: Measured[Timed]) -> str:
    timed = measured.figure
    first = percentile(timed.ttft_ms, 50) or 0
    return f"{timed.tokens_per_s:.1f} tokens/s ({timed.num_tokens} tokens, first text after {first:,.0f} ms)"


def overhead(engine: Engine, model_dir: Path, num_replies: int, plan: Plan) -> Overhead:
    """The engine alone and the product in turn.

    Both sample as the product does, as a person can't ask for greedy replies without an end; so what counts is the
    tokens that were made.
    """
    alone: list[Measured[Timed]] = []
    through: list[Measured[Timed]] = []
    with _stack(model_dir, plan.num_tokens) as stack:
        crowd = Crowd(stack, num_replies)
        crowd.time(1)
        for _ in range(plan.num_rounds):
            alone += measured(lambda: _alone(engine, num_replies, plan.num_tokens), plan.num_tries)
            through += measured(lambda: crowd.time(num_replies), plan.num_tries)
    return Overhead(alone, through)


def _questions(num_replies: int) -> list[str]:
    """The prompts as people would send them; the number at the beginning makes each as new as elsewhere."""
    number = time.monotonic_ns() // 1000 % 1_000_000
    return [
        f"{(number + 137 * i) % 1_000_000:06}"[::-1] + f": {text}" for i, text in enumerate(prompts()[:num_replies])
    ]


def _alone(engine: Engine, num_replies: int, num_tokens: int) -> Timed:
    sampling = replace(engine.info.sampling, max_tokens=num_tokens)
    conversations = [(ChatMessage("user", text),) for text in _questions(num_replies)]
    return Timed.of(ask_all(engine, conversations, sampling))


@contextmanager
def _stack(model_dir: Path, num_tokens: int) -> Iterator[RunningStack]:
    with tempfile.TemporaryDirectory(prefix="qwenweb-bench-") as directory:
        settings = {"QWENWEB_ENGINE": "", "QWENWEB_MODEL": str(model_dir), "QWENWEB_MAX_TOKENS": str(num_tokens)}
        stack = RunningStack(Path(directory) / "var", **settings)
        try:
            stack.start()
        except RuntimeError as error:
            raise Missing(f"the product did not start: {error}") from error
        try:
            _wait_for_worker(stack)
            yield stack
        finally:
            stack.stop()


def _wait_for_worker(stack: RunningStack) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not stack.run(_READY):
        if time.monotonic() > deadline:
            raise Missing("the product's worker did not get ready.")
        time.sleep(1)


class Crowd:
    """People who have the page open and all ask at once."""

    def __init__(self, stack: RunningStack, num: int) -> None:
        self._stack = stack
        self._sessions = stack.people(num)

    def time(self, num_replies: int) -> Timed:
        people = [Asker(self._stack.port, session) for session in self._sessions[:num_replies]]
        asyncio.run(_ask_all(people, _questions(num_replies)))
        ids = [person.generation for person in people]
        rows = self._stack.run(_TOKENS.format(ids=ids))
        if len(rows) != num_replies or any(reason not in ("stop", "length") for _, reason, _, _ in rows):
            raise Missing(f"replies of the product failed: {rows}")
        return Timed(
            max(person.ended_at for person in people) - min(person.asked_at for person in people),
            sum(tokens for tokens, _, _, _ in rows),
            [(person.first_at - person.asked_at) * 1000 for person in people],
            [],
            sum(prompt for _, _, prompt, _ in rows),
            sum(cached for _, _, _, cached in rows),
        )


@dataclass
class Asker(Visitor):
    generation: str = ""
    asked_at: float = 0
    first_at: float = 0
    ended_at: float = 0

    async def ask_and_read(self, text: str) -> None:
        """From the POST to the frame that ends the reply."""
        self.asked_at = time.monotonic()
        self.generation = await self.ask(text)
        await self.follow(self.generation)
        async for frame in self.socket:
            await self.take(json.loads(frame))
            if self.shown and not self.first_at:
                self.first_at = time.monotonic()
            if self.is_over():
                break
        self.ended_at = time.monotonic()
        await self.socket.close()


async def _ask_all(people: list[Asker], texts: list[str]) -> None:
    for person in people:
        await person.open_page()
    await asyncio.sleep(1)
    await asyncio.gather(*(person.ask_and_read(text) for person, text in zip(people, texts, strict=True)))
