"""Numbers in another orthonormal basis, in which none stands out: what makes int8 activations as good as bf16.

A row whose greatest number is thirty times its usual one leaves few of int8's 255 steps to the others. Turned by an
orthonormal matrix, that number is spread over all of them, and the product with weights turned likewise is the same
(Ashkboos et al. 2024, "QuaRot"). Wherever rows are only added and multiplied the turn is in the weights, at no cost.
"""

from __future__ import annotations

from functools import cache

import torch
from torch.nn import functional

_BLOCK = 128
_LEAST_BLOCKS = 64
_SEED = 7


@cache
def hadamard(size: int) -> torch.Tensor:
    """The orthonormal matrix [size, size] of equal magnitudes, for a power of two."""
    matrix = torch.ones(1, 1)
    while len(matrix) < size:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    scaled: torch.Tensor = matrix / size**0.5
    return scaled.contiguous()


def largest_block(width: int, most: int) -> int:
    """The largest power of two up to `most` that divides `width`."""
    block = 1
    while block < most and width % (2 * block) == 0:
        block *= 2
    return block


def mixed(rows: torch.Tensor, block: int) -> torch.Tensor:
    """Rows [..., width] with each block of numbers mixed among itself; mixing twice gives the rows again."""
    blocks = rows.reshape(-1, block)
    num_blocks = len(blocks)
    if num_blocks < _LEAST_BLOCKS:
        # A product of few rows takes another kernel, which rounds differently.
        blocks = functional.pad(blocks, (0, 0, 0, _LEAST_BLOCKS - num_blocks))
    found: torch.Tensor = blocks @ hadamard(block)
    return found[:num_blocks].view(rows.shape)


class Basis:
    """A basis for rows of `width` numbers: blocks are mixed within, then among each other."""

    def __init__(self, width: int) -> None:
        self._block = largest_block(width, _BLOCK)
        num_blocks = width // self._block
        random = torch.randn(
            num_blocks, num_blocks, generator=torch.Generator().manual_seed(_SEED), dtype=torch.float64
        )
        self._among = torch.linalg.qr(random)[0].float().contiguous()

    def of(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows [..., width] of the old basis in this one."""
        if rows.numel() == len(self._among) * self._block:
            # So would a row alone.
            return self.of(torch.stack([rows, rows]))[0]
        within = mixed(rows.float(), self._block).view(-1, len(self._among), self._block)
        turned: torch.Tensor = self._among @ within
        return turned.view(rows.shape)

    def reading(self, weight: torch.Tensor, norm: torch.Tensor) -> torch.Tensor:
        """A weight [out, width] whose input comes in this basis, normalised without the norm's own weight [width]."""
        return self.of(weight.float() * norm.float())

    def writing(self, weight: torch.Tensor) -> torch.Tensor:
        """A weight [width, in], or bias [width], whose output goes into this basis."""
        return self.of(weight.float().t()).t().contiguous() if weight.dim() == 2 else self.of(weight)
