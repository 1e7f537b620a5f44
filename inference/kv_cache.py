"""Keys and values of all replies, in one block of memory; each reply has a run of whole pages of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import insort
from dataclasses import dataclass
from math import prod

import numpy as np
import torch

CHUNK = 256
"""A prompt is computed in pieces that end at multiples of so many positions."""
PAGE = CHUNK


@dataclass(slots=True)
class Extent:
    """Neighbouring pages that hold one reply's tokens, from the first on."""

    first_page: int
    num_pages: int

    @property
    def offset(self) -> int:
        return self.first_page * PAGE

    @property
    def capacity(self) -> int:
        return self.num_pages * PAGE


def num_pages(num_tokens: int) -> int:
    return -(-num_tokens // PAGE)


def zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    # numpy's zeros take no memory before they are written; torch's are written at once.
    return torch.from_numpy(np.zeros(prod(shape) * dtype.itemsize, np.uint8)).view(dtype).view(shape)


class Pages(ABC):
    """Who has which of `num_pages` pages; what stands in them is left to the kinds of memory."""

    def __init__(self, pages: int) -> None:
        self.num_pages = pages
        self._free: list[tuple[int, int]] = [(0, pages)]

    @abstractmethod
    def copy(self, source: Extent, target: Extent, num_tokens: int) -> None:
        """Copy the first tokens of one extent into another."""

    @abstractmethod
    def reusable(self, extent: Extent, num_tokens: int) -> int:
        """How many of the first tokens of an extent another reply can take over, `num_tokens` at most."""

    @property
    def capacity(self) -> int:
        """Tokens that fit in all."""
        return self.num_pages * PAGE

    @property
    def num_free_pages(self) -> int:
        return sum(length for _, length in self._free)

    def allocate(self, pages: int) -> Extent | None:
        """The smallest gap that is large enough; None when there is none."""
        fitting = [gap for gap in self._free if gap[1] >= pages]
        if not fitting:
            return None
        first, length = min(fitting, key=lambda gap: gap[1])
        self._free.remove((first, length))
        if length > pages:
            insort(self._free, (first + pages, length - pages))
        return Extent(first, pages)

    def release(self, extent: Extent, *, is_tainted: bool = False) -> None:
        """Give pages back; tainted ones may hold what is not a number."""
        insort(self._free, (extent.first_page, extent.num_pages))
        joined: list[tuple[int, int]] = []
        for first, length in self._free:
            if joined and sum(joined[-1]) == first:
                joined[-1] = (joined[-1][0], joined[-1][1] + length)
            else:
                joined.append((first, length))
        self._free = joined

    def shrink(self, extent: Extent, pages: int) -> None:
        """Give back all pages of an extent but the first `pages`."""
        if pages < extent.num_pages:
            self.release(Extent(extent.first_page + pages, extent.num_pages - pages))
            extent.num_pages = pages

    def extend(self, extent: Extent, pages: int) -> bool:
        """Make an extent `pages` long where the pages behind it are free; whether it is now."""
        missing, behind = pages - extent.num_pages, extent.first_page + extent.num_pages
        for first, length in self._free:
            if first == behind and length >= missing:
                self._free.remove((first, length))
                if length > missing:
                    insort(self._free, (first + missing, length - missing))
                extent.num_pages = pages
                return True
        return False


class KVCache(Pages):
    """Memory for pages: a tensor [layers, tokens, 2, kv heads, head dim].

    It starts as zeros, and must never hold what is not a number: masked keys are read all the same.
    """

    def __init__(
        self, num_layers: int, num_kv_heads: int, head_dim: int, pages: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        super().__init__(pages)
        shape = (num_layers, pages * PAGE, 2, num_kv_heads, head_dim)
        self.keys_values = zeros(shape, dtype, device)

    def release(self, extent: Extent, *, is_tainted: bool = False) -> None:
        if is_tainted:
            self.keys_values[:, extent.offset : extent.offset + extent.capacity] = 0
        super().release(extent)

    def reusable(self, extent: Extent, num_tokens: int) -> int:
        return num_tokens

    def copy(self, source: Extent, target: Extent, num_tokens: int) -> None:
        values = self.keys_values
        values[:, target.offset : target.offset + num_tokens] = values[:, source.offset : source.offset + num_tokens]
