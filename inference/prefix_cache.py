"""What is computed already: keys and values of replies that ended, until their memory is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.kv_cache import Extent, Pages, num_pages
from inference.states import Snapshots, StatePool, latest

Ids = NDArray[np.int64]


@dataclass(slots=True, eq=False)
class Held:
    """Tokens whose keys and values stand in an extent; `model` is the adapter that made them.

    A hybrid goes on from its `snapshots` alone, as its states can't be cut back.
    """

    ids: Ids
    extent: Extent
    model: str
    snapshots: Snapshots | None = None

    def resumable(self, num_tokens: int) -> int:
        """How much of a common beginning can be taken over."""
        return num_tokens if self.snapshots is None else latest(self.snapshots, num_tokens)


def as_ids(tokens: Sequence[int]) -> Ids:
    return np.asarray(tokens, dtype=np.int64)


def num_shared(a: Ids, b: Ids) -> int:
    """Length of the common beginning of two rows of tokens."""
    length = min(len(a), len(b))
    differs = a[:length] != b[:length]
    return int(differs.argmax()) if differs.any() else length


class PrefixCache:
    """Ended replies by last use; the least recently used goes first."""

    def __init__(self, memory: Pages, states: StatePool | None = None) -> None:
        self._memory, self._states = memory, states
        self._held: list[Held] = []

    def __len__(self) -> int:
        return len(self._held)

    @property
    def num_tokens(self) -> int:
        return sum(len(held.ids) for held in self._held)

    def keep(self, tokens: Sequence[int], extent: Extent, model: str, snapshots: Snapshots | None = None) -> None:
        """Take an extent over, and snapshots; a row of tokens that is a beginning of this one is of no more use."""
        ids = as_ids(tokens)
        self._memory.shrink(extent, max(1, num_pages(len(ids))))
        for held in [held for held in self._held if held.model == model and num_shared(held.ids, ids) == len(held.ids)]:
            self._drop(held)
        self._held.append(Held(ids, extent, model, snapshots))

    def longest(self, ids: Ids, others: Iterable[Held], model: str) -> tuple[Held | None, int]:
        """Whose beginning, among what is held and `others`, `ids` can go on from longest; and how long that is.

        At least one token is left to compute, as it gives the first token of the reply.
        """
        best, most = None, 0
        for held in [*self._held, *others]:
            if held.model == model:
                shared = held.resumable(min(num_shared(held.ids, ids), len(ids) - 1))
                if shared > most:
                    best, most = held, shared
        return best, most

    def take(self, held: Held, num_tokens: int) -> Extent | None:
        """The extent itself, out of the cache, when most of it goes on being used; else None."""
        if held not in self._held:
            return None
        if 2 * num_tokens < len(held.ids):
            self._held.remove(held)
            self._held.append(held)
            return None
        self._held.remove(held)
        self._drop_snapshots(held)
        return held.extent

    def evict(self, spared: Held | None = None) -> bool:
        """Give back the memory of the least recently used; whether there was one."""
        for held in self._held:
            if held is not spared:
                self._drop(held)
                return True
        return False

    def clear(self) -> None:
        while self.evict():
            pass

    def _drop(self, held: Held) -> None:
        self._held.remove(held)
        self._memory.release(held.extent)
        self._drop_snapshots(held)

    def _drop_snapshots(self, held: Held) -> None:
        if self._states and held.snapshots:
            self._states.drop_all(held.snapshots.values())
