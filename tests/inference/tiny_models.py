"""Tiny models with random weights, made by transformers, and a way to step through them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from inference.attention import Span
from inference.kv_cache import CHUNK
from inference.model_runner import ModelRunner
from inference.states import NOTHING
from tests.inference.conftest import write_tokenizer

CONTEXT = 1024
SIZES = {
    "vocab_size": 272,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.3,
    "bos_token_id": None,
    "eos_token_id": 258,
}
DELTA_SIZES = {
    "num_hidden_layers": 4,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 16,
}
EXPERTS = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
SHARED = {"shared_expert_intermediate_size": 24}


def make(name: str, **config: Any) -> Any:
    """The model of a class of transformers, with random weights in every place, norms and biases too."""
    import transformers

    model_class = getattr(transformers, name)
    torch.manual_seed(3)
    model = model_class(model_class.config_class(**config)).float().eval()
    for parameter_name, parameter in model.named_parameters():
        if "norm" in parameter_name or "bias" in parameter_name:
            parameter.data.add_(torch.randn_like(parameter) * 0.2)
        elif "experts" in parameter_name:
            parameter.data.normal_(0, 0.3)
    return model


def make_hybrid(**config: Any) -> Any:
    return make("Qwen3_5ForCausalLM", **{**SIZES, **DELTA_SIZES, "tie_word_embeddings": True, **config})


def save(model: Any, into: Path, **settings: Any) -> Path:
    model.save_pretrained(into, **settings)
    write_tokenizer(into)
    return into


@torch.no_grad()
def logits_by_transformers(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """[tokens, vocabulary]"""
    logits: torch.Tensor = model(torch.tensor([list(ids)]), use_cache=False).logits[0].float()
    return logits


def some_ids(num: int, seed: int = 0) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return [int(token) for token in torch.randint(0, 256, (num,), generator=generator)]


class Reply:
    """One row of tokens that is computed piece by piece, as the scheduler does it."""

    def __init__(self, runner: ModelRunner, ids: Sequence[int]) -> None:
        extent = runner.memory.allocate(-(-len(ids) // CHUNK))
        assert extent
        self.ids, self.extent, self.num_computed = list(ids), extent, 0
        self.state = NOTHING
        self._runner = runner

    def span(self, num_tokens: int) -> Span:
        states = self._runner.states
        target = states.take() if states else 1
        assert target is not None
        return Span(self.extent.offset, self.num_computed, num_tokens, source=self.state, target=target)

    def advance(self, span: Span) -> None:
        self.num_computed = span.end
        if self._runner.states:
            self._runner.states.drop(self.state)
            self.state = span.target

    def release(self) -> None:
        self._runner.memory.release(self.extent)
        if self._runner.states:
            self._runner.states.drop(self.state)


def step(runner: ModelRunner, work: Sequence[tuple[Reply, int]]) -> torch.Tensor:
    """Compute the next so many tokens of each reply in one step; the logits after the last of each."""
    spans = [reply.span(num_tokens) for reply, num_tokens in work]
    tokens = [reply.ids[span.start : span.end] for (reply, _), span in zip(work, spans, strict=True)]
    logits = runner.forward(tokens, spans, [True] * len(work))
    for (reply, _), span in zip(work, spans, strict=True):
        reply.advance(span)
    return logits


def prefill(runner: ModelRunner, reply: Reply, until: int) -> torch.Tensor:
    """Compute a reply's tokens up to a place, in the largest pieces."""
    logits = torch.empty(0)
    while reply.num_computed < until:
        room = CHUNK - reply.num_computed % CHUNK
        logits = step(runner, [(reply, min(room, until - reply.num_computed))])
    return logits


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Equal but for the order of sums in float32."""
    difference = (ours - theirs).abs().max().item()
    assert difference <= 1e-3 * theirs.abs().max().item()
    assert theirs.std() > 0.1
