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
from inference.linear import Format, Linear, MixedLinear, Scratch, linear
from inference.low_rank import Adapters, Arrange
from inference.mixture import Mixture

Feed = Callable[[torch.Tensor], torch.Tensor]

_FEED_BLOCK = 64
"""Numbers between the two products of a feed-forward part that are mixed at every step; more cost more."""


class Norm:
    """Root mean square normalisation (Zhang & Sennrich 2019); without a weight where that is in the next product."""

    def __init__(self, width: int, weight: torch.Tensor | None, eps: float) -> None:
        self._shape, self._weight, self._eps = (width,), weight, eps

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(rows, self._shape, self._weight, self._eps)


class FeedForward:
    """The gated feed-forward part (Shazeer 2020, "SwiGLU"); gate and up are one product."""

    def __init__(self, gate_up: Linear, down: Linear) -> None:
        self._gate_up, self._down = gate_up, down

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        gate, up = self._gate_up(rows).chunk(2, -1)
        return self._down(functional.silu(gate).mul_(up))


@dataclass(slots=True)
class Layer:
    norm: Norm
    queries_keys_values: Linear
    query_norm: Norm | None
    key_norm: Norm | None
    output: Linear
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
        adapters: Sequence[Adapter] = (),
    ) -> None:
        self._checkpoint, self._about = checkpoint, about
        self._device, self._format = device, format_
        self._scratch = Scratch()
        self.dtype = torch.float32 if format_ in ("row8", "fp32") else torch.bfloat16
        self.basis = Basis(about.hidden_size) if format_ == "row8" else None
        self.adapters = Adapters(adapters, device, self.dtype)

    def embedding(self) -> torch.Tensor:
        return self._checkpoint.get("model.embed_tokens.weight").to(self._device)

    def head(self) -> Linear:
        name = "model.embed_tokens" if self._about.is_tied else "lm_head"
        return self._linear(self._read_reading([name], "model.norm"))

    def norm(self, name: str) -> Norm:
        """A norm of the rows between layers."""
        width = self._about.hidden_size
        return Norm(width, None if self.basis else self._weight_of(name), self._about.norm_eps)

    def layer(self, number: int) -> Layer:
        name = f"model.layers.{number}"
        attention, before, between = f"{name}.self_attn", f"{name}.input_layernorm", f"{name}.post_attention_layernorm"
        is_sparse = self._about.is_sparse(number)
        return Layer(
            norm=self.norm(before),
            queries_keys_values=self._read_queries_keys_values(attention, before),
            query_norm=self._read_head_norm(f"{attention}.q_norm"),
            key_norm=self._read_head_norm(f"{attention}.k_norm"),
            output=self._read_output(f"{attention}.o_proj"),
            feed_norm=self.norm(between),
            feed=(self._read_mixture if is_sparse else self._read_feed)(f"{name}.mlp", between),
        )

    def _read_queries_keys_values(self, name: str, norm: str) -> Linear:
        weights, biases = {}, []
        arranged = {f"{name}.q_proj": self._paired, f"{name}.k_proj": self._paired, f"{name}.v_proj": self._spread}
        for module, arrange in arranged.items():
            weights[module] = arrange(self._read_reading([module], norm))
            bias = self._checkpoint.find(f"{module}.bias")
            if bias is not None:
                biases.append(arrange(bias))
        joined = self._linear(torch.cat(list(weights.values())), torch.cat(biases) if biases else None)
        widths = {module: len(weight) for module, weight in weights.items()}
        return self.adapters.adapt(joined, widths, arranged, self._reading(norm))

    def _read_output(self, name: str) -> Linear:
        """The product that follows attention; it takes values as `_spread` leaves them."""
        return self._read_writing(name, largest_block(self._about.head_dim, 128))

    def _read_feed(self, name: str, norm: str) -> FeedForward:
        modules = [f"{name}.{part}_proj" for part in ("gate", "up")]
        weight = self._read_reading(modules, norm)
        widths = dict.fromkeys(modules, len(weight) // 2)
        gate_up = self.adapters.adapt(self._linear(weight), widths, entering=self._reading(norm))
        block = largest_block(self._about.intermediate_size, _FEED_BLOCK)
        down = self._read_writing(f"{name}.down_proj", block)
        return FeedForward(gate_up, MixedLinear(down, block) if self.basis else down)

    def _read_writing(self, name: str, block: int) -> Linear:
        """A product whose outputs are added to the rows between layers; in row8 its inputs are mixed in blocks."""
        weight, bias = self._checkpoint.get(f"{name}.weight"), self._checkpoint.find(f"{name}.bias")
        basis = self.basis
        if basis is None:
            return self.adapters.adapt(self._linear(weight, bias), {name: len(weight)})
        bias = None if bias is None else basis.writing(bias)
        product = self._linear(mixed(basis.writing(weight), block), bias)
        return self.adapters.adapt(product, {name: len(weight)}, {name: basis.writing}, lambda down: mixed(down, block))

    def _reading(self, norm: str) -> Arrange | None:
        """What is done to the weights of a product that takes rows behind a norm."""
        basis = self.basis
        if basis is None:
            return None
        weight = self._checkpoint.get(f"{norm}.weight")
        return lambda reading: basis.reading(reading, weight)

    def _read_mixture(self, name: str, norm: str) -> Mixture:
        experts = [self._read_feed(f"{name}.experts.{i}", norm) for i in range(self._about.num_experts)]
        router = self._read_reading([f"{name}.gate"], norm).to(self._device, self.dtype)
        is_normed = self._about.config.get("norm_topk_prob", False)
        return Mixture(router, experts, self._about.num_experts_per_token, is_normed=is_normed)

    def _read_head_norm(self, name: str) -> Norm | None:
        if f"{name}.weight" not in self._checkpoint:
            return None
        return Norm(self._about.head_dim, self._paired(self._weight_of(name)), self._about.norm_eps)

    def _read_reading(self, names: Sequence[str], norm: str) -> torch.Tensor:
        """The weights, put together, of products that take rows behind a norm."""
        weight = self._checkpoint.join(f"{name}.weight" for name in names)
        reading = self._reading(norm)
        return reading(weight) if reading else weight

    def _weight_of(self, name: str) -> torch.Tensor:
        return self._checkpoint.get(f"{name}.weight").to(self._device, self.dtype)

    def _linear(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> Linear:
        bias = bias.to(self._device) if bias is not None else None
        return linear(weight.to(self._device), bias, self._format, self._scratch)

    def _paired(self, weight: torch.Tensor) -> torch.Tensor:
        """Put the numbers of a head that turn together side by side: complex multiplication turns them then.

        Checkpoints have the first of all pairs, then the second of all. Products of queries and keys stay the same.
        """
        about = self._about
        half = about.rotary_dim // 2
        order = torch.stack([torch.arange(half), torch.arange(half) + half], 1).flatten()
        order = torch.cat([order, torch.arange(about.rotary_dim, about.head_dim)])
        return weight.view(-1, about.head_dim, *weight.shape[1:])[:, order].reshape(weight.shape)

    def _spread(self, values: torch.Tensor) -> torch.Tensor:
        """In row8, values in another basis too: attention only adds them up, and the next product turns them back."""
        if not self.basis:
            return values
        return mixed(values.float().t(), largest_block(self._about.head_dim, 128)).t().contiguous()
