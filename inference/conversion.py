"""A GGUF file made once into a directory that loads fast: bf16 safetensors, tokenizer, configuration."""

from __future__ import annotations

import json
import re
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from inference.errors import ModelError
from inference.gguf_file import Floats, GgufFile, GgufTensor
from inference.weights import Progress, write_json

ARCHITECTURES = {"qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
_TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_IN_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CONTROL, _USER_DEFINED, _UNUSED = 3, 4, 5
_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"


def convert(gguf_path: Path, into: Path, progress: Progress) -> None:
    """Write everything a ready model directory needs into the existing directory `into`."""
    gguf = GgufFile(gguf_path)
    try:
        _convert(gguf, into, progress)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise ModelError(f"{gguf_path.name} is damaged: what it says of its model makes no sense.") from error


def _convert(gguf: GgufFile, into: Path, progress: Progress) -> None:
    architecture = gguf.fields.get("general.architecture")
    if architecture not in ARCHITECTURES:
        raise ModelError(f"{gguf.path.name} holds a {architecture} model, which is not supported.")
    if gguf.fields.get("split.count", 1) > 1:
        raise ModelError(f"{gguf.path.name} is one part of a split model; join the parts first.")
    tensors = {_hf_name(tensor.name, gguf.path): tensor for tensor in gguf.tensors}
    is_tied = _HEAD not in tensors or _is_same(gguf, tensors[_EMBEDDING], tensors[_HEAD])
    if is_tied and _HEAD in tensors:
        # Both hold the same matrix, and the output one is quantised less.
        tensors[_EMBEDDING] = max(tensors[_EMBEDDING], tensors.pop(_HEAD), key=lambda tensor: tensor.num_bytes)
    write_json(into / "config.json", _config(gguf, tensors, is_tied))
    write_json(into / "generation_config.json", _generation_config(gguf))
    _write_tokenizer(gguf, into)
    _write_safetensors(gguf, tensors, into / "model.safetensors", progress)


def _hf_name(name: str, path: Path) -> str:
    if layer := re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name):
        number, part, kind = layer.groups()
        if part in _IN_LAYER:
            return f"model.layers.{number}.{_IN_LAYER[part]}.{kind}"
    part, _, kind = name.rpartition(".")
    if part not in _TOP:
        raise ModelError(f"{path.name} has a tensor {name} that is not known.")
    return f"{_TOP[part]}.{kind}"


def _is_same(gguf: GgufFile, embedding: GgufTensor, head: GgufTensor) -> bool:
    """Whether two matrices are one, apart from how they are quantised."""
    if embedding.shape != head.shape:
        return False
    a, b = next(gguf.pieces(embedding)).ravel(), next(gguf.pieces(head)).ravel()
    cosine = float(a @ b) / (float(np.linalg.norm(a)) * float(np.linalg.norm(b)) + 1e-12)
    return cosine > 0.98


