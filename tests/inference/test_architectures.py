"""The own forward pass computes what transformers computes, for every kind of model that it knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from inference.errors import ModelError
from inference.memory import Wishes
from inference.model_runner import ModelRunner
from inference.weights import check, safetensors_header
from tests.inference.tiny_models import (
    DELTA_SIZES,
    EXPERTS,
    SHARED,
    SIZES,
    Reply,
    assert_close,
    logits_by_transformers,
    make,
    prefill,
    save,
    some_ids,
    step,
)

_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}
_YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 256}
_VISION = {
    "depth": 1,
    "hidden_size": 16,
    "num_heads": 2,
    "intermediate_size": 16,
    "out_hidden_size": 32,
    "num_position_embeddings": 16,
}
_HYBRID = {**SIZES, **DELTA_SIZES}

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2 with biases": ("Qwen2ForCausalLM", SIZES),
    "qwen2 with one key head, tied": (
        "Qwen2ForCausalLM",
        {**SIZES, "num_key_value_heads": 1, "tie_word_embeddings": True},
    ),
    "qwen3": ("Qwen3ForCausalLM", SIZES),
    "qwen3 with yarn": ("Qwen3ForCausalLM", {**SIZES, "rope_parameters": _YARN}),
    "qwen3 with attention biases": ("Qwen3ForCausalLM", {**SIZES, "attention_bias": True}),
    "qwen3-moe": ("Qwen3MoeForCausalLM", {**SIZES, **EXPERTS, "norm_topk_prob": True}),
    "qwen3-moe, not normed, some layers dense": (
        "Qwen3MoeForCausalLM",
        {**SIZES, **EXPERTS, "norm_topk_prob": False, "mlp_only_layers": [1]},
    ),
    "qwen2-moe": ("Qwen2MoeForCausalLM", {**SIZES, **EXPERTS, **SHARED, "head_dim": 8}),
    "llama": ("LlamaForCausalLM", SIZES),
    "llama 3 with scaled rotation and biases": (
        "LlamaForCausalLM",
        {**SIZES, "rope_parameters": _LLAMA3, "mlp_bias": True, "attention_bias": True},
    ),
    "llama with linear scaling": (
        "LlamaForCausalLM",
        {**SIZES, "rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}},
    ),
    "mistral": ("MistralForCausalLM", {**SIZES, "sliding_window": None}),
    "qwen3.5": ("Qwen3_5ForCausalLM", _HYBRID),
    "qwen3.5 with yarn": (
        "Qwen3_5ForCausalLM",
        {**_HYBRID, "rope_parameters": {**_YARN, "partial_rotary_factor": 0.5}},
    ),
    "qwen3.5-moe": ("Qwen3_5MoeForCausalLM", {**_HYBRID, **EXPERTS, **SHARED}),
    "qwen3-next": ("Qwen3NextForCausalLM", {**_HYBRID, **EXPERTS, **SHARED}),
    "qwen3.5 that sees": ("Qwen3_5ForConditionalGeneration", {"text_config": _HYBRID, "vision_config": _VISION}),
    "qwen3.5-moe that sees": (
        "Qwen3_5MoeForConditionalGeneration",
        {"text_config": {**_HYBRID, **EXPERTS, **SHARED}, "vision_config": _VISION},
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_logits_equal_those_of_transformers(name: str, tmp_path: Path) -> None:
    class_name, config = MODELS[name]
    model = make(class_name, **config)
    ids = some_ids(290)
    theirs = logits_by_transformers(model, ids)
    runner = ModelRunner(save(model, tmp_path), "cpu", Wishes(format="fp32", num_slots=2))
    reply = Reply(runner, ids)
    assert_close(prefill(runner, reply, 70)[0], theirs[69])
    assert_close(prefill(runner, reply, 280)[0], theirs[279])
    ours = torch.cat([step(runner, [(reply, 1)]) for _ in range(10)])
    assert_close(ours, theirs[280:])


@pytest.mark.parametrize("class_name", ["Qwen3MoeForCausalLM", "Qwen3_5MoeForCausalLM"])
@pytest.mark.parametrize("format_", ["fp32", "row8"])
def test_experts_are_read_stacked_and_one_by_one(class_name: str, format_: Any, tmp_path: Path) -> None:
    sizes = {**SIZES, **EXPERTS} if class_name.startswith("Qwen3Moe") else {**_HYBRID, **EXPERTS, **SHARED}
    model = make(class_name, **sizes)
    ids = some_ids(40)
    found = []
    for layout, is_original in (("one", True), ("stacked", False)):
        model_dir = save(model, tmp_path / layout, save_original_format=is_original)
        runner = ModelRunner(model_dir, "cpu", Wishes(format=format_, num_slots=1))
        found.append(prefill(runner, Reply(runner, ids), 40))
    names = [tensor_names(tmp_path / layout) for layout in ("one", "stacked")]
    assert any("experts.0." in name for name in names[0]) and not any("experts.0." in name for name in names[1])
    torch.testing.assert_close(found[0], found[1])


def tensor_names(model_dir: Path) -> list[str]:
    return [name for path in model_dir.glob("*.safetensors") for name in safetensors_header(path)]


def test_int8_stays_near_float32_in_a_hybrid(tmp_path: Path) -> None:
    model = make("Qwen3_5ForCausalLM", **{**_HYBRID, "hidden_size": 128, "initializer_range": 0.1})
    ids = some_ids(100)
    theirs = logits_by_transformers(model, ids)[-1]
    runner = ModelRunner(save(model, tmp_path), "cpu", Wishes(format="row8", num_slots=1))
    ours = prefill(runner, Reply(runner, ids), 100)[0]
    assert torch.corrcoef(torch.stack([ours, theirs]))[0, 1] > 0.99


def test_bfloat16_stays_near_float32_in_a_hybrid(tmp_path: Path) -> None:
    model = make("Qwen3_5ForCausalLM", **{**_HYBRID, "hidden_size": 128, "initializer_range": 0.1})
    ids = some_ids(100)
    theirs = logits_by_transformers(model, ids)[-1]
    runner = ModelRunner(save(model, tmp_path), "cpu", Wishes(format="bf16", num_slots=1))
    reply = Reply(runner, ids)
    prefill(runner, reply, 99)
    assert torch.corrcoef(torch.stack([step(runner, [(reply, 1)])[0], theirs]))[0, 1] > 0.99


@pytest.mark.parametrize("part", ["linear_attn.out_proj", "self_attn.q_proj", "mlp.shared_expert.up_proj", "mlp.gate"])
def test_a_hybrid_that_lacks_a_tensor_in_one_layer_is_refused(part: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    config = {**_HYBRID, **EXPERTS, **SHARED, "num_hidden_layers": 8}
    model_dir = save(make("Qwen3_5MoeForCausalLM", **config), tmp_path)
    check(model_dir)
    path = model_dir / "model.safetensors"
    tensors = load_file(path)
    lost = next(name for name in sorted(tensors, reverse=True) if part in name)
    del tensors[lost]
    save_file(tensors, path)
    with pytest.raises(ModelError, match=r"model\.safetensors is not complete"):
        check(model_dir)
