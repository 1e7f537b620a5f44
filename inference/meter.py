"""What an engine measures of itself: counters since its start, rates and times of the last minute."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch

from inference.contract import EngineStats
from inference.energy import EnergyMeter
from inference.local_run import LocalRun
from inference.scheduler import Work

_WINDOW_S = 60.0
_MOST_KEPT = 10_000


class _Step(NamedTuple):
    at: float
    seconds: float
    num_prompt_tokens: int
    num_reply_tokens: int


class Meter:
    """Fed by the engine's thread, read by any."""

    def __init__(self, device: torch.device) -> None:
        self._energy = EnergyMeter(device)
        self._steps: deque[_Step] = deque(maxlen=_MOST_KEPT)
        self._ttfts_ms: deque[tuple[float, float]] = deque(maxlen=_MOST_KEPT)
        self._gaps_ms: deque[tuple[float, float]] = deque(maxlen=_MOST_KEPT)
        self._num_prompt_tokens = self._num_cached_tokens = self._num_completion_tokens = 0
        self._busy_s = 0.0

    def note(self, work: Sequence[Work], num_reply_tokens: int, started_at: float) -> None:
        """Share a step's time and energy by the tokens that each run had in it, wrong guesses too."""
        now = time.monotonic()
        seconds, joules = now - started_at, self._energy.taken()
        num_tokens = sum(piece.span.num_tokens for piece in work)
        for run, span, _ in work:
            share = span.num_tokens / num_tokens
            run.device_s += seconds * share
            if joules is not None:
                run.energy_j = (run.energy_j or 0.0) + joules * share
        num_decoded = sum(piece.num_wanted for piece in work)
        self._steps.append(_Step(now, seconds, num_tokens - num_decoded, num_reply_tokens))
        self._busy_s += seconds

    def note_start(self, run: LocalRun) -> None:
        now = time.monotonic()
        self._ttfts_ms.append((now, (now - run.submitted_at) * 1000))
        self._num_prompt_tokens += run.prompt_tokens
        self._num_cached_tokens += run.cached_tokens

    def note_token(self, run: LocalRun) -> None:
        now = time.monotonic()
        if run.last_token_at:
            self._gaps_ms.append((now, (now - run.last_token_at) * 1000))
        run.last_token_at = now
        self._num_completion_tokens += 1

    def stats(
        self, *, num_waiting: int, num_running: int, kv_tokens: int, kv_capacity_tokens: int, num_preemptions: int
    ) -> EngineStats:
        since = time.monotonic() - _WINDOW_S
        steps = [step for step in list(self._steps) if step.at >= since]
        seconds = sum(step.seconds for step in steps) or 1.0
        return EngineStats(
            num_waiting=num_waiting,
            num_running=num_running,
            kv_tokens=kv_tokens,
            kv_capacity_tokens=kv_capacity_tokens,
            num_prompt_tokens=self._num_prompt_tokens,
            num_cached_tokens=self._num_cached_tokens,
            num_completion_tokens=self._num_completion_tokens,
            num_preemptions=num_preemptions,
            busy_s=self._busy_s,
            prefill_tokens_per_s=sum(step.num_prompt_tokens for step in steps) / seconds,
            decode_tokens_per_s=sum(step.num_reply_tokens for step in steps) / seconds,
            ttft_p50_ms=_median(value for at, value in list(self._ttfts_ms) if at >= since),
            itl_p50_ms=_median(value for at, value in list(self._gaps_ms) if at >= since),
            step_p50_ms=_median(step.seconds * 1000 for step in steps),
            energy_j=self._energy.total_j,
        )


def _median(values: Iterable[float]) -> float:
    known = list(values)
    return statistics.median(known) if known else 0.0
