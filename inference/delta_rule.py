"""The gated delta rule over the states of many replies at once. (Yang et al. 2024, "Gated Delta Networks")

A head's state is a matrix S of what its keys recall. A token with key k, value v, query q, decay a and rate b makes
S ← a S + k (b (v - a kᵀS))ᵀ, and finds qᵀS. Prompts do that for 64 tokens at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from inference.architecture import DeltaSizes
from inference.attention import Span
from inference.states import GRID, StatePool


@dataclass(frozen=True, slots=True)
class _Singles:
    """Spans of one token: their rows in the step (None when it has no others), and the slots of their states."""

    rows: torch.Tensor | None
    slots: list[tuple[int, int]]
    sources: torch.Tensor
    targets: torch.Tensor


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Longer spans on a grid [spans, length], whose first column is a multiple of 64 of the reply's positions.

    `inputs` and `gates` say what stands in a place of the grid (0 for nothing), `tails` where a span's last inputs
    stand, `places` and `rows` where its tokens stand in the grid and in the step.
    """

    length: int
    sources: torch.Tensor
    targets: torch.Tensor
    inputs: torch.Tensor
    gates: torch.Tensor
    tails: torch.Tensor
    places: torch.Tensor
    rows: torch.Tensor


class DeltaRule:
    """Moves the states in a pool on by the tokens of a step, layer after layer."""

    def __init__(self, sizes: DeltaSizes, pool: StatePool, most_singles: int, device: torch.device) -> None:
        self._sizes, self._pool, self._device = sizes, pool, device
        # A state at a time stays in a CPU's cache.
        self._is_one_by_one = device.type == "cpu"
        # At a fixed place, so that a CUDA graph finds the slots of its replay there.
        self._slots = torch.zeros(2, most_singles, dtype=torch.long, device=device)
        self._is_later = torch.ones(GRID, GRID, dtype=torch.bool, device=device).triu(1)

    def begin(self, spans: Sequence[Span]) -> None:
        """Prepare what all layers of one step share."""
        starts, row = [], 0
        for span in spans:
            starts.append((row, span))
            row += span.num_tokens
        singles = [(row, span) for row, span in starts if span.num_tokens == 1]
        longer = [(row, span) for row, span in starts if span.num_tokens > 1]
        self._singles = self._gather(singles, is_all=not longer) if singles else None
        self._pieces = self._lay_out(longer) if longer else None

    def __call__(
        self, layer: int, inputs: torch.Tensor, taps: torch.Tensor, decays: torch.Tensor, rates: torch.Tensor
    ) -> torch.Tensor:
        """What the tokens find in a layer's states: [M, value heads, value dim], in float32.

        `inputs` [M, width] are queries, keys and values before the convolution with `taps` [taps, width]; `decays`
        (their logarithms) and `rates` are [M, value heads].
        """
        singles, pieces = self._singles, self._pieces
        if singles and not pieces:
            return self._step(layer, singles, inputs, taps, decays, rates)
        found = inputs.new_empty(len(inputs), self._sizes.num_value_heads, self._sizes.value_dim, dtype=torch.float32)
        if pieces:
            found[pieces.rows] = self._scan(layer, pieces, inputs, taps, torch.cat([decays, rates], 1))
        if singles:
            inputs, decays, rates = (part[singles.rows] for part in (inputs, decays, rates))
            found[singles.rows] = self._step(layer, singles, inputs, taps, decays, rates)
        return found

    # One token for each reply

    def _gather(self, singles: list[tuple[int, Span]], *, is_all: bool) -> _Singles:
        slots = [(span.source, span.target) for _, span in singles]
        rows = None if is_all else torch.tensor([row for row, _ in singles], device=self._device)
        if len(slots) > self._slots.shape[1]:
            self._slots = self._slots.new_zeros(2, len(slots))
        self._slots[:, : len(slots)] = torch.tensor(slots).t().to(self._device)
        return _Singles(rows, slots, *self._slots[:, : len(slots)])

    def _step(
        self,
        layer: int,
        singles: _Singles,
        inputs: torch.Tensor,
        taps: torch.Tensor,
        decays: torch.Tensor,
        rates: torch.Tensor,
    ) -> torch.Tensor:
        earlier, states = self._pool.inputs[layer], self._pool.recurrent[layer]
        seen = torch.cat([earlier.index_select(0, singles.sources), inputs[:, None]], 1)
        earlier.index_copy_(0, singles.targets, seen[:, 1:])
        queries, keys, values = self._heads((seen * taps).sum(1))
        tokens = (queries, keys, values, decays.exp()[..., None], rates[..., None])
        if self._is_one_by_one:
            return torch.cat(
                [
                    _move(states[source, None], states[target, None], *(part[row, None] for part in tokens))
                    for row, (source, target) in enumerate(singles.slots)
                ]
            )
        moved = states.index_select(0, singles.sources)
        found = _move(moved, moved, *tokens)
        states.index_copy_(0, singles.targets, moved)
        return found

    # Pieces of prompts

    def _lay_out(self, spans: list[tuple[int, Span]]) -> _Pieces:
        before = self._sizes.num_taps - 1
        first_row = 1 + len(spans) * before
        length = max(-(-span.end // GRID) * GRID - span.start // GRID * GRID for _, span in spans)
        inputs = torch.zeros(len(spans), before + length, dtype=torch.long)
        tails, places, rows = [], [], []
        for i, (row, span) in enumerate(spans):
            column, steps = span.start % GRID, torch.arange(span.num_tokens)
            inputs[i, column : column + before] = 1 + i * before + torch.arange(before)
            inputs[i, column + before : column + before + span.num_tokens] = first_row + row + steps
            tails.append(i * (before + length) + column + span.num_tokens + torch.arange(before))
            places.append(i * length + column + steps)
            rows.append(row + steps)
        gates = torch.zeros(len(spans) * length, dtype=torch.long)
        gates[torch.cat(places)] = 1 + torch.cat(rows)
        slots = torch.tensor([(span.source, span.target) for _, span in spans]).t()
        found = (*slots, inputs.flatten(), gates, torch.cat(tails), torch.cat(places), torch.cat(rows))
        return _Pieces(length, *(tensor.to(self._device) for tensor in found))

    def _scan(
        self, layer: int, pieces: _Pieces, inputs: torch.Tensor, taps: torch.Tensor, gates: torch.Tensor
    ) -> torch.Tensor:
        earlier, states = self._pool.inputs[layer], self._pool.recurrent[layer]
        num, length, before = len(pieces.sources), pieces.length, len(taps) - 1
        begun = earlier.index_select(0, pieces.sources).flatten(0, 1)
        grid = torch.cat([begun.new_zeros(1, begun.shape[1]), begun, inputs]).index_select(0, pieces.inputs)
        earlier.index_copy_(0, pieces.targets, grid.index_select(0, pieces.tails).view(num, before, -1))
        grid = grid.view(num, before + length, -1)
        convolved = grid[:, :length] * taps[0]
        for i in range(1, before + 1):
            convolved.addcmul_(grid[:, i : i + length].float(), taps[i])
        gates = functional.pad(gates, (0, 0, 1, 0)).index_select(0, pieces.gates)
        on_grid = [self._on_grid(part, num) for part in (*self._heads(convolved), *gates.chunk(2, -1))]
        found, moved = self._move_pieces(states.index_select(0, pieces.sources), *on_grid)
        states.index_copy_(0, pieces.targets, moved)
        return found.permute(0, 2, 3, 1, 4).flatten(0, 2).index_select(0, pieces.places)

    def _on_grid(self, part: torch.Tensor, num_spans: int) -> torch.Tensor:
        """[spans * length, heads, …] → [spans, heads, length / 64, 64, …]"""
        heads = self._sizes.num_value_heads
        return part.reshape(num_spans, -1, GRID, heads, *part.shape[3:]).movedim(3, 1).contiguous()

    def _move_pieces(
        self,
        states: torch.Tensor,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        decays: torch.Tensor,
        rates: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What [spans, heads, pieces, 64, dim] queries find, and the states after the last piece.

        Within a piece, what each token adds depends on what earlier ones added: a triangular system.
        """
        faded = decays.cumsum(-1)
        between = (faded[..., :, None] - faded[..., None, :]).masked_fill_(self._is_later, -math.inf).exp_()
        since, until = faded.exp()[..., None], (faded[..., -1:] - faded).exp()[..., None]
        rated = keys * rates[..., None]
        wanted = torch.cat([values * rates[..., None], rated * since], -1)
        system = (rated @ keys.mT).mul_(between)
        solved = torch.linalg.solve_triangular(system, wanted, upper=False, unitriangular=True)
        added, known = torch.split(solved, [values.shape[-1], keys.shape[-1]], -1)
        within = (queries @ keys.mT).mul_(between)
        queries, keys = queries * since, keys * until
        found = torch.empty_like(values)
        for i in range(values.shape[2]):
            news = added[:, :, i] - known[:, :, i] @ states
            found[:, :, i] = queries[:, :, i] @ states + within[:, :, i] @ news
            states = states * since[:, :, i, -1:] + keys[:, :, i].mT @ news
        return found, states

    def _heads(self, convolved: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values [..., value heads, dim] from what the convolution gave."""
        sizes = self._sizes
        width = sizes.num_key_heads * sizes.key_dim
        turned, values = torch.split(functional.silu(convolved), [2 * width, convolved.shape[-1] - 2 * width], -1)
        turned = torch.unflatten(turned, -1, (2, sizes.num_key_heads, sizes.key_dim))
        turned = turned * torch.rsqrt((turned * turned).sum(-1, keepdim=True) + 1e-6)
        turned = turned.repeat_interleave(sizes.num_value_heads // sizes.num_key_heads, -2)
        queries, keys = turned.unbind(-3)
        return (
            queries * sizes.key_dim**-0.5,
            keys,
            torch.unflatten(values, -1, (sizes.num_value_heads, sizes.value_dim)),
        )


def _move(
    before: torch.Tensor,
    after: torch.Tensor,
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    decays: torch.Tensor,
    rates: torch.Tensor,
) -> torch.Tensor:
    """Move states [R, heads, key dim, value dim] on by a token each, into `after`; return what the queries find.

    Decays and rates are [R, heads, 1]. Both products read the state as it was, so that it is read once. CPUs multiply
    four rows sooner than two.
    """
    known, found, *_ = (torch.stack([keys, queries, keys, queries], 2) @ before).unbind(2)
    added = (values - known * decays) * rates
    torch.mul(before, decays[..., None], out=after)
    after.addcmul_(keys[..., None], added[..., None, :])
    return found * decays + (queries * keys).sum(-1, keepdim=True) * added
