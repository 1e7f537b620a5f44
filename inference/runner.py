"""What an engine asks of a model on its device, and which of the two kinds of runner a model gets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch

from inference.architecture import Architecture, NoForward
from inference.attention import Span
from inference.kv_cache import Pages
from inference.memory import Plan, Wishes
from inference.states import StatePool


class Runner(Protocol):
    @property
    def device(self) -> torch.device: ...

    @property
    def plan(self) -> Plan: ...

    @property
    def memory(self) -> Pages: ...

    @property
    def states(self) -> StatePool | None:
        """The states of hybrids, in slots that spans name; None where there are none or the memory has them."""

    @property
    def vocab_size(self) -> int: ...

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names that spans may have as their model."""

    @property
    def refused(self) -> tuple[str, ...]:
        """A sentence for each adapter that is left out."""

    @property
    def num_spare_rows(self) -> int:
        """How many rows beside a lone one cost a step next to nothing, and give the token they would give later."""

    def forward(self, tokens: Sequence[Sequence[int]], spans: Sequence[Span], wanted: Sequence[int]) -> torch.Tensor:
        """Compute the tokens of each span; the logits [rows, vocabulary] after as many last tokens as are wanted."""

    def score(self, tokens: Sequence[int]) -> torch.Tensor:
        """The logits [tokens, vocabulary] after each token of a text, in memory of its own; not beside other work."""


def open_runner(model_dir: Path, device: str, wishes: Wishes) -> Runner:
    """The own forward pass where it knows the model, else that of transformers; ModelError for what neither can run."""
    try:
        Architecture.of(model_dir)
    except NoForward:
        from inference.transformers_runner import TransformersRunner

        return TransformersRunner(model_dir, device, wishes)
    from inference.model_runner import ModelRunner

    return ModelRunner(model_dir, device, wishes)
