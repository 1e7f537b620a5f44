"""Attention over the KV cache, for rows of many replies at once: one way for CPUs, one for CUDA."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.nn import functional

from inference.kv_cache import CHUNK, PAGE
from inference.states import NOTHING, WASTE

_KEYS = 128
"""On CPUs keys are taken in multiples of so many; what is too much is masked."""
_LEAST_ROWS, _BLOCK = 4, 32
"""The kernel takes blocks of 32 rows; with fewer than four in one, their numbers come out differently."""
_FEW = 8
"""A span of so many tokens at most is computed as a decode row is, for all spans alike in one call."""


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens of one reply that a step computes: `num_tokens` from position `start` on, kept from cache `offset` on.

    A span does not cross a multiple of CHUNK positions. `model` is the adapter that computes it, "" the model itself.
    In hybrids a step reads the reply's state from slot `source` and writes the next one to slot `target`.
    """

    offset: int
    start: int
    num_tokens: int
    model: str = ""
    source: int = NOTHING
    target: int = WASTE

    @property
    def end(self) -> int:
        return self.start + self.num_tokens


class Attention(Protocol):
    def begin(self, spans: Sequence[Span]) -> None:
        """Prepare what all layers of one step share."""

    def __call__(self, queries: torch.Tensor, keys_values: torch.Tensor) -> torch.Tensor:
        """[M, heads, dim] in the order of the spans, a layer's cache [T, 2, kv heads, dim] → [M, heads * dim]."""


