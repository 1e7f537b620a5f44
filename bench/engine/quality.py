"""How far the engine's choice of the next token is from bf16's, teacher forced on English, code and Chinese."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from bench.engine import places
from bench.engine.workload import TEXTS

Score = Callable[[list[int]], torch.Tensor]
"""Token ids to the scores of all tokens after each of them: [ids, vocabulary]."""

NUM_TOKENS = 2400
WINDOW_TOKENS = 600
MOST_KL, LEAST_TOP1 = 0.02, 0.95
_DOCUMENTS = ("docs/users.md", "docs/reply-stream.md", "docs/engine.md", "docs/contributors.md", "README.md")


@dataclass(frozen=True)
class Closeness:
    """Of `num_tokens` predictions: the mean divergence in nats, and the share with the same first choice."""

    kl: float
    top1: float
    num_tokens: int

    def __str__(self) -> str:
        verdict = "passed" if self.kl <= MOST_KL and self.top1 >= LEAST_TOP1 else "not passed"
        return f"KL {self.kl:.4f}, same first choice {self.top1:.4f}, {self.num_tokens} tokens: {verdict}"


def texts() -> dict[str, str]:
    """Prose and code of this repository, and a text of its own for Chinese."""
    return {
        "en": "\n\n".join((places.ROOT / name).read_text(encoding="utf-8") for name in _DOCUMENTS),
        "code": "\n\n".join(
            path.read_text(encoding="utf-8") for path in sorted((places.ROOT / "chat/models").glob("*.py"))
        ),
        "zh": (TEXTS / "zh.txt").read_text(encoding="utf-8"),
    }


def qualities(model_dir: Path, score: Score) -> Iterator[tuple[str, Closeness]]:
    reference = bf16(model_dir)
    tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
    for name, text in texts().items():
        ids = tokenizer.encode(text, add_special_tokens=False).ids[:NUM_TOKENS]
        windows = (ids[start : start + WINDOW_TOKENS] for start in range(0, len(ids), WINDOW_TOKENS))
        yield name, closeness((reference(window), score(window)) for window in windows)


def closeness(pairs: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> Closeness:
    """Compare scores with scores, window by window, the first being the reference."""
    divergence, same, num_tokens = 0.0, 0, 0
    for reference, scores in pairs:
        expected, found = reference.float().log_softmax(-1), scores.float().log_softmax(-1)
        divergence += float((expected.exp() * (expected - found)).sum())
        same += int((expected.argmax(-1) == found.argmax(-1)).sum())
        num_tokens += len(expected)
    return Closeness(divergence / num_tokens, same / num_tokens, num_tokens)


def bf16(model_dir: Path) -> Score:
    """The model as transformers computes it in bf16.

    Only the last matrix is float32: in bf16 the best scores are often equal, and which of them comes first is chance.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    library: Any = logging
    library.disable_progress_bar()
    loader: Any = AutoModelForCausalLM
    model = loader.from_pretrained(model_dir, dtype=torch.bfloat16).eval()
    head: torch.Tensor = model.lm_head.weight.float()

    def score(ids: list[int]) -> torch.Tensor:
        with torch.inference_mode():
            hidden: torch.Tensor = model.model(torch.tensor([ids])).last_hidden_state[0]
            return hidden.float() @ head.T

    return score
