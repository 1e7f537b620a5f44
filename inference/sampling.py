"""Choosing the next token of each row of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from inference.contract import SamplingParams

_WIDTH = 128
"""Scores are looked through in blocks of so many for the best ones."""
_MOST_CANDIDATES = 256


@dataclass(frozen=True, slots=True)
class Choice:
    """What is asked of one row: its parameters, the seed, and how many tokens the reply and the prompt have so far."""

    params: SamplingParams
    seed: int
    position: int
    """The number of the reply's token that is chosen."""
    prompt: Sequence[int] = ()
    reply: Sequence[int] = ()


def choose(logits: torch.Tensor, choices: Sequence[Choice]) -> list[int | None]:
    """The next token for each row of `logits` [rows, vocabulary]; None for a row that holds no numbers.

    Rows do not influence each other. The same logits, parameters, seed and position give the same token.
    """
    if not choices:
        return []
    for row, choice in enumerate(choices):
        _adjust(logits[row], choice)
    best = _highest(logits, max(_num_candidates(choice.params) for choice in choices))
    is_sound = torch.isfinite(best.values[:, 0]).tolist()
    tokens: list[int | None] = best.indices[:, 0].tolist()
    drawn = [row for row, choice in enumerate(choices) if choice.params.temperature > 0 and is_sound[row]]
    if drawn:
        for row, token in zip(drawn, _draw(best, logits, [choices[row] for row in drawn], drawn), strict=True):
            tokens[row] = token
    return [token if sound else None for token, sound in zip(tokens, is_sound, strict=True)]


def _num_candidates(params: SamplingParams) -> int:
    """How many of the likeliest tokens to look at for a row."""
    if params.temperature == 0:
        return 1
    return min(params.top_k, _MOST_CANDIDATES) if params.top_k else _MOST_CANDIDATES


def uniform(seed: int, position: int) -> float:
    """A number in [0, 1) for each token of a seeded reply (SplitMix64; Steele, Lea & Flood 2014).

    It depends on nothing else, so that a reply goes on as it would have after a change of worker.
    """
    mask = (1 << 64) - 1
    z = (seed + (position + 1) * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return ((z ^ (z >> 31)) >> 11) * 2.0**-53


def _adjust(row: torch.Tensor, choice: Choice) -> None:
    """Apply bias and penalties to one row of scores, in place."""
    params = choice.params
    if params.repetition_penalty != 1:
        seen = torch.tensor(sorted({*choice.prompt, *choice.reply}), device=row.device)
        scores = row[seen]
        penalty = params.repetition_penalty
        row[seen] = torch.where(scores > 0, scores / penalty, scores * penalty)
    if (params.presence_penalty or params.frequency_penalty) and choice.reply:
        said, counts = torch.tensor(choice.reply, device=row.device).unique(return_counts=True)  # type: ignore[no-untyped-call]
        row[said] -= params.presence_penalty + params.frequency_penalty * counts
    for token, bias in params.logit_bias:
        if 0 <= token < len(row):
            row[token] += bias


def _highest(logits: torch.Tensor, num: int) -> torch.return_types.topk:
    """The `num` highest scores of each row (of 256 at most), best first.

    They stand in the `num` blocks with the highest maxima, so that one pass over the row and a short sort find them.
    """
    rows, vocabulary = logits.shape
    num = min(num, _MOST_CANDIDATES, vocabulary)
    if vocabulary % _WIDTH or num > vocabulary // _WIDTH:
        return logits.topk(num)
    blocks = logits.view(rows, -1, _WIDTH)
    which = blocks.amax(-1).topk(num).indices
    candidates = blocks.gather(1, which[..., None].expand(-1, -1, _WIDTH))
    values, places = candidates.flatten(1).topk(num)
    tokens = which.gather(1, places // _WIDTH) * _WIDTH + places % _WIDTH
    return torch.return_types.topk((values, tokens))


def _draw(
    best: torch.return_types.topk, logits: torch.Tensor, choices: Sequence[Choice], rows: Sequence[int]
) -> list[int]:
    """Draw among the best; where those are not all that may come, among all."""
    params = [choice.params for choice in choices]
    scores = best.values[list(rows)].double().cpu()
    temperatures = _column([one.temperature for one in params])
    weights = ((scores - scores[:, :1]) / temperatures).exp_()
    weights.masked_fill_(torch.arange(scores.shape[1])[None] >= _column([one.top_k or 1 << 60 for one in params]), 0)
    totals = weights.sum(-1, keepdim=True)
    for i, one in enumerate(params):
        if not 0 < one.top_k <= _MOST_CANDIDATES:
            totals[i] = ((logits[rows[i]] - best.values[rows[i], 0]) / one.temperature).exp_().sum(dtype=torch.float64)
    shares = weights / totals
    is_out = shares.cumsum(-1) - shares >= _column([one.top_p for one in params])
    is_out |= shares < _column([one.min_p for one in params]) * shares[:, :1]
    is_out[:, 0] = False
    sums = shares.masked_fill(is_out, 0).cumsum(-1)
    chances = _column([uniform(choice.seed, choice.position) for choice in choices])
    places = (sums <= chances * sums[:, -1:]).sum(-1, keepdim=True).clamp_max_(shares.shape[1] - 1)
    found = best.indices[list(rows)].cpu().gather(1, places)[:, 0].tolist()
    return [
        token
        if 0 < choice.params.top_k <= _MOST_CANDIDATES or is_out[i, -1]
        else _draw_from_all(logits[rows[i]], choice)
        for i, (token, choice) in enumerate(zip(found, choices, strict=True))
    ]


def _column(values: Sequence[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def _draw_from_all(row: torch.Tensor, choice: Choice) -> int:
    """Draw where more tokens may come than were looked at."""
    params = choice.params
    shares = torch.softmax(row / params.temperature, -1)
    tokens = torch.arange(len(row), device=row.device)
    if params.top_k or params.top_p < 1 or params.min_p > 0:
        shares, tokens = shares.sort(descending=True, stable=True)
        is_out = shares.cumsum(-1) - shares >= params.top_p
        is_out |= shares < params.min_p * shares[0]
        if params.top_k:
            is_out[params.top_k :] = True
        is_out[0] = False
        shares = shares.masked_fill_(is_out, 0)
    sums = shares.cumsum(-1, dtype=torch.float64)
    place = int((sums <= uniform(choice.seed, choice.position) * sums[-1]).sum())
    return int(tokens[min(place, int(shares.nonzero()[-1]))])
