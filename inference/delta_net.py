"""A gated delta-net layer: a layer that keeps a state of fixed size in place of keys and values."""

from __future__ import annotations

import torch
from torch.nn import functional

from inference.architecture import Architecture, DeltaSizes
from inference.checkpoint import Checkpoint
from inference.delta_rule import DeltaRule
from inference.linear import Linear, steady


class DeltaWeights:
    """The tensors of one layer, as its products take them."""

    def __init__(self, checkpoint: Checkpoint, name: str, sizes: DeltaSizes) -> None:
        self.inputs, self.gates = _read_inputs(checkpoint, name, sizes)
        self.rest = {
            "taps": checkpoint.get(f"{name}.conv1d.weight").squeeze(1).t().float().contiguous(),
            "norm": checkpoint.get(f"{name}.norm.weight").float(),
            "fading": -checkpoint.get(f"{name}.A_log").float().exp(),
            "offset": checkpoint.get(f"{name}.dt_bias").float(),
        }


class DeltaNet:
    """One layer; `number` counts the layers of this kind. (Qwen3-Next's form)"""

    def __init__(
        self,
        number: int,
        about: Architecture,
        inputs: Linear,
        gates: torch.Tensor,
        output: Linear,
        *,
        taps: torch.Tensor,
        norm: torch.Tensor,
        fading: torch.Tensor,
        offset: torch.Tensor,
    ) -> None:
        assert about.delta
        self._number, self._sizes, self._eps = number, about.delta, about.norm_eps
        self._inputs, self._output = inputs, output
        # Few numbers, on which everything later depends: they are not rounded.
        self._gates = gates
        self._taps, self._norm, self._fading, self._offset = taps, norm, fading, offset

    def __call__(self, rows: torch.Tensor, rule: DeltaRule) -> torch.Tensor:
        """[M, hidden] → [M, hidden]"""
        sizes = self._sizes
        mixed, weights = torch.split(self._inputs(rows), [sizes.width, sizes.num_value_heads * sizes.value_dim], -1)
        rates, fading = steady(rows, self._gates).float().chunk(2, -1)
        decays = self._fading * functional.softplus(fading + self._offset)
        found = rule(self._number, mixed, self._taps, decays, rates.sigmoid())
        normed = functional.rms_norm(found, self._norm.shape, self._norm, self._eps)
        weighed = normed.flatten(1).mul_(functional.silu(weights.float()))
        return self._output(weighed.to(rows.dtype))


def _read_inputs(checkpoint: Checkpoint, name: str, sizes: DeltaSizes) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights that give queries, keys, values and output gates; and those that give rates and decays."""
    joined = checkpoint.find(f"{name}.in_proj_qkvz.weight")
    if joined is None:
        return tuple(  # type: ignore[return-value]
            checkpoint.join(f"{name}.in_proj_{part}.weight" for part in parts) for parts in (("qkv", "z"), ("b", "a"))
        )
    # Qwen3-Next has the parts of each key head side by side.
    shared = sizes.num_value_heads // sizes.num_key_heads
    lengths = [sizes.key_dim, sizes.key_dim, shared * sizes.value_dim, shared * sizes.value_dim]
    gates = checkpoint.get(f"{name}.in_proj_ba.weight")
    return _regroup(joined, sizes.num_key_heads, lengths), _regroup(gates, sizes.num_key_heads, [shared, shared])


def _regroup(weight: torch.Tensor, num_heads: int, lengths: list[int]) -> torch.Tensor:
    parts = torch.split(weight.view(num_heads, sum(lengths), -1), lengths, 1)
    return torch.cat([part.flatten(0, 1) for part in parts])
