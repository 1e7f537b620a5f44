"""Choosing the next token."""

from __future__ import annotations

import torch

from inference.contract import SamplingParams


def sample(logits: torch.Tensor, params: SamplingParams, random: torch.Generator) -> int:
    """The next token for one row of logits; `random` is a CPU generator, so that a seed means the same everywhere."""
    if params.temperature == 0:
        return int(logits.argmax())
    scores = logits.float() / params.temperature
    if not 0 < params.top_k < scores.numel():
        return _draw(_filtered(scores.sort(descending=True), params), random)
    return _draw(_filtered(scores.topk(params.top_k), params), random)


def _filtered(
    best: tuple[torch.Tensor, torch.Tensor] | torch.return_types.sort | torch.return_types.topk, params: SamplingParams
) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities and ids of the candidates, best first, after top_p and min_p."""
    probabilities, ids = torch.softmax(best[0], -1).cpu(), best[1].cpu()
    is_kept = probabilities >= params.min_p * probabilities[0]
    if params.top_p < 1:
        is_kept &= probabilities.cumsum(-1) - probabilities < params.top_p
    is_kept[0] = True
    return probabilities * is_kept, ids


def _draw(candidates: tuple[torch.Tensor, torch.Tensor], random: torch.Generator) -> int:
    probabilities, ids = candidates
    return int(ids[torch.multinomial(probabilities, 1, generator=random)])
