"""The engine of this project, by its public interface alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from bench.engine.figures import Reply, Timed
from bench.engine.missing import Missing
from bench.engine.workload import Messages, burst
from inference.contract import Engine, Finished, GenerationRequest, ReasoningDelta, SamplingParams, TextDelta

_ids = count()


def exactly(num_tokens: int) -> SamplingParams:
    """Greedy, and as many tokens as asked for."""
    return SamplingParams(temperature=0, max_tokens=num_tokens, ignore_end=True)


@dataclass
class Reader:
    """Submits one request and reads its events on a thread of its own."""

    engine: Engine
    messages: Messages
    sampling: SamplingParams
    arrivals: list[float] = field(default_factory=list)
    finished: Finished | None = None
    _text: str = ""
    _ended_at: float = 0

    def __post_init__(self) -> None:
        request = GenerationRequest(f"bench-{next(_ids)}", self.messages, self.sampling)
        self.asked_at = time.monotonic()
        self.run = self.engine.submit(request)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for event in self.run:
            if isinstance(event, TextDelta | ReasoningDelta):
                self.arrivals.append(time.monotonic())
                self._text += event.text
            elif isinstance(event, Finished):
                self._ended_at = time.monotonic()
                self.finished = event

    def end(self) -> float:
        """Wait for the end; when it came."""
        self._thread.join()
        return self._ended_at

    def reply(self) -> Reply:
        """Wait for the end; Missing when the engine did not answer."""
        ended_at = self.end()
        assert self.finished
        if self.finished.failure or not self.arrivals:
            reason = self.finished.failure.message if self.finished.failure else "It sent nothing."
            raise Missing(f"the engine did not answer: {reason}")
        usage = self.finished.usage
        return Reply(
            self.asked_at,
            ended_at,
            tuple(self.arrivals),
            usage.completion_tokens,
            usage.prompt_tokens,
            usage.cached_tokens,
            self._text,
        )


def ask(engine: Engine, messages: Messages, sampling: SamplingParams) -> Reply:
    return Reader(engine, messages, sampling).reply()


def ask_all(engine: Engine, conversations: Sequence[Messages], sampling: SamplingParams) -> list[Reply]:
    """Ask for all of them at once and read each to its end."""
    readers = [Reader(engine, messages, sampling) for messages in conversations]
    return [reader.reply() for reader in readers]


class Ours:
    """The engine as one of those that are compared."""

    name = "engine"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def time(self, num_replies: int, num_tokens: int) -> Timed:
        return Timed.of(ask_all(self._engine, burst(num_replies), exactly(num_tokens)))
