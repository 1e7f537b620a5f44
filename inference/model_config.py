"""What a config.json says of the model that reads and writes text; nothing here needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FULL, DELTA = "full_attention", "linear_attention"
_HYBRIDS = ("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text")


def text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part about text where a model also sees, else all of it."""
    text = config.get("text_config")
    if not isinstance(text, dict):
        return config
    # The head belongs to the whole model, which says so itself.
    tied = {key: config[key] for key in ("tie_word_embeddings",) if key in config}
    return {**text, "model_type": text.get("model_type", f"{config.get('model_type')}_text"), **tied}


def text_name(tensor: str) -> str:
    """A tensor's name as models have it that do nothing but text."""
    return tensor.replace("model.language_model.", "model.", 1)


def is_read(tensor: str) -> bool:
    """Whether a tensor is of the part about text; others see pictures, or guess tokens ahead."""
    return not tensor.startswith(("model.visual.", "mtp."))


def layer_types(config: Mapping[str, Any]) -> list[str]:
    """What each layer looks back with: attention, or the state of a delta net."""
    num = config.get("num_hidden_layers", 0)
    step = config.get("full_attention_interval", 4) if config.get("model_type") in _HYBRIDS else 1
    named = config.get("layer_types") or [FULL if (i + 1) % step == 0 else DELTA for i in range(num)]
    return [DELTA if kind == DELTA else FULL for kind in [*named, *[FULL] * num][:num]]


def is_sparse(config: Mapping[str, Any], layer: int) -> bool:
    """Whether a layer has experts in place of one feed-forward part."""
    num = config.get("num_experts") or config.get("num_local_experts")
    is_dense = layer in (config.get("mlp_only_layers") or ())
    return bool(num) and not is_dense and (layer + 1) % config.get("decoder_sparse_step", 1) == 0
