"""What a model is made of, read from its config.json: the numbers that the own forward pass needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from inference.errors import ModelError
from inference.weights import read_json


class NoForward(ModelError):
    """The own forward pass does not know this model."""


DENSE = ("qwen2", "qwen3", "llama", "mistral")
MIXTURES = ("qwen3_moe",)
_ROTARY_BY_TRANSFORMERS = ("linear", "yarn", "llama3")


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

    @classmethod
    def of(cls, model_dir: Path) -> Architecture:
        """NoForward for a model that the own forward pass does not know."""
        config = read_json(model_dir / "config.json")
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
            rotary_dim=int(head_dim * config.get("partial_rotary_factor", 1.0)),
            norm_eps=config["rms_norm_eps"],
            is_tied=config.get("tie_word_embeddings", False),
            config=config,
            num_experts=config["num_experts"] if is_mixture else 0,
            num_experts_per_token=config["num_experts_per_tok"] if is_mixture else 0,
        )

    @property
    def longest_attention(self) -> int | None:
        """Positions that every layer sees; None when all of them. Longer conversations would need sliding windows."""
        window = self.config.get("sliding_window")
        return window if window and self.config.get("use_sliding_window", True) else None

    def kv_bytes_per_token(self, dtype: torch.dtype) -> int:
        return self.num_layers * 2 * self.num_kv_heads * self.head_dim * dtype.itemsize

    def is_sparse(self, layer: int) -> bool:
        """Whether a layer has experts in place of one feed-forward part."""
        step = self.config.get("decoder_sparse_step", 1)
        return (
            bool(self.num_experts) and layer not in self.config.get("mlp_only_layers", ()) and (layer + 1) % step == 0
        )

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
