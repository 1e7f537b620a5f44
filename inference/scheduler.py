"""Which tokens the next step computes, and whose memory makes room for whom."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from inference.attention import Span
from inference.kv_cache import PAGE, Extent, Pages, num_pages
from inference.local_run import LocalRun
from inference.prefix_cache import Held, PrefixCache, as_ids, num_shared
from inference.run import OUT_OF_MEMORY
from inference.states import GRID, MOST_SNAPSHOTS, NOTHING, Snapshots, StatePool

log = logging.getLogger(__name__)

_LEAST_SHARED = 16
"""A shorter common beginning is computed sooner than copied."""
_WORTH_WAITING = 64
_LEAST_PIECE = GRID


class Work(NamedTuple):
    """Tokens of one run in a step, with guesses at their end; `is_last` when the next token of the reply follows."""

    run: LocalRun
    span: Span
    guesses: Sequence[int] = ()

    @property
    def tokens(self) -> list[int]:
        return [*self.run.ids[self.span.start : self.end], *self.guesses]

    @property
    def end(self) -> int:
        """Where the tokens end that are no guesses."""
        return self.span.end - len(self.guesses)

    @property
    def is_last(self) -> bool:
        return self.end == len(self.run.ids)

    @property
    def num_wanted(self) -> int:
        """After how many of its tokens the logits are wanted."""
        return 1 + len(self.guesses) if self.is_last else 0


def _guessing(work: Work, most: int) -> Work:
    guesses = work.run.guess(most)
    return Work(work.run, replace(work.span, num_tokens=1 + len(guesses)), guesses) if guesses else work


def _place_in_memory(work: Work) -> tuple[int, int]:
    """Rows that have as many pages, then as they lie in memory: that is how attention takes them together."""
    return num_pages(work.span.end), work.span.offset


class Scheduler:
    """Runs that wait and runs that have memory. Decode rows come first, then pieces of prompts within a budget.

    A run that needs memory takes it from ended replies first; then the run that was admitted last gives its own back,
    waits, and is computed again. Its text goes on where it was.
    """

    def __init__(
        self,
        memory: Pages,
        num_slots: int,
        prefill_tokens: int,
        reach: int,
        states: StatePool | None = None,
        num_spare_rows: int = 0,
    ) -> None:
        self.memory, self.states = memory, states
        self.prefixes = PrefixCache(memory, states)
        self.waiting: deque[LocalRun] = deque()
        self.running: list[LocalRun] = []
        self.num_preemptions = 0
        self._num_slots, self._prefill_tokens, self._reach = num_slots, prefill_tokens, reach
        self._num_spare_rows = num_spare_rows

    def plan(self) -> list[Work]:
        """The work of the next step; empty when there is none."""
        self._retire_finished()
        self._admit()
        ready = [run for run in list(self.running) if not run.is_prefilling and self._has_room(run)]
        # A run that had to give way in the meantime is out of this step.
        ready = [run for run in ready if run.extent]
        work = sorted((self._work(run, 1) for run in ready), key=_place_in_memory)
        if work and len(ready) == len(self.running):
            # A row is spare only while there are few: beside a prompt there are many.
            most = (1 + self._num_spare_rows - len(work)) // len(work)
            return [_guessing(piece, most) for piece in work] if most > 1 else work
        # Beside decode rows a prompt gets smaller pieces, so that nobody's text stops for long.
        budget = self._prefill_tokens // 2 if work else self._prefill_tokens
        for run in self.running:
            if run.is_prefilling and budget > 0:
                # A token costs more the more are before it, and a step shall take no longer for that.
                cost = 1 + run.num_computed / self._reach
                piece = self._work(run, max(int(budget / cost), min(budget, _LEAST_PIECE)))
                budget -= int(piece.span.num_tokens * cost)
                work.append(piece)
        return [piece for piece in work if piece.span.num_tokens]

    def note_computed(self, work: Iterable[Work]) -> None:
        """The tokens of the work are computed, and states have moved on."""
        for piece in work:
            run, end = piece.run, piece.end
            run.num_computed = end
            if self.states:
                self.states.drop(run.state)
                run.state, run.next_state = run.next_state, NOTHING
                if run.stops and end in run.stops:
                    self._keep_snapshot(run)

    def _work(self, run: LocalRun, budget: int) -> Work:
        if self.states and run.next_state == NOTHING:
            run.next_state = self._take_state(self.states)
        return Work(run, run.span(budget))

    def preempt(self, run: LocalRun) -> None:
        """Take a run's memory; it waits at the head of the queue and is computed again."""
        self._release(run)
        self.running.remove(run)
        self.waiting.appendleft(run)
        self.num_preemptions += 1

    def forget(self) -> None:
        """Give the memory of all ended replies back."""
        self._retire_finished()
        self.prefixes.clear()

    def clear(self) -> None:
        self.waiting.clear()
        for run in self.running:
            self._release(run)
        self.running.clear()
        self.prefixes.clear()

    # Runs that ended

    def _retire_finished(self) -> None:
        self.waiting = deque(run for run in self.waiting if not run.end_if_unwanted())
        for run in [run for run in self.running if run.end_if_unwanted()]:
            self.running.remove(run)
            if run.is_tainted or not run.num_computed or not run.extent:
                self._release(run)
            else:
                self._keep(run, run.extent)

    def _keep(self, run: LocalRun, extent: Extent) -> None:
        snapshots = None
        if self.states:
            self._keep_snapshot(run)
            snapshots, run.snapshots = run.snapshots, {}
        self.prefixes.keep(run.ids[: run.num_computed], extent, run.request.model, snapshots)
        run.extent = None
        self._release(run)

    def _release(self, run: LocalRun) -> None:
        if run.extent:
            self.memory.release(run.extent, is_tainted=run.is_tainted)
        run.extent, run.num_computed = None, 0
        if self.states:
            self.states.drop_all((run.state, run.next_state, *run.snapshots.values()))
            run.state, run.next_state, run.snapshots = NOTHING, NOTHING, {}

    # Runs that begin

    def _admit(self) -> None:
        for run in list(self.waiting):
            if len(self.running) >= self._num_slots:
                return
            if self._is_about_to_share(run):
                continue
            if not self._place(run):
                if not self.running:
                    self.waiting.remove(run)
                    run.fail(OUT_OF_MEMORY)
                return
            self.waiting.remove(run)
            self.running.append(run)
            run.admit()

    def _is_about_to_share(self, run: LocalRun) -> bool:
        """Whether a prompt that is being computed begins like this one: what they share is computed once."""
        ids = as_ids(run.ids)
        for other in self.running:
            if other.is_prefilling and other.request.model == run.request.model:
                shared = other.resumable(min(num_shared(as_ids(other.ids), ids), len(ids) - 1))
                if shared - other.num_computed >= _WORTH_WAITING:
                    return True
        return False

    def _place(self, run: LocalRun) -> bool:
        """Give a run memory for its prompt, with what is computed of it already; False when there is too little."""
        living = [
            Held(
                as_ids(other.ids[: other.num_computed]),
                other.extent,
                other.request.model,
                other.snapshots if self.states else None,
            )
            for other in self.running
            if other.extent and not other.is_tainted
        ]
        source, shared = self.prefixes.longest(as_ids(run.ids), living, run.request.model)
        shared = self.memory.reusable(source.extent, shared) if source else 0
        if source is None or shared < _LEAST_SHARED:
            source, shared = None, 0
        if source and source.snapshots:
            self._resume(run, source.snapshots, shared)
        pages = num_pages(len(run.ids) + 1)
        if source and (extent := self.prefixes.take(source, shared)):
            run.extent, run.num_computed = extent, shared
            if not self._grow(run, pages):
                self._release(run)
                return False
        else:
            # With room for the usual reply most need not move.
            usual = num_pages(min(len(run.ids) + PAGE, run.most_ids))
            run.extent = self.memory.allocate(max(pages, usual)) or self._allocate(pages, spared=source)
            if run.extent is None:
                self._release(run)
                return False
            if source:
                self.memory.copy(source.extent, run.extent, shared)
                run.num_computed = shared
        if run.started_at is None:
            run.cached_tokens = min(shared, run.prompt_tokens)
        return True

    # States of hybrids

    def _resume(self, run: LocalRun, snapshots: Snapshots, num_tokens: int) -> None:
        """Go on from a snapshot; it and those before it are this run's, too."""
        assert self.states
        run.snapshots = {place: self.states.hold(slot) for place, slot in snapshots.items() if place <= num_tokens}
        run.state = self.states.hold(snapshots[num_tokens])

    def _keep_snapshot(self, run: LocalRun) -> None:
        assert self.states
        if run.num_computed in run.snapshots:
            return
        run.snapshots[run.num_computed] = self.states.hold(run.state)
        if len(run.snapshots) > MOST_SNAPSHOTS:
            # The first is the likeliest to be shared with other conversations.
            self.states.drop(run.snapshots.pop(sorted(run.snapshots)[1]))

    def _take_state(self, states: StatePool) -> int:
        """A slot for the next state; snapshots make room for it. There are more slots than running replies need."""
        while True:
            slot = states.take()
            if slot is not None:
                return slot
            if not self.prefixes.evict():
                for run in self.running:
                    for place in list(run.snapshots):
                        states.drop(run.snapshots.pop(place))

    # Memory

    def _has_room(self, run: LocalRun) -> bool:
        """Room for the run's next token; others, or the run itself, give way where there is too little."""
        pages = num_pages(len(run.ids))
        while run.extent and not self._grow(run, pages):
            if run.is_finished:
                return False
            self.preempt(self.running[-1])
        return run.extent is not None

    def _grow(self, run: LocalRun, pages: int) -> bool:
        extent = run.extent
        assert extent
        if extent.num_pages >= pages or self.memory.extend(extent, pages):
            return True
        # With room to spare, a long reply moves seldom.
        larger = self._allocate(pages + pages // 2) or self._allocate(pages)
        if larger is None:
            return self.memory.extend(extent, pages)
        self.memory.copy(extent, larger, run.num_computed)
        self.memory.release(extent)
        run.extent = larger
        return True

    def _allocate(self, pages: int, spared: Held | None = None) -> Extent | None:
        while True:
            if extent := self.memory.allocate(pages):
                return extent
            if not self.prefixes.evict(spared):
                return None
