"""The parts of a decoder's layers, and reading them from a checkpoint in the format that the device computes in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from inference.adapters import Adapter
from inference.architecture import Architecture
from inference.basis import Basis, largest_block, mixed
from inference.checkpoint import Checkpoint
from inference.delta_net import DeltaNet, DeltaWeights
from inference.linear import Format, Linear, MixedLinear, Row8Linear, Scratch, activations, linear
from inference.low_rank import Adapters, Arrange
from inference.mixture import Experts, ListedExperts, Mixture, StackedExperts
from inference.model_config import DELTA
from inference.prepared import Made, Prepared

Feed = Callable[[torch.Tensor], torch.Tensor]

_BLOCK = 64
"""Numbers between two products that are mixed at every step; more cost more."""


class Norm:
    """Root mean square normalisation (Zhang & Sennrich 2019); without a weight where that is in the next product."""

    def __init__(self, width: int, weight: torch.Tensor | None, eps: float) -> None:
        self._shape, self._weight, self._eps = (width,), weight, eps

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        if self._weight is not None and self._weight.dtype != rows.dtype:
            return functional.rms_norm(rows.float(), self._shape, self._weight, self._eps).to(rows.dtype)
        return functional.rms_norm(rows, self._shape, self._weight, self._eps)


class FeedForward:
    """The gated feed-forward part (Shazeer 2020, "SwiGLU"); gate and up are one product."""

    def __init__(self, gate_up: Linear, down: Linear) -> None:
        self._gate_up, self._down = gate_up, down

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        gate, up = self._gate_up(rows).chunk(2, -1)
        return self._down(functional.silu(gate).mul_(up))


@dataclass(slots=True)
class SelfAttention:
    """In hybrids the first product gives a gate for each head, before all else."""

    queries_keys_values: Linear
    query_norm: Norm | None
    key_norm: Norm | None
    output: Linear


@dataclass(slots=True)
class Layer:
    norm: Norm
    mix: SelfAttention | DeltaNet
    feed_norm: Norm
    feed: Feed


class LayerReader:
    """Makes layers of the tensors of a checkpoint. In row8 the rows between layers are in a basis of their own."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        about: Architecture,
        device: torch.device,
        format_: Format,
        prepared: Prepared,
        adapters: Sequence[Adapter] = (),
    ) -> None:
        self._checkpoint, self._about, self._prepared = checkpoint, about, prepared
        self._device, self._format = device, format_
        self._scratch = Scratch()
        self.dtype = activations(format_)
        self.basis = Basis(about.hidden_size) if format_ == "row8" else None
        self.adapters = Adapters(adapters, device, self.dtype)

    def embedding(self) -> torch.Tensor:
        return self._checkpoint.get("model.embed_tokens.weight").to(self._device)

    def head(self) -> Linear:
        name = "model.embed_tokens" if self._about.is_tied else "lm_head"
        return self._linear("head", lambda: (self._read_reading([name], "model.norm"), None))

    def norm(self, name: str) -> Norm:
        """A norm of the rows between layers."""
        width = self._about.hidden_size
        return Norm(width, None if self.basis else self._norm_weight(name), self._about.norm_eps)

    def layer(self, number: int) -> Layer:
        name = f"model.layers.{number}"
        before, between = f"{name}.input_layernorm", f"{name}.post_attention_layernorm"
        is_sparse, is_delta = self._about.is_sparse(number), self._about.layer_types[number] == DELTA
        return Layer(
            norm=self.norm(before),
            mix=self._read_delta_net(number, before) if is_delta else self._read_attention(f"{name}.self_attn", before),
            feed_norm=self.norm(between),
            feed=(self._read_mixture if is_sparse else self._read_feed)(f"{name}.mlp", between),
        )

    def _read_attention(self, name: str, norm: str) -> SelfAttention:
        return SelfAttention(
            queries_keys_values=self._read_queries_keys_values(name, norm),
            query_norm=self._read_head_norm(f"{name}.q_norm"),
            key_norm=self._read_head_norm(f"{name}.k_norm"),
            output=self._read_output(f"{name}.o_proj"),
        )

    def _read_queries_keys_values(self, name: str, norm: str) -> Linear:
        arranged = {f"{name}.q_proj": self._gated, f"{name}.k_proj": self._paired, f"{name}.v_proj": self._spread}

        def make() -> tuple[torch.Tensor, torch.Tensor | None]:
            weights = [arrange(self._read_reading([module], norm)) for module, arrange in arranged.items()]
            found = {module: self._checkpoint.find(f"{module}.bias") for module in arranged}
            biases = [arranged[module](bias) for module, bias in found.items() if bias is not None]
            return torch.cat(weights), torch.cat(biases) if biases else None

        widths = {module: self._checkpoint.num_rows(f"{module}.weight") for module in arranged}
        return self.adapters.adapt(self._linear(f"{name}.qkv", make), widths, arranged, self._reading(norm))

    def _read_output(self, name: str) -> Linear:
        """The product that follows attention; it takes values as `_spread` leaves them."""
        if self._about.is_hybrid:
            return self._read_mixing(name, self._about.num_heads * self._about.head_dim)
        return self._read_writing(name, largest_block(self._about.head_dim, 128))

    def _read_delta_net(self, number: int, norm: str) -> DeltaNet:
        about, reading = self._about, self._reading(norm)
        assert about.delta
        name, place = f"model.layers.{number}.linear_attn", about.layer_types[:number].count(DELTA)
        weights = DeltaWeights(self._checkpoint, name, about.delta)
        entering, gates = (reading(weight) if reading else weight for weight in (weights.inputs, weights.gates))
        output = self._read_mixing(f"{name}.out_proj", about.delta.num_value_heads * about.delta.value_dim)
        rest = {part: tensor.to(self._device) for part, tensor in weights.rest.items()}
        linear = self._linear(f"{name}.entering", lambda: (entering, None))
        return DeltaNet(place, about, linear, gates.to(self._device, self.dtype), output, **rest)

    def _read_feed(self, name: str, norm: str) -> FeedForward:
        modules = [f"{name}.{part}_proj" for part in ("gate", "up")]
        has_bias = f"{modules[0]}.bias" in self._checkpoint

        def make() -> tuple[torch.Tensor, torch.Tensor | None]:
            bias = self._checkpoint.join(f"{module}.bias" for module in modules) if has_bias else None
            return self._read_reading(modules, norm), bias

        width = self._checkpoint.num_rows(f"{modules[0]}.weight")
        gate_up = self.adapters.adapt(
            self._linear(f"{name}.gate_up", make), dict.fromkeys(modules, width), entering=self._reading(norm)
        )
        return FeedForward(gate_up, self._read_mixing(f"{name}.down_proj", width))

    def _read_mixing(self, name: str, width: int) -> Linear:
        """A product whose outputs are added to the rows between layers; in row8 its inputs are mixed as they come."""
        block = largest_block(width, _BLOCK)
        product = self._read_writing(name, block)
        return MixedLinear(product, block) if self.basis else product

    def _read_writing(self, name: str, block: int) -> Linear:
        """A product whose outputs are added to the rows between layers; in row8 its inputs are mixed already."""
        basis = self.basis

        def make() -> tuple[torch.Tensor, torch.Tensor | None]:
            weight, bias = self._checkpoint.get(f"{name}.weight"), self._checkpoint.find(f"{name}.bias")
            if basis is None:
                return weight, bias
            return mixed(basis.writing(weight), block), None if bias is None else basis.writing(bias)

        widths, product = {name: self._checkpoint.num_rows(f"{name}.weight")}, self._linear(name, make)
        if basis is None:
            return self.adapters.adapt(product, widths)
        return self.adapters.adapt(product, widths, {name: basis.writing}, lambda down: mixed(down, block))

    def _reading(self, norm: str) -> Arrange | None:
        """What is done to the weights of a product that takes rows behind a norm."""
        basis = self.basis
        if basis is None:
            return None
        weight = self._norm_weight(norm).cpu()
        return lambda reading: basis.reading(reading, weight)

    def _read_mixture(self, name: str, norm: str) -> Mixture:
        about, shared = self._about, None
        if f"{name}.shared_expert_gate.weight" in self._checkpoint:
            gate = self._read_reading([f"{name}.shared_expert_gate"], norm).to(self._device, self.dtype)
            shared = self._read_feed(f"{name}.shared_expert", norm), gate
        return Mixture(
            self._read_reading([f"{name}.gate"], norm).to(self._device, self.dtype),
            self._read_experts(f"{name}.experts", norm),
            about.num_experts_per_token,
            is_normed=about.config.get("norm_topk_prob", about.is_hybrid),
            shared=shared,
        )

    def _read_experts(self, name: str, norm: str) -> Experts:
        """Checkpoints have the experts stacked, or each under its number."""
        get, join = self._checkpoint.get, self._checkpoint.join
        if f"{name}.gate_up_proj" in self._checkpoint:
            gate_up, down = get(f"{name}.gate_up_proj"), get(f"{name}.down_proj")
        else:
            each = [f"{name}.{number}" for number in range(self._about.num_experts)]
            gate_up = torch.stack([join(f"{one}.{part}_proj.weight" for part in ("gate", "up")) for one in each])
            down = torch.stack([get(f"{one}.down_proj.weight") for one in each])
        if self._format in ("bf16", "fp32"):
            return StackedExperts(gate_up.to(self._device, self.dtype), down.to(self._device, self.dtype))
        return ListedExperts(
            [self._expert(f"{name}.{i}", *pair, norm) for i, pair in enumerate(zip(gate_up, down, strict=True))]
        )

    def _expert(self, name: str, gate_up: torch.Tensor, down: torch.Tensor, norm: str) -> FeedForward:
        basis, reading, block = self.basis, self._reading(norm), largest_block(down.shape[1], _BLOCK)
        if not basis or not reading:
            entering = self._linear(f"{name}.gate_up", lambda: (gate_up, None))
            return FeedForward(entering, self._linear(f"{name}.down", lambda: (down, None)))
        leaving = self._linear(f"{name}.down", lambda: (mixed(basis.writing(down), block), None))
        entering = self._linear(f"{name}.gate_up", lambda: (reading(gate_up), None))
        return FeedForward(entering, MixedLinear(leaving, block))

    def _read_head_norm(self, name: str) -> Norm | None:
        if f"{name}.weight" not in self._checkpoint:
            return None
        return Norm(self._about.head_dim, self._paired(self._norm_weight(name)), self._about.norm_eps)

    def _read_reading(self, names: Sequence[str], norm: str) -> torch.Tensor:
        """The weights, put together, of products that take rows behind a norm."""
        weight = self._checkpoint.join(f"{name}.weight" for name in names)
        reading = self._reading(norm)
        return reading(weight) if reading else weight

    def _norm_weight(self, name: str) -> torch.Tensor:
        weight = self._checkpoint.get(f"{name}.weight").to(self._device)
        # Hybrids keep what differs from 1; the sum has more digits than bf16 keeps.
        return 1 + weight.float() if self._about.is_hybrid else weight.to(self.dtype)

    def _linear(self, name: str, make: Made) -> Linear:
        if self._format == "row8":
            return Row8Linear(self._prepared.get(name, make), self._scratch)
        weight, bias = make()
        bias = bias.to(self._device) if bias is not None else None
        return linear(weight.to(self._device), bias, self._format)

    def _paired(self, weight: torch.Tensor) -> torch.Tensor:
        """Put the numbers of a head that turn together side by side: complex multiplication turns them then.

        Checkpoints have the first of all pairs, then the second of all. Products of queries and keys stay the same.
        """
        about = self._about
        half = about.rotary_dim // 2
        order = torch.stack([torch.arange(half), torch.arange(half) + half], 1).flatten()
        order = torch.cat([order, torch.arange(about.rotary_dim, about.head_dim)])
        return weight.view(-1, about.head_dim, *weight.shape[1:])[:, order].reshape(weight.shape)

    def _gated(self, queries: torch.Tensor) -> torch.Tensor:
        """Queries; in hybrids, where each head has a gate behind its query, all gates before them."""
        if not self._about.is_hybrid:
            return self._paired(queries)
        of_heads = queries.view(self._about.num_heads, 2, self._about.head_dim, *queries.shape[1:])
        return torch.cat([of_heads[:, 1].flatten(0, 1), self._paired(of_heads[:, 0].flatten(0, 1))])

    def _spread(self, values: torch.Tensor) -> torch.Tensor:
        """In row8, values in another basis too: attention only adds them up, and the next product turns them back.

        Where gates weigh what attention found, that would not hold.
        """
        if not self.basis or self._about.is_hybrid:
            return values
        return mixed(values.float().t(), largest_block(self._about.head_dim, 128)).t().contiguous()
