"""The forward pass of a decoder-only transformer, for the tokens of many replies at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional

from inference.adapters import Adapter
from inference.architecture import Architecture
from inference.attention import Attention
from inference.checkpoint import Checkpoint
from inference.linear import Format, Linear, Scratch, linear
from inference.low_rank import Adapters
from inference.mixture import Mixture

Feed = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Inputs:
    """The M tokens of a step, span after span: what they are, where they stand, where the cache keeps them, and the
    rows whose logits are wanted."""

    ids: torch.Tensor
    positions: torch.Tensor
    slots: torch.Tensor
    wanted: torch.Tensor


class Norm:
    """Root mean square normalisation (Zhang & Sennrich 2019)."""

    def __init__(self, weight: torch.Tensor, eps: float) -> None:
        self._weight, self._eps = weight, eps

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(rows, self._weight.shape, self._weight, self._eps)


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


class Decoder:
    """A model on one device. Activations are fp32 for row8 and fp32 weights, else bf16."""

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
        self.dtype = torch.float32 if format_ in ("row8", "fp32") else torch.bfloat16
        self._scratch = Scratch()
        self.adapters = Adapters(adapters, device, self.dtype)
        self._rotation = self.architecture.rotation(num_positions).to(device)
        with Checkpoint(model_dir) as checkpoint:
            self._read(checkpoint)

    def forward(self, inputs: Inputs, keys_values: torch.Tensor, attention: Attention) -> torch.Tensor:
        """Put the step's keys and values into the cache; return the logits [wanted, vocabulary] in float32."""
        rows = functional.embedding(inputs.ids, self._embedding).to(self.dtype)
        rotation = self._rotation[inputs.positions, None]
        for layer, cache in zip(self._layers, keys_values, strict=True):
            rows = rows.add_(self._attend(layer, layer.norm(rows), rotation, inputs.slots, cache, attention))
            if layer is self._layers[-1] and len(inputs.wanted) < len(rows):
                self._check(rows)
                rows = rows[inputs.wanted]
                self.adapters.narrow(inputs.wanted)
            rows = rows.add_(layer.feed(layer.feed_norm(rows)))
        self._check(rows)
        return self._head(self._norm(rows)).float()

    def _check(self, rows: torch.Tensor) -> None:
        """In row8 a row that is no number would spoil the others', so that the step must not count."""
        if self.format == "row8" and not torch.isfinite(rows.sum()):
            raise FloatingPointError("a row holds what is not a number")

    def _attend(
        self,
        layer: Layer,
        rows: torch.Tensor,
        rotation: torch.Tensor,
        slots: torch.Tensor,
        cache: torch.Tensor,
        attention: Attention,
    ) -> torch.Tensor:
        about = self.architecture
        num_turned = about.num_heads + about.num_kv_heads
        heads = layer.queries_keys_values(rows).view(len(rows), num_turned + about.num_kv_heads, about.head_dim)
        queries = heads[:, : about.num_heads]
        if layer.query_norm and layer.key_norm:
            queries.copy_(layer.query_norm(queries))
            keys = heads[:, about.num_heads : num_turned]
            keys.copy_(layer.key_norm(keys))
        _turn(heads[:, :num_turned, : about.rotary_dim], rotation)
        keys_values = heads[:, about.num_heads :].to(cache.dtype).view(len(rows), *cache.shape[1:])
        cache.index_copy_(0, slots, keys_values)
        return layer.output(attention(queries, cache).to(self.dtype))

    def _read(self, checkpoint: Checkpoint) -> None:
        about = self.architecture
        self._embedding = checkpoint.get("model.embed_tokens.weight").to(self.device)
        if self._embedding.shape[0] < about.vocab_size:
            about_to = self._embedding.shape[0]
            raise ValueError(f"the embedding has {about_to} rows for a vocabulary of {about.vocab_size}")
        head = self._embedding if about.is_tied else checkpoint.get("lm_head.weight").to(self.device)
        self._head = self._linear(head, None)
        self._norm = self._read_norm(checkpoint, "model.norm")
        self._layers = [self._read_layer(checkpoint, number) for number in range(about.num_layers)]

    def _read_layer(self, checkpoint: Checkpoint, number: int) -> Layer:
        name = f"model.layers.{number}"
        about, attention = self.architecture, f"{name}.self_attn"
        has_norms = f"{attention}.q_norm.weight" in checkpoint
        return Layer(
            norm=self._read_norm(checkpoint, f"{name}.input_layernorm"),
            queries_keys_values=self._read_queries_keys_values(checkpoint, attention),
            query_norm=self._read_norm(checkpoint, f"{attention}.q_norm", is_turned=True) if has_norms else None,
            key_norm=self._read_norm(checkpoint, f"{attention}.k_norm", is_turned=True) if has_norms else None,
            output=self._read_linear(checkpoint, f"{attention}.o_proj"),
            feed_norm=self._read_norm(checkpoint, f"{name}.post_attention_layernorm"),
            feed=self._read_mixture(checkpoint, f"{name}.mlp")
            if about.is_sparse(number)
            else self._read_feed(checkpoint, f"{name}.mlp"),
        )

    def _read_queries_keys_values(self, checkpoint: Checkpoint, name: str) -> Linear:
        weights, biases = {}, []
        turned = {f"{name}.{part}_proj": self._paired for part in "qk"}
        for module in (*turned, f"{name}.v_proj"):
            weight, bias = checkpoint.get(f"{module}.weight"), checkpoint.find(f"{module}.bias")
            weights[module] = self._paired(weight) if module in turned else weight
            if bias is not None:
                biases.append(self._paired(bias) if module in turned else bias)
        joined = self._linear(torch.cat([*weights.values()]), torch.cat(biases) if biases else None)
        return self.adapters.adapt(joined, {module: len(weight) for module, weight in weights.items()}, turned)

    def _paired(self, weight: torch.Tensor) -> torch.Tensor:
        """Put the numbers of a head that turn together side by side: complex multiplication turns them then.

        Checkpoints have the first of all pairs, then the second of all. Products of queries and keys stay the same.
        """
        about = self.architecture
        half = about.rotary_dim // 2
        order = torch.stack([torch.arange(half), torch.arange(half) + half], 1).flatten()
        order = torch.cat([order, torch.arange(about.rotary_dim, about.head_dim)])
        return weight.view(-1, about.head_dim, *weight.shape[1:])[:, order].reshape(weight.shape)

    def _read_feed(self, checkpoint: Checkpoint, name: str) -> FeedForward:
        modules = [f"{name}.{part}_proj" for part in ("gate", "up")]
        weight = checkpoint.join(f"{module}.weight" for module in modules)
        gate_up = self.adapters.adapt(self._linear(weight, None), dict.fromkeys(modules, len(weight) // 2))
        return FeedForward(gate_up, self._read_linear(checkpoint, f"{name}.down_proj"))

    def _read_mixture(self, checkpoint: Checkpoint, name: str) -> Mixture:
        experts = [self._read_feed(checkpoint, f"{name}.experts.{i}") for i in range(self.architecture.num_experts)]
        router = checkpoint.get(f"{name}.gate.weight").to(self.device, self.dtype)
        is_normed = self.architecture.config.get("norm_topk_prob", False)
        return Mixture(router, experts, self.architecture.num_experts_per_token, is_normed=is_normed)

    def _read_norm(self, checkpoint: Checkpoint, name: str, *, is_turned: bool = False) -> Norm:
        weight = checkpoint.get(f"{name}.weight")
        weight = self._paired(weight) if is_turned else weight
        return Norm(weight.to(self.device, self.dtype), self.architecture.norm_eps)

    def _read_linear(self, checkpoint: Checkpoint, name: str) -> Linear:
        weight = checkpoint.get(f"{name}.weight")
        return self.adapters.adapt(self._linear(weight, checkpoint.find(f"{name}.bias")), {name: len(weight)})

    def _linear(self, weight: torch.Tensor, bias: torch.Tensor | None) -> Linear:
        bias = bias.to(self.device) if bias is not None else None
        return linear(weight.to(self.device), bias, self.format, self._scratch)


def _pairs(heads: torch.Tensor) -> torch.Tensor:
    return heads.view(*heads.shape[:-1], heads.shape[-1] // 2, 2)


def _turn(heads: torch.Tensor, rotation: torch.Tensor) -> None:
    """Turn pairs of neighbouring numbers [M, heads, dim] in place by complex numbers [M, 1, dim / 2]."""
    if heads.dtype == torch.float32:
        torch.view_as_complex(_pairs(heads)).mul_(rotation)
    else:
        turned = torch.view_as_complex(_pairs(heads.float())) * rotation
        heads.copy_(torch.view_as_real(turned).flatten(-2))
