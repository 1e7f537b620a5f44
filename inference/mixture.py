"""A mixture of experts: each token goes through the few parts that a router picks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

Feed = Callable[[torch.Tensor], torch.Tensor]


class Mixture:
    """Experts on the same device; `router` is [experts, hidden]. (Shazeer et al. 2017; Qwen3-MoE's form.)"""

    def __init__(self, router: torch.Tensor, experts: Sequence[Feed], num_picked: int, *, is_normed: bool) -> None:
        self._router, self._experts = router, experts
        self._num_picked, self._is_normed = num_picked, is_normed

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """[M, hidden] → [M, hidden]"""
        chances = torch.softmax(functional.linear(rows, self._router).float(), -1)
        weights, picked = chances.topk(self._num_picked, -1)
        if self._is_normed:
            weights = weights / weights.sum(-1, keepdim=True)
        weights = weights.to(rows.dtype)
        outputs = torch.zeros_like(rows)
        for number in sorted(set(picked.flatten().tolist())):
            which, place = (picked == number).nonzero(as_tuple=True)
            outputs.index_add_(0, which, self._experts[number](rows[which]) * weights[which, place, None])
        return outputs
