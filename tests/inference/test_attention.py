"""On CPUs a row's result depends, to the bit, on its own keys alone, however the rows of a step are put together."""

from __future__ import annotations

import pytest
import torch

from inference.attention import CpuAttention, Span
from inference.kv_cache import CHUNK

HEADS, KV_HEADS, DIM, LENGTH = 14, 2, 64, 2 * CHUNK
RANDOM = torch.Generator().manual_seed(4)
QUERIES = torch.randn(2, LENGTH, HEADS, DIM, generator=RANDOM).bfloat16()
CACHE = torch.randn(2 * LENGTH, 2, KV_HEADS, DIM, generator=RANDOM).bfloat16()


def attend(*rows: tuple[int, int, int]) -> list[torch.Tensor]:
    """Results for spans, each: whose keys, its first position, its number of tokens."""
    attention = CpuAttention(HEADS, KV_HEADS, DIM, LENGTH, torch.bfloat16)
    attention.begin([Span(who * LENGTH, start, num) for who, start, num in rows])
    queries = torch.cat([QUERIES[who, start : start + num] for who, start, num in rows])
    return list(torch.split(attention(queries, CACHE), [num for _, _, num in rows]))


@pytest.fixture(scope="module")
def alone() -> torch.Tensor:
    """[2, LENGTH, HEADS * DIM], each token computed by itself."""
    return torch.stack([torch.cat([attend((who, place, 1))[0] for place in range(LENGTH)]) for who in range(2)])


@pytest.mark.parametrize("num_tokens", [*range(1, 38), 63, 64, 65, 66, 67, 97, 129, 193, 255, 256])
def test_a_piece_of_a_prompt_gives_what_its_tokens_give_alone(alone: torch.Tensor, num_tokens: int) -> None:
    start = CHUNK + (CHUNK - num_tokens) // 2
    assert torch.equal(attend((0, start, num_tokens))[0], alone[0, start : start + num_tokens])


def test_rows_of_different_replies_give_what_they_give_alone(alone: torch.Tensor) -> None:
    for first, second in [(1, 1), (2, 2), (5, 5), (3, 1), (8, 8), (1, 40)]:
        for start in (130, 300):
            one, other = attend((0, start, first), (1, start + 3, second))
            assert torch.equal(one, alone[0, start : start + first])
            assert torch.equal(other, alone[1, start + 3 : start + 3 + second])