def _config(gguf: GgufFile, tensors: dict[str, GgufTensor], is_tied: bool) -> dict[str, Any]:
    architecture = gguf.fields["general.architecture"]

    def field(key: str, default: Any = None) -> Any:
        value = gguf.fields.get(f"{architecture}.{key}", default)
        if value is None:
            raise ModelError(f"{gguf.path.name} does not say its {key}.")
        return value

    if any(key.startswith(f"{architecture}.rope.scaling.") for key in gguf.fields):
        raise ModelError(f"{gguf.path.name} scales its positions in a way that is not supported.")
    hidden_size, num_heads = field("embedding_length"), field("attention.head_count")
    return {
        "architectures": [ARCHITECTURES[architecture]],
        "model_type": architecture,
        "vocab_size": tensors[_EMBEDDING].shape[0],
        "hidden_size": hidden_size,
        "intermediate_size": field("feed_forward_length"),
        "num_hidden_layers": field("block_count"),
        "num_attention_heads": num_heads,
        "num_key_value_heads": field("attention.head_count_kv"),
        "head_dim": field("attention.key_length", hidden_size // num_heads),
        "max_position_embeddings": field("context_length"),
        "rms_norm_eps": float(f"{field('attention.layer_norm_rms_epsilon'):.6g}"),
        "rope_theta": field("rope.freq_base"),
        "hidden_act": "silu",
        "attention_dropout": 0.0,
        "tie_word_embeddings": is_tied,
        "torch_dtype": "bfloat16",
        "bos_token_id": gguf.fields.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": gguf.fields.get("tokenizer.ggml.eos_token_id"),
    }


def _generation_config(gguf: GgufFile) -> dict[str, Any]:
    names = {name: i for i, name in enumerate(gguf.fields["tokenizer.ggml.tokens"])}
    ends = [names[name] for name in ("<|im_end|>", "<|endoftext|>") if name in names]
    return {
        "eos_token_id": ends or gguf.fields.get("tokenizer.ggml.eos_token_id"),
        "pad_token_id": gguf.fields.get("tokenizer.ggml.padding_token_id"),
        "do_sample": True,
        "temperature": 0.7,
        "top_p": 0.8,
        "top_k": 20,
    }


def _write_tokenizer(gguf: GgufFile, into: Path) -> None:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    fields = gguf.fields
    if (fields.get("tokenizer.ggml.model"), fields.get("tokenizer.ggml.pre")) != ("gpt2", "qwen2"):
        raise ModelError(f"{gguf.path.name} has a tokenizer that is not supported.")
    names, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    plain = {name: i for i, (name, type_) in enumerate(zip(names, types, strict=True)) if type_ not in (3, 4, 5)}
    merges = [(left, right) for left, right in (merge.split(" ") for merge in fields.get("tokenizer.ggml.merges", []))]
    if not all({left, right, left + right} <= plain.keys() for left, right in merges):
        raise ModelError(f"{gguf.path.name} has a tokenizer that does not fit together.")
    tokenizer = Tokenizer(models.BPE(plain, merges))
    tokenizer.normalizer = normalizers.NFC()
    words = pre_tokenizers.Split(Regex(_WORDS), "isolated")
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, letters])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    for name, type_ in zip(names, types, strict=True):
        # Added one by one, since special and other tokens share one row of ids.
        if type_ in (_CONTROL, _USER_DEFINED):
            tokenizer.add_tokens([AddedToken(name, special=type_ == _CONTROL, normalized=False)])
    wrong = next(
        (name for i, name in enumerate(names) if types[i] != _UNUSED and tokenizer.token_to_id(name) != i), None
    )
    if wrong is not None:
        raise ModelError(f"{gguf.path.name} has a token {wrong!r} that does not fit its tokenizer.")
    tokenizer.save(str(into / "tokenizer.json"))
    special = {key: fields.get(f"tokenizer.ggml.{key}_token_id") for key in ("eos", "padding")}
    write_json(
        into / "tokenizer_config.json",
        {
            "tokenizer_class": "Qwen2Tokenizer",
            "model_max_length": fields.get(f"{fields['general.architecture']}.context_length"),
            "eos_token": None if special["eos"] is None else names[special["eos"]],
            "pad_token": None if special["padding"] is None else names[special["padding"]],
            "add_bos_token": False,
            "clean_up_tokenization_spaces": False,
        },
    )
    if template := fields.get("tokenizer.chat_template"):
        (into / "chat_template.jinja").write_text(template, encoding="utf-8")
    else:
        raise ModelError(f"{gguf.path.name} has no chat template.")


def _write_safetensors(gguf: GgufFile, tensors: dict[str, GgufTensor], path: Path, progress: Progress) -> None:
    """Write all tensors as bf16, holding only some rows of one in memory."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    total = 0
    for name, tensor in tensors.items():
        end = total + 2 * prod(tensor.shape)
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [total, end]}
        total = end
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    done = 0
    with path.open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for tensor in tensors.values():
            for piece in gguf.pieces(tensor):
                done += file.write(_bf16(piece))
                progress("convert", done, total)


def _bf16(values: Floats) -> bytes:
    """Round to the nearest bf16, ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()
