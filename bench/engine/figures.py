"""What one measurement is, and whether it may be judged."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Generic, TypeVar

from bench.engine.processors import Watch, wait_for_quiet

T = TypeVar("T")

MOST_OTHERS = 0.1
NUM_TRIES = 3


@dataclass(frozen=True)
class Reply:
    """One reply as its reader saw it; moments in seconds on the system's monotonic clock."""

    asked_at: float
    ended_at: float
    arrivals: tuple[float, ...]
    """When each piece of text came; a piece is a token, or some where a character takes several."""
    num_tokens: int
    prompt_tokens: int = 0
    cached_tokens: int = 0
    text: str = ""

    @property
    def ttft_ms(self) -> float:
        return (self.arrivals[0] - self.asked_at) * 1000

    @property
    def itl_ms(self) -> list[float]:
        return [(after - before) * 1000 for before, after in pairwise(self.arrivals)]


@dataclass(frozen=True)
class Timed:
    """A burst of replies, asked for at once: from the first question to the end of the last reply."""

    wall_s: float
    num_tokens: int
    ttft_ms: list[float] = field(default_factory=list)
    itl_ms: list[float] = field(default_factory=list)
    prompt_tokens: int = 0
    cached_tokens: int = 0

    @classmethod
    def of(cls, replies: Sequence[Reply]) -> Timed:
        return cls(
            wall_s=max(reply.ended_at for reply in replies) - min(reply.asked_at for reply in replies),
            num_tokens=sum(reply.num_tokens for reply in replies),
            ttft_ms=[reply.ttft_ms for reply in replies],
            itl_ms=[gap for reply in replies for gap in reply.itl_ms],
            prompt_tokens=sum(reply.prompt_tokens for reply in replies),
            cached_tokens=sum(reply.cached_tokens for reply in replies),
        )

    @property
    def tokens_per_s(self) -> float:
        return self.num_tokens / self.wall_s


@dataclass(frozen=True)
class Measured(Generic[T]):
    """A figure with the share of the processors that other programs took meanwhile (0 … 1)."""

    figure: T
    others_cpu: float

    @property
    def is_quiet(self) -> bool:
        return self.others_cpu <= MOST_OTHERS


def measured(act: Callable[[], T], num_tries: int) -> list[Measured[T]]:
    """Measure until the machine was quiet meanwhile, so often at most; all that was measured, the quiet one last."""
    tries: list[Measured[T]] = []
    while len(tries) < num_tries and not (tries and tries[-1].is_quiet):
        if tries:
            wait_for_quiet(MOST_OTHERS, most_s=60)
        watch = Watch()
        figure = act()
        tries.append(Measured(figure, watch.others()))
    return tries


def fastest(tries: Sequence[Measured[Timed]]) -> Measured[Timed] | None:
    """The fastest of the quiet ones, as noise only ever slows; None when none was quiet: then nothing is judged."""
    quiet = [one for one in tries if one.is_quiet]
    return max(quiet, key=lambda one: one.figure.tokens_per_s, default=None)


def loud(others_cpu: float) -> str:
    return f"not judged: others took {others_cpu:.0%} of the processors, at most {MOST_OTHERS:.0%} may be."


def ratio(one: float | None, other: float | None) -> float | None:
    """How many times `other` goes into `one`; None when either is not known."""
    return None if one is None or not other else round(one / other, 3)


def percentile(values: Sequence[float], percent: int) -> float | None:
    """Between the two nearest values where none is exactly there; None of nothing."""
    if len(values) < 2:
        return values[0] if values else None
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
