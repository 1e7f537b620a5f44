"""Decode steps as CUDA graphs: one launch in place of some thousand, for each of a few numbers of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from inference.attention import Span
from inference.decoder import Inputs
from inference.kv_cache import Extent
from inference.memory import Plan


class DecodeGraphs:
    """Graphs of a step in which every span is one token. Rows that fill up a graph write into a page of their own."""

    def __init__(self, run: Callable[[Inputs], torch.Tensor], plan: Plan, device: torch.device) -> None:
        most = plan.num_slots
        self._run = run
        self._sizes = [size for size in (1, 2, 4, *range(8, most, 8)) if size < most] + [most]
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._logits: dict[int, torch.Tensor] = {}
        # The places that graphs read from; ids, positions and slots of the rows.
        self._inputs = torch.zeros(3, most, dtype=torch.long, device=device)
        self._rows = torch.arange(most, device=device)

    def can_replay(self, spans: Sequence[Span]) -> bool:
        return bool(self._graphs) and all(span.num_tokens == 1 and not span.model for span in spans)

    def capture(self, begin: Callable[[Sequence[Span]], None], spare: Extent) -> None:
        """Record all graphs, the largest first, so that they share their memory; `begin` prepares a step."""
        self._begin, self._spare = begin, spare
        pool = torch.cuda.graph_pool_handle()
        for size in reversed(self._sizes):
            begin([Span(spare.offset, 0, 1)] * size)
            inputs = self._inputs_of(size)
            self._run(inputs)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool):
                self._logits[size] = self._run(inputs)
            self._graphs[size] = graph

    def replay(self, tokens: Sequence[Sequence[int]], spans: Sequence[Span]) -> torch.Tensor:
        """The logits after each span's token."""
        num = len(spans)
        size = next(size for size in self._sizes if size >= num)
        filled = [*spans, *[Span(self._spare.offset, 0, 1)] * (size - num)]
        ids = [span_tokens[0] for span_tokens in tokens] + [0] * (size - num)
        rows = [ids, [span.start for span in filled], [span.offset + span.start for span in filled]]
        self._begin(filled)
        self._inputs[:, :size].copy_(torch.tensor(rows))
        self._graphs[size].replay()
        return self._logits[size][:num].clone()

    def _inputs_of(self, size: int) -> Inputs:
        ids, positions, slots = self._inputs[:, :size]
        return Inputs(ids, positions, slots, self._rows[:size])
