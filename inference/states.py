"""States of delta-net layers: what a hybrid model remembers of a reply in place of most keys and values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch

from inference.kv_cache import zeros

NOTHING = 0
"""The slot of the state before the first token: zeros, for everybody."""
WASTE = 1
"""The slot for what nobody will read."""
GRID = 64
"""A prompt's tokens are put into a state in pieces that end at multiples of so many positions."""
MOST_SNAPSHOTS = 4
"""Of one reply."""

_LEAST_SNAPSHOT = 64
"""Fewer tokens are computed as soon as looked up."""

Snapshots = Mapping[int, int]
"""The slots of states after so many tokens of a reply."""


def turn_ends(ids: Sequence[int], opener: int | None) -> list[int]:
    """Where prompts are likely to begin alike: after the first message, and before the reply's own opening.

    `opener` is the token that begins each message. Later prompts of a conversation go on from the last of these
    places even where a template drops from the history what the model thought.
    """
    places = [i for i, token in enumerate(ids) if token == opener][1:]
    return sorted({place for place in (*places[:1], *places[-1:]) if place >= _LEAST_SNAPSHOT})


def latest(snapshots: Snapshots, num_tokens: int) -> int:
    """The last snapshot's place among the first `num_tokens`; 0 when there is none."""
    return max((place for place in snapshots if place <= num_tokens), default=0)


class StatePool:
    """Memory for states, and how many hold which of them; a slot has the states of all layers after some token.

    A state that is written does not change: a step reads one slot and writes the next state into another. So a step
    that broke can be repeated, and a snapshot is no copy but a slot that is still held.
    """

    def __init__(
        self,
        recurrent: tuple[int, ...],
        inputs: tuple[int, ...],
        num_layers: int,
        num_slots: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        """`recurrent` and `inputs` are the shapes of one layer's state and of the last inputs of its convolution."""
        self.recurrent = zeros((num_layers, num_slots, *recurrent), torch.float32, device)
        self.inputs = zeros((num_layers, num_slots, *inputs), dtype, device)
        self._holders = [0] * num_slots
        self._free = list(range(num_slots - 1, WASTE, -1))

    @property
    def num_free(self) -> int:
        return len(self._free)

    def take(self) -> int | None:
        """A free slot, held once; None when there is none."""
        if not self._free:
            return None
        slot = self._free.pop()
        self._holders[slot] = 1
        return slot

    def hold(self, slot: int) -> int:
        if slot != NOTHING:
            self._holders[slot] += 1
        return slot

    def drop(self, slot: int) -> None:
        """One holder less; the last one's slot is free."""
        if slot == NOTHING:
            return
        self._holders[slot] -= 1
        if not self._holders[slot]:
            self._free.append(slot)

    def drop_all(self, slots: Iterable[int]) -> None:
        for slot in slots:
            self.drop(slot)
