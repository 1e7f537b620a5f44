"""Running replies while something happens: a long prompt comes in, one of them is cancelled."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from bench.engine.figures import percentile
from bench.engine.missing import Missing
from bench.engine.ours import Reader, ask, exactly
from bench.engine.workload import burst, long_prompt
from inference.contract import Engine

NUM_RUNNING = 8
CHUNK_TOKENS = 128
"""What the engine on a CPU takes of a prompt in one step, beside running replies."""
_CALM_TOKENS = 32
_NUM_CANCELLED = 3
_MOST_S = 120


@dataclass(frozen=True)
class Disturbed:
    num_running: int
    calm_p50_ms: float
    disturbed_p95_ms: float
    chunk_ms: float
    prompt_tokens: int
    cancel_ms: float

    @property
    def allowed_ms(self) -> float:
        return 2 * self.calm_p50_ms + self.chunk_ms

    def __str__(self) -> str:
        verdict = "held" if self.disturbed_p95_ms <= self.allowed_ms else "not held"
        steps = self.cancel_ms / self.calm_p50_ms
        return (
            f"{self.num_running} running replies: ITL p50 {self.calm_p50_ms:.0f} ms undisturbed; p95 "
            f"{self.disturbed_p95_ms:.0f} ms while a prompt of {self.prompt_tokens} tokens comes in. Allowed: 2 × "
            f"{self.calm_p50_ms:.0f} + {self.chunk_ms:.0f} ms for a chunk of {CHUNK_TOKENS} tokens = "
            f"{self.allowed_ms:.0f} ms: {verdict}.\n"
            f"Cancelled, a reply is over after {self.cancel_ms:.0f} ms, {steps:.1f} steps (wanted: at most one step, "
            f"after the one that is being computed)."
        )


def disturbed(engine: Engine) -> Disturbed:
    num_running = min(NUM_RUNNING, engine.info.num_slots - 1)
    alone = ask(engine, long_prompt(), exactly(1))
    readers = [Reader(engine, messages, exactly(16 * _CALM_TOKENS)) for messages in burst(num_running)]
    _wait_for(readers, _CALM_TOKENS)
    calm_from = max(reader.arrivals[0] for reader in readers)
    newcomer = Reader(engine, long_prompt(), exactly(1)).reply()
    calm = _gaps(readers, calm_from, newcomer.asked_at)
    shaken = _gaps(readers, newcomer.asked_at, newcomer.arrivals[0])
    cancelled = [_cancel(reader) for reader in readers[:_NUM_CANCELLED]]
    for reader in readers:
        reader.run.cancel()
    calm_p50, shaken_p95 = percentile(calm, 50), percentile(shaken, 95)
    if calm_p50 is None or shaken_p95 is None:
        raise Missing("the replies ended before the long prompt came in.")
    chunk_ms = alone.ttft_ms * CHUNK_TOKENS / alone.prompt_tokens
    return Disturbed(num_running, calm_p50, shaken_p95, chunk_ms, alone.prompt_tokens, median(cancelled))


def _wait_for(readers: list[Reader], num_arrivals: int) -> None:
    deadline = time.monotonic() + _MOST_S
    while any(len(reader.arrivals) < num_arrivals and not reader.finished for reader in readers):
        if time.monotonic() > deadline:
            raise Missing("the engine is too slow to disturb it.")
        time.sleep(0.01)


def _gaps(readers: list[Reader], since: float, until: float) -> list[float]:
    """Milliseconds between tokens, of the gaps that lie in this time or reach into it."""
    gaps = []
    for reader in readers:
        arrivals = list(reader.arrivals)
        pairs = pairwise(arrivals)
        gaps += [(after - before) * 1000 for before, after in pairs if after > since and before < until]
    return gaps


def _cancel(reader: Reader) -> float:
    """Milliseconds until a cancelled reply is over."""
    cancelled_at = time.monotonic()
    reader.run.cancel()
    ended_at = reader.end()
    return (ended_at - cancelled_at) * 1000
