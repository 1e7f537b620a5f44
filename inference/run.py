"""One run as engines keep it: the engine's thread puts events in, one reader takes them out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue

from inference.contract import (
    Event,
    Failure,
    Finished,
    FinishReason,
    GenerationRequest,
    ReasoningDelta,
    Started,
    TextDelta,
    Timings,
    Usage,
)

SHUTDOWN = Failure("shutdown", "The model is being restarted.", is_retryable=True)
DEADLINE = Failure("deadline", "The reply took longer than allowed and was ended.")
OUT_OF_MEMORY = Failure("out_of_memory", "The machine ran out of memory for this reply.", is_retryable=True)
BROKEN = Failure("engine", "The model failed while making this reply.", is_retryable=True)
OVERLOADED = Failure("overloaded", "Too many replies are waiting already. Try again in a moment.", is_retryable=True)
POISON = Failure("engine", "The model can't answer this message.")


def bad_request(why: str) -> Failure:
    return Failure("bad_request", why)


def too_long(num_tokens: int, limit: int) -> Failure:
    return Failure("prompt_too_long", f"The message has {num_tokens:,} tokens, the model takes at most {limit:,}.")


class EngineRun:
    """A submitted request with its clock and counters; its engine's thread alone starts, feeds and finishes it."""

    def __init__(self, request: GenerationRequest, on_cancel: Callable[[EngineRun], None]) -> None:
        self.request = request
        self.submitted_at = time.monotonic()
        self.admitted_at: float | None = None
        self.started_at: float | None = None
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.reasoning_tokens = 0
        self.device_s = 0.0
        self.energy_j: float | None = None
        self.cached_tokens = 0
        self.is_cancelled = False
        self.is_finished = False
        self.wants_answer = False
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._on_cancel = on_cancel
        # A stuck device lets another thread end the run, and nothing may come after the end.
        self._ending = threading.Lock()

    def __iter__(self) -> Iterator[Event]:
        try:
            while True:
                event = self._events.get()
                yield event
                if isinstance(event, Finished):
                    return
        finally:
            # A reader that goes away wants no more tokens.
            self.cancel()

    def cancel(self) -> None:
        if not self.is_finished and not self.is_cancelled:
            self.is_cancelled = True
            self._on_cancel(self)

    def answer_now(self) -> None:
        self.wants_answer = True

    @property
    def expires_at(self) -> float:
        """The deadline on the monotonic clock, infinity when there is none."""
        deadline_s = self.request.deadline_s
        return float("inf") if deadline_s is None else self.submitted_at + deadline_s

    def end_if_unwanted(self) -> bool:
        """Finish a cancelled or overdue run; whether the run is over."""
        if self.is_cancelled:
            self.finish("cancelled")
        elif time.monotonic() >= self.expires_at:
            self.fail(DEADLINE)
        return self.is_finished

    def admit(self) -> None:
        if self.admitted_at is None:
            self.admitted_at = time.monotonic()

    def start(self, num_dropped_messages: int, seed: int) -> None:
        self.started_at = time.monotonic()
        with self._ending:
            if not self.is_finished:
                self._events.put(Started(self.prompt_tokens, self.cached_tokens, num_dropped_messages, seed))

    def emit(self, delta: TextDelta | ReasoningDelta) -> None:
        with self._ending:
            if delta.text and not self.is_finished:
                self._events.put(type(delta)(delta.text, self.completion_tokens))

    def fail(self, failure: Failure) -> None:
        self.finish("error", failure)

    def finish(self, reason: FinishReason, failure: Failure | None = None) -> None:
        """Put the terminal event; only the first call counts."""
        with self._ending:
            if self.is_finished:
                return
            self.is_finished = True
            usage = Usage(self.prompt_tokens, self.completion_tokens, self.reasoning_tokens, self.cached_tokens)
            self._events.put(Finished(reason, usage, self._timings(), failure))

    def _timings(self) -> Timings:
        now = time.monotonic()
        admitted_at = now if self.admitted_at is None else self.admitted_at
        started_at = now if self.started_at is None else self.started_at
        return Timings(
            queue_ms=(admitted_at - self.submitted_at) * 1000,
            prefill_ms=(started_at - admitted_at) * 1000,
            decode_ms=(now - started_at) * 1000,
            device_s=self.device_s,
            energy_j=self.energy_j,
        )
