"""A mixture of experts: each token goes through the few parts that a router picks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch.nn import functional

from inference.linear import steady

Feed = Callable[[torch.Tensor], torch.Tensor]


class Experts(Protocol):
    def __call__(self, rows: torch.Tensor, weights: torch.Tensor, picked: torch.Tensor) -> torch.Tensor:
        """[M, hidden] through the experts [M, picks], each result with its weight [M, picks] → [M, hidden]"""


class Mixture:
    """Experts, and one that is `shared` by all tokens where there is one, with its gate [1, hidden].

    `router` is [experts, hidden]. (Shazeer et al. 2017; the form of Qwen2-MoE and its successors)
    """

    def __init__(
        self,
        router: torch.Tensor,
        experts: Experts,
        num_picked: int,
        *,
        is_normed: bool,
        shared: tuple[Feed, torch.Tensor] | None = None,
    ) -> None:
        self._router, self._experts, self._shared = router, experts, shared
        self._num_picked, self._is_normed = num_picked, is_normed

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """[M, hidden] → [M, hidden]"""
        chances = torch.softmax(steady(rows, self._router).float(), -1)
        weights, picked = chances.topk(self._num_picked, -1)
        if self._is_normed:
            weights = weights / weights.sum(-1, keepdim=True)
        outputs = self._experts(rows, weights.to(rows.dtype), picked)
        if self._shared:
            feed, gate = self._shared
            outputs.add_(feed(rows).mul_(steady(rows, gate).sigmoid()))
        return outputs


class ListedExperts:
    """One after another those that were picked, each in the format of its own."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._feeds = feeds

    def __call__(self, rows: torch.Tensor, weights: torch.Tensor, picked: torch.Tensor) -> torch.Tensor:
        outputs = torch.zeros_like(rows)
        for number in sorted(set(picked.flatten().tolist())):
            which, place = (picked == number).nonzero(as_tuple=True)
            outputs.index_add_(0, which, self._feeds[number](rows[which]) * weights[which, place, None])
        return outputs


class StackedExperts:
    """All at once, without the host looking at what was picked, as a CUDA graph needs it.

    `gate_up` is [experts, 2 * inner, hidden], `down` [experts, hidden, inner].
    """

    def __init__(self, gate_up: torch.Tensor, down: torch.Tensor) -> None:
        self._gate_up, self._down = gate_up.mT, down.mT
        self._numbers = torch.arange(len(gate_up), device=gate_up.device)[:, None]

    def __call__(self, rows: torch.Tensor, weights: torch.Tensor, picked: torch.Tensor) -> torch.Tensor:
        order = picked.flatten().argsort(stable=True)
        ends = (picked.flatten() == self._numbers).sum(1).cumsum(0, dtype=torch.int32)
        gate, up = functional.grouped_mm(rows[order // picked.shape[1]], self._gate_up, offs=ends).chunk(2, -1)
        found = functional.grouped_mm(functional.silu(gate).mul_(up), self._down, offs=ends)
        return (found[order.argsort()].view(*picked.shape, -1) * weights[..., None]).sum(1)