@dataclass(slots=True)
class _Call:
    """Spans that one call of the kernel computes."""

    spans: list[Span]

    @property
    def is_few(self) -> bool:
        return self.spans[0].num_tokens <= _FEW

    @property
    def num_tokens(self) -> int:
        return sum(span.num_tokens for span in self.spans)

    @property
    def num_keys(self) -> int:
        return -(-self.spans[0].end // _KEYS) * _KEYS

    @property
    def gap(self) -> int:
        """From one span's keys to the next one's, in tokens."""
        return self.spans[1].offset - self.spans[0].offset if len(self.spans) > 1 else 0

    def takes(self, span: Span) -> bool:
        """Whether a span fits into the call."""
        if span.num_tokens != self.spans[0].num_tokens or -(-span.end // _KEYS) * _KEYS != self.num_keys:
            return False
        step = span.offset - self.spans[-1].offset
        return self.is_few and step > 0 and (len(self.spans) == 1 or step == self.gap)


def _num_missing(num_rows: int) -> int:
    """How many rows the last of the kernel's blocks lacks."""
    last = num_rows % _BLOCK
    return _LEAST_ROWS - last if 0 < last < _LEAST_ROWS else 0


class CpuAttention:
    """As few kernel calls as there can be. A row's result depends, to the bit, on its own keys alone.

    That takes three rules, found by trial: keys come in multiples of 128, no block of rows has fewer than four, and no
    span crosses a multiple of CHUNK. Then a token's numbers are the same computed alone, in a prompt's chunk or later.
    """

    def __init__(
        self, num_heads: int, num_kv_heads: int, head_dim: int, num_positions: int, dtype: torch.dtype
    ) -> None:
        self._groups = num_heads // num_kv_heads
        self._num_kv_heads, self._head_dim = num_kv_heads, head_dim
        # A window into this is the mask of one query: zeros for the keys it sees, then minus infinity.
        self._zeros_then_not = torch.zeros(num_positions + _KEYS + _FEW, dtype=dtype)
        self._num_zeros = num_positions
        self._zeros_then_not[num_positions:] = -math.inf

    def begin(self, spans: Sequence[Span]) -> None:
        """Spans of one token that lie evenly in the cache and have as many keys are one call; a sorted row has most."""
        self._calls: list[_Call] = []
        last: _Call | None = None
        for span in spans:
            if last and last.takes(span):
                last.spans.append(span)
            else:
                last = _Call([span])
                self._calls.append(last)
        self._masks = [self._mask(call) for call in self._calls]

    def __call__(self, queries: torch.Tensor, keys_values: torch.Tensor) -> torch.Tensor:
        queries = queries.to(keys_values.dtype).view(-1, self._num_kv_heads, self._groups, self._head_dim)
        outputs, row = [], 0
        for call, mask in zip(self._calls, self._masks, strict=True):
            num_rows = call.num_tokens
            keys, values = self._seen(keys_values, call)
            attend = self._attend_few if call.is_few else self._attend_many
            outputs.append(attend(queries[row : row + num_rows], keys, values, mask))
            row += num_rows
        return (torch.cat(outputs) if len(outputs) > 1 else outputs[0]).flatten(1)

    def _seen(self, cache: torch.Tensor, call: _Call) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values [spans, kv heads, keys, dim] of a call, without a copy."""
        dim, width = self._head_dim, self._num_kv_heads * self._head_dim
        shape = (len(call.spans), self._num_kv_heads, call.num_keys, dim)
        strides = (2 * width * call.gap, dim, 2 * width, 1)
        first = cache.storage_offset() + call.spans[0].offset * 2 * width
        return cache.as_strided(shape, strides, first), cache.as_strided(shape, strides, first + width)

    def _attend_few(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """[spans * tokens, kv heads, groups, dim]; tokens and heads that share keys are the rows of the kernel."""
        shape = (len(keys), -1, *queries.shape[1:])
        rows = queries.view(shape).transpose(1, 2).flatten(2, 3)
        num_rows = rows.shape[2]
        if missing := _num_missing(num_rows):
            rows = torch.cat([rows, rows[:, :, -1:].expand(-1, -1, missing, -1)], 2)
        found = functional.scaled_dot_product_attention(rows, keys, values, attn_mask=mask)[:, :, :num_rows]
        heads = found.reshape(*found.shape[:2], -1, self._groups, self._head_dim)
        return heads.transpose(1, 2).flatten(0, 1)

    def _attend_many(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """[tokens, kv heads, groups, dim]"""
        num_tokens, num_rows = len(queries), len(mask)
        if num_rows > num_tokens:
            queries = torch.cat([queries, queries[-1:].expand(num_rows - num_tokens, -1, -1, -1)])
        shape = (self._num_kv_heads, self._groups, *keys.shape[2:])
        found = functional.scaled_dot_product_attention(
            queries.permute(1, 2, 0, 3),
            keys.transpose(0, 1).expand(shape),
            values.transpose(0, 1).expand(shape),
            attn_mask=mask,
        )
        return found.permute(2, 0, 1, 3)[:num_tokens]

    def _row_ends(self, span: Span) -> list[int]:
        """How many keys each of the kernel's rows for a span of few tokens sees; one row stands for all if it can."""
        if span.num_tokens == 1:
            return [span.end]
        ends = [end for end in range(span.start + 1, span.end + 1) for _ in range(self._groups)]
        return ends + _num_missing(len(ends)) * ends[-1:]

    def _mask(self, call: _Call) -> torch.Tensor:
        num_keys = call.num_keys
        if call.is_few:
            firsts = [self._num_zeros - end for span in call.spans for end in self._row_ends(span)]
            rows = [self._zeros_then_not[first : first + num_keys] for first in firsts]
            return torch.stack(rows).view(len(call.spans), 1, -1, num_keys)
        span = call.spans[0]
        num_rows = span.num_tokens + _num_missing(span.num_tokens)
        seen = torch.arange(span.start, span.start + num_rows).clamp_max(span.end - 1)
        is_hidden = torch.arange(num_keys)[None] > seen[:, None]
        return self._zeros_then_not.new_zeros(num_rows, num_keys).masked_fill_(is_hidden, -math.inf)


class CudaAttention:
    """One call of torch's flash attention for all rows, which reads the cache by its pages.

    The tensors have fixed places and sizes for a given number of rows, so that a CUDA graph can replay the call.
    """

    def __init__(self, num_positions: int, num_pages: int, most_spans: int, device: torch.device) -> None:
        self._device = device
        self._last_page = num_pages - 1
        self._most_pages = -(-num_positions // PAGE)
        self._most_keys = num_positions
        self._tables = torch.zeros(most_spans, self._most_pages, dtype=torch.int32, device=device)
        self._ends = torch.zeros(most_spans, dtype=torch.int32, device=device)
        self._bounds = torch.zeros(most_spans + 1, dtype=torch.int32, device=device)

    def begin(self, spans: Sequence[Span]) -> None:
        num = self._num_spans = len(spans)
        self._most_rows = max(span.num_tokens for span in spans)
        first_pages = torch.tensor([[span.offset // PAGE] for span in spans], dtype=torch.int32)
        lengths = torch.tensor([0, *(span.num_tokens for span in spans)], dtype=torch.int32)
        tables = first_pages + torch.arange(self._most_pages, dtype=torch.int32)
        self._tables[:num] = tables.clamp_max_(self._last_page).to(self._device)
        self._ends[:num] = torch.tensor([span.end for span in spans], dtype=torch.int32).to(self._device)
        self._bounds[: num + 1] = lengths.cumsum(0, dtype=torch.int32).to(self._device)

    def __call__(self, queries: torch.Tensor, keys_values: torch.Tensor) -> torch.Tensor:
        from torch.nn.attention.varlen import varlen_attn

        num = self._num_spans
        pages = keys_values.view(-1, PAGE, *keys_values.shape[1:])
        found: Any = varlen_attn(
            queries,
            pages[:, :, 0],
            pages[:, :, 1],
            cu_seq_q=self._bounds[: num + 1],
            cu_seq_k=None,
            max_q=self._most_rows,
            max_k=self._most_keys,
            window_size=(-1, 0),
            enable_gqa=True,
            seqused_k=self._ends[:num],
            block_table=self._tables[:num],
        )
        rows: torch.Tensor = found.flatten(1)
        return rows


assert CHUNK % _KEYS == 0
