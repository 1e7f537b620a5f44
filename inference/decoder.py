"""The forward pass of a decoder-only transformer, for the tokens of many replies at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional

from inference.adapters import Adapter
from inference.architecture import Architecture
from inference.attention import Attention
from inference.checkpoint import Checkpoint
from inference.delta_net import DeltaNet
from inference.delta_rule import DeltaRule
from inference.layers import LayerReader, Norm, SelfAttention
from inference.linear import Format
from inference.prepared import Prepared


@dataclass(frozen=True, slots=True)
class Inputs:
    """The M tokens of a step, span after span: what they are, where they stand, where the cache keeps them, and the
    rows whose logits are wanted."""

    ids: torch.Tensor
    positions: torch.Tensor
    slots: torch.Tensor
    wanted: torch.Tensor


class Decoder:
    """A model on one device."""

    def __init__(
        self,
        model_dir: Path,
        device: torch.device,
        format_: Format,
        num_positions: int,
        adapters: Sequence[Adapter] = (),
    ) -> None:
        self.architecture = Architecture.of(model_dir)
        self.device, self.format = device, format_
        self._turns = self.architecture.rotation(num_positions).to(device)
        with Checkpoint(model_dir) as checkpoint, Prepared(model_dir) as prepared:
            reader = LayerReader(checkpoint, self.architecture, device, format_, prepared, adapters)
            self.adapters = reader.adapters
            self.dtype, self._basis = reader.dtype, reader.basis
            self._embedding = reader.embedding()
            self._norm: Norm = reader.norm("model.norm")
            # The head takes as long to pack as a third of all layers, and by one thread.
            with ThreadPoolExecutor(1, initializer=_without_gradients) as another:
                head = another.submit(reader.head)
                self._layers = [reader.layer(number) for number in range(self.architecture.num_layers)]
            self._head = head.result()

    def forward(
        self, inputs: Inputs, keys_values: torch.Tensor, attention: Attention, rule: DeltaRule | None = None
    ) -> torch.Tensor:
        """Put the step's keys and values into the cache; return the logits [wanted, vocabulary] in float32.

        `keys_values` has the layers with attention; hybrids need a `rule` for the others.
        """
        rows = functional.embedding(inputs.ids, self._embedding).to(self.dtype)
        if self._basis:
            rows = self._basis.of(rows)
        turns = self._turns[inputs.positions, None]
        caches = iter(keys_values)
        for layer in self._layers:
            normed = layer.norm(rows)
            if isinstance(layer.mix, DeltaNet):
                assert rule
                rows = rows.add_(layer.mix(normed, rule))
            else:
                rows = rows.add_(self._attend(layer.mix, normed, turns, inputs.slots, next(caches), attention))
            if layer is self._layers[-1] and len(inputs.wanted) < len(rows):
                self._check(rows)
                rows = rows[inputs.wanted]
                if not len(rows):
                    return rows.new_empty(0, self.architecture.vocab_size, dtype=torch.float32)
                self.adapters.narrow(inputs.wanted)
            rows = rows.add_(layer.feed(layer.feed_norm(rows)))
        self._check(rows)
        return self._head(self._norm(rows)).float()

    def _attend(
        self,
        layer: SelfAttention,
        rows: torch.Tensor,
        turns: torch.Tensor,
        slots: torch.Tensor,
        cache: torch.Tensor,
        attention: Attention,
    ) -> torch.Tensor:
        about = self.architecture
        num_turned = about.num_heads + about.num_kv_heads
        heads = layer.queries_keys_values(rows).view(len(rows), -1, about.head_dim)
        gates, heads = heads[:, : about.num_gates], heads[:, about.num_gates :]
        queries = heads[:, : about.num_heads]
        if layer.query_norm and layer.key_norm:
            queries.copy_(layer.query_norm(queries))
            keys = heads[:, about.num_heads : num_turned]
            keys.copy_(layer.key_norm(keys))
        _turn(heads[:, :num_turned, : about.rotary_dim], turns)
        keys_values = heads[:, about.num_heads :].to(cache.dtype).view(len(rows), *cache.shape[1:])
        cache.index_copy_(0, slots, keys_values)
        found = attention(queries, cache).to(self.dtype)
        return layer.output(found.mul_(gates.flatten(1).sigmoid()) if about.num_gates else found)

    def _check(self, rows: torch.Tensor) -> None:
        """In row8 a row that is no number would spoil the others', so that the step must not count."""
        if self.format == "row8" and not torch.isfinite(rows.sum()):
            raise FloatingPointError("a row holds what is not a number")


def _without_gradients() -> None:
    torch.inference_mode().__enter__()  # for all that this thread does; the mode is each thread's own


def _pairs(heads: torch.Tensor) -> torch.Tensor:
    return heads.view(*heads.shape[:-1], heads.shape[-1] // 2, 2)


def _turn(heads: torch.Tensor, turns: torch.Tensor) -> None:
    """Turn pairs of neighbouring numbers [M, heads, dim] in place by complex numbers [M, 1, dim / 2]."""
    if heads.dtype == torch.float32:
        torch.view_as_complex(_pairs(heads)).mul_(turns)
    else:
        turned = torch.view_as_complex(_pairs(heads.float())) * turns
        heads.copy_(torch.view_as_real(turned).flatten(-2))
