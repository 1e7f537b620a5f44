"""Attention over the KV cache, for rows of many replies at once: one way for CPUs, one for CUDA."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.nn import functional

from inference.kv_cache import CHUNK, PAGE

_KEYS = 128
"""On CPUs keys are taken in multiples of so many; what is too much is masked."""
_LEAST_ROWS = 4


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens of one reply that a step computes: `num_tokens` from position `start` on, kept from cache `offset` on.

    A span does not cross a multiple of CHUNK positions.
    """

    offset: int
    start: int
    num_tokens: int

    @property
    def end(self) -> int:
        return self.start + self.num_tokens


class Attention(Protocol):
    def begin(self, spans: Sequence[Span]) -> None:
        """Prepare what all layers of one step share."""

    def __call__(self, queries: torch.Tensor, keys_values: torch.Tensor) -> torch.Tensor:
        """[M, heads, dim] in the order of the spans, a layer's cache [T, 2, kv heads, dim] → [M, heads * dim]."""


class CpuAttention:
    """One kernel call a span. A row's result depends, to the bit, on its own keys alone.

    That takes three rules, found by trial: keys come in multiples of 128, a call has at least four rows, and no span
    crosses a multiple of CHUNK. Then a token's numbers are the same computed alone, in a prompt's chunk or again later.
    """

    def __init__(self, num_heads: int, num_kv_heads: int, head_dim: int, num_positions: int) -> None:
        self._groups = num_heads // num_kv_heads
        self._num_kv_heads, self._head_dim = num_kv_heads, head_dim
        # A window into this is the mask of one query: zeros for the keys it sees, then minus infinity.
        self._zeros_then_not = torch.zeros(num_positions + _KEYS + 1)
        self._num_zeros = num_positions
        self._zeros_then_not[num_positions:] = -math.inf

    def begin(self, spans: Sequence[Span]) -> None:
        self._spans = spans
        self._masks = [self._mask(span) for span in spans]

    def __call__(self, queries: torch.Tensor, keys_values: torch.Tensor) -> torch.Tensor:
        outputs = torch.empty_like(queries)
        row = 0
        for span, mask in zip(self._spans, self._masks, strict=True):
            rows = slice(row, row + span.num_tokens)
            attend = self._attend_one if span.num_tokens == 1 else self._attend_many
            attend(queries[rows], self._seen(keys_values, span, mask.shape[-1]), mask, outputs[rows])
            row += span.num_tokens
        return outputs.flatten(1)

    def _seen(self, keys_values: torch.Tensor, span: Span, num_keys: int) -> torch.Tensor:
        """[2, kv heads, keys, dim] of a span's reply, without a copy."""
        kv_heads, dim = self._num_kv_heads, self._head_dim
        width = kv_heads * dim
        return keys_values.as_strided(
            (2, kv_heads, num_keys, dim),
            (width, dim, 2 * width, 1),
            keys_values.storage_offset() + span.offset * 2 * width,
        )

    def _attend_one(self, query: torch.Tensor, seen: torch.Tensor, mask: torch.Tensor, into: torch.Tensor) -> None:
        """The heads that share keys are the rows of one call."""
        groups = self._groups
        grouped = query.view(1, self._num_kv_heads, groups, self._head_dim)
        if groups < _LEAST_ROWS:
            grouped = torch.cat([grouped, grouped[:, :, :1].expand(-1, -1, _LEAST_ROWS - groups, -1)], 2)
        found = functional.scaled_dot_product_attention(grouped, seen[:1], seen[1:], attn_mask=mask)
        into.view(1, self._num_kv_heads, groups, self._head_dim).copy_(found[:, :, :groups])

    def _attend_many(self, queries: torch.Tensor, seen: torch.Tensor, mask: torch.Tensor, into: torch.Tensor) -> None:
        num_rows = mask.shape[0]
        shape = (self._num_kv_heads, self._groups, seen.shape[2], self._head_dim)
        if num_rows > len(queries):
            queries = torch.cat([queries, queries[-1:].expand(num_rows - len(queries), -1, -1)])
        grouped = queries.view(num_rows, self._num_kv_heads, self._groups, self._head_dim).permute(1, 2, 0, 3)
        keys, values = seen[0, :, None].expand(shape), seen[1, :, None].expand(shape)
        found = functional.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask)
        into.view(len(into), self._num_kv_heads, self._groups, self._head_dim).copy_(
            found.permute(2, 0, 1, 3)[: len(into)]
        )

    def _mask(self, span: Span) -> torch.Tensor:
        num_keys = -(-span.end // _KEYS) * _KEYS
        if span.num_tokens == 1:
            first = self._num_zeros - span.end
            return self._zeros_then_not[first : first + num_keys].view(1, 1, 1, num_keys)
        num_rows = max(span.num_tokens, _LEAST_ROWS)
        seen = torch.arange(span.start, span.start + num_rows).clamp_max(span.end - 1)
        is_hidden = torch.arange(num_keys)[None] > seen[:, None]
        return torch.zeros(num_rows, num_keys).masked_fill_(is_hidden, -math.inf)


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
