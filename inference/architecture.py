"""What a model is made of, read from its config.json: the numbers that the own forward pass needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch

from inference.errors import ModelError
from inference.model_config import DELTA, FULL, is_sparse, layer_types, text_part
from inference.weights import read_json


class NoForward(ModelError):
    """The own forward pass does not know this model."""


DENSE = ("qwen2", "qwen3", "qwen3_5_text", "llama", "mistral")
MIXTURES = ("qwen2_moe", "qwen3_moe", "qwen3_next", "qwen3_5_moe_text")
HYBRIDS = ("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text")
_ROTARY_BY_TRANSFORMERS = ("linear", "yarn", "llama3")


@dataclass(frozen=True)
class DeltaSizes:
    """Sizes of the delta-net layers; several value heads in a row share a key head."""

    num_key_heads: int
    num_value_heads: int
    key_dim: int
    value_dim: int
    num_taps: int
    """Tokens that the short convolution sees."""

    @property
    def width(self) -> int:
        """Numbers of a token's queries, keys and values."""
        return 2 * self.num_key_heads * self.key_dim + self.num_value_heads * self.value_dim

    @property
    def state(self) -> tuple[int, int, int]:
        """The shape of a layer's state."""
        return self.num_value_heads, self.key_dim, self.value_dim

    @property
    def inputs(self) -> tuple[int, int]:
        """The shape of the inputs that the convolution looks back at."""
        return self.num_taps - 1, self.width


@dataclass(frozen=True)
class Architecture:
    """Sizes of a decoder-only transformer. `rotary_dim` of each head's `head_dim` numbers turn with the position."""

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    rotary_dim: int
    norm_eps: float
    is_tied: bool
    config: Mapping[str, Any]
    num_experts: int = 0
    num_experts_per_token: int = 0
    delta: DeltaSizes | None = None
    """Of hybrids, in which most layers keep a state in place of keys and values."""

    @classmethod
    def of(cls, model_dir: Path) -> Architecture:
        """NoForward for a model that the own forward pass does not know."""
        config = text_part(read_json(model_dir / "config.json"))
        model_type = config.get("model_type", "")
        if model_type not in (*DENSE, *MIXTURES):
            raise NoForward(f"config.json says model_type {model_type!r}, which has no forward pass here.")
        if config.get("hidden_act", "silu") != "silu":
            raise NoForward(f"config.json says hidden_act {config['hidden_act']!r}, which is not supported.")
        try:
            return cls._from(config, model_type)
        except (KeyError, TypeError, ZeroDivisionError) as error:
            raise ModelError(f"config.json does not say the model's sizes: {error}.") from error

    @classmethod
    def _from(cls, config: Mapping[str, Any], model_type: str) -> Architecture:
        num_heads = config["num_attention_heads"]
        head_dim = config.get("head_dim") or config["hidden_size"] // num_heads
        is_mixture = model_type in MIXTURES
        return cls(
            model_type=model_type,
            vocab_size=config["vocab_size"],
            hidden_size=config["hidden_size"],
            intermediate_size=config["moe_intermediate_size" if is_mixture else "intermediate_size"],
            num_layers=config["num_hidden_layers"],
            num_heads=num_heads,
            num_kv_heads=config.get("num_key_value_heads") or num_heads,
            head_dim=head_dim,
            rotary_dim=int(head_dim * _rotary_share(config, model_type)),
            norm_eps=config["rms_norm_eps"],
            is_tied=config.get("tie_word_embeddings", False),
            config=config,
            num_experts=(config.get("num_experts") or config["num_local_experts"]) if is_mixture else 0,
            num_experts_per_token=config["num_experts_per_tok"] if is_mixture else 0,
            delta=_delta_sizes(config) if model_type in HYBRIDS else None,
        )

    @property
    def longest_attention(self) -> int | None:
        """Positions that every layer sees; None when all of them. Longer conversations would need sliding windows."""
        window = self.config.get("sliding_window")
        return window if window and self.config.get("use_sliding_window", True) else None

    @property
    def layer_types(self) -> list[str]:
        return layer_types(self.config)

    @property
    def num_attention_layers(self) -> int:
        return self.layer_types.count(FULL)

    @property
    def num_delta_layers(self) -> int:
        return self.layer_types.count(DELTA)

    @property
    def is_hybrid(self) -> bool:
        """Whether layers with a state come between those with attention. Then what a head finds is weighed by a gate,
        and the weights of norms are kept as what differs from 1."""
        return self.delta is not None

    @property
    def num_gates(self) -> int:
        return self.num_heads if self.is_hybrid else 0

    def kv_bytes_per_token(self, dtype: torch.dtype) -> int:
        return self.num_attention_layers * 2 * self.num_kv_heads * self.head_dim * dtype.itemsize

    def state_bytes(self, dtype: torch.dtype) -> int:
        """What the states of all delta-net layers after one token take."""
        if self.delta is None:
            return 0
        state, inputs = prod(self.delta.state), prod(self.delta.inputs)
        return self.num_delta_layers * (state * torch.float32.itemsize + inputs * dtype.itemsize)

    def is_sparse(self, layer: int) -> bool:
        return bool(self.num_experts) and is_sparse(self.config, layer)

    def rotation(self, num_positions: int) -> torch.Tensor:
        """Complex numbers [num_positions, rotary_dim / 2] that turn a pair of numbers by its position.

        Su et al. 2021, "RoFormer"; scaled variants as transformers computes them.
        """
        frequencies, factor = self._frequencies()
        angles = torch.outer(torch.arange(num_positions, dtype=torch.float32), frequencies)
        return torch.polar(torch.full_like(angles, factor), angles)

    def _frequencies(self) -> tuple[torch.Tensor, float]:
        rope = self.config.get("rope_parameters") or self.config.get("rope_scaling") or {}
        theta = rope.get("rope_theta") or self.config.get("rope_theta", 10000.0)
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind == "default":
            return 1.0 / theta ** (torch.arange(0, self.rotary_dim, 2, dtype=torch.float32) / self.rotary_dim), 1.0
        if kind not in _ROTARY_BY_TRANSFORMERS:
            raise ModelError(f"config.json says rope_type {kind!r}, which is not supported.")
        from transformers import AutoConfig
        from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

        config = AutoConfig.for_model(**dict(self.config))
        frequencies, factor = ROPE_INIT_FUNCTIONS[kind](config, torch.device("cpu"))
        return frequencies.float(), float(factor)


def _rotary_share(config: Mapping[str, Any], model_type: str) -> float:
    """How much of each head turns with the position."""
    rope = config.get("rope_parameters") or {}
    default = 0.25 if model_type in HYBRIDS else 1.0
    return float(rope.get("partial_rotary_factor") or config.get("partial_rotary_factor") or default)


def _delta_sizes(config: Mapping[str, Any]) -> DeltaSizes:
    return DeltaSizes(
        num_key_heads=config["linear_num_key_heads"],
        num_value_heads=config["linear_num_value_heads"],
        key_dim=config["linear_key_head_dim"],
        value_dim=config["linear_value_head_dim"],
        num_taps=config["linear_conv_kernel_dim"],
    )
