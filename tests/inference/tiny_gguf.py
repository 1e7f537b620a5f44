"""The tiny model as a GGUF file, as other programs write it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFWriter
from safetensors.torch import load_file

from inference.conversion import _IN_LAYER, _TOP


def write_gguf(model_dir: Path, path: Path, architecture: str = "qwen3", **more: Any) -> Path:
    """Write model and tokenizer of `model_dir`; `more` are fields set last."""
    config = json.loads((model_dir / "config.json").read_text())
    writer = GGUFWriter(path, architecture)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(10000.0)
    _add_tokenizer(writer, model_dir, config["vocab_size"])
    for key, value in more.items():
        writer.add_uint32(key.replace("__", "."), value)
    for name, tensor in load_file(model_dir / "model.safetensors").items():
        writer.add_tensor(_gguf_name(name), tensor.float().numpy().astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: GGUFWriter, model_dir: Path, vocab_size: int) -> None:
    tokenizer = json.loads((model_dir / "tokenizer.json").read_text())
    named = {i: (name, 1) for name, i in tokenizer["model"]["vocab"].items()}
    named |= {token["id"]: (token["content"], 3 if token["special"] else 4) for token in tokenizer["added_tokens"]}
    rows = [named.get(i, (f"[PAD{i}]", 5)) for i in range(vocab_size)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([name for name, _ in rows])
    writer.add_token_types([kind for _, kind in rows])
    writer.add_eos_token_id(258)
    writer.add_chat_template(json.loads((model_dir / "tokenizer_config.json").read_text())["chat_template"])


def _gguf_name(name: str) -> str:
    body, _, kind = name.rpartition(".")
    tops = {hf: gguf for gguf, hf in _TOP.items()}
    if body in tops:
        return f"{tops[body]}.{kind}"
    parts = {hf: gguf for gguf, hf in _IN_LAYER.items()}
    _, _, number, part = body.split(".", 3)
    return f"blk.{number}.{parts[part]}.{kind}"
