"""The model on its device: spans of tokens in, logits out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import torch

from inference.adapters import find
from inference.architecture import Architecture
from inference.attention import Attention, CpuAttention, CudaAttention, Span
from inference.cuda_graphs import DecodeGraphs
from inference.decoder import Decoder, Inputs
from inference.delta_rule import DeltaRule
from inference.errors import ModelError
from inference.kv_cache import CHUNK, KVCache, num_pages
from inference.memory import NO_WISHES, Plan, Wishes, make_plan
from inference.model_config import text_part
from inference.states import NOTHING, WASTE, StatePool
from inference.weights import check, context_length, read_json

Tokens = Sequence[int]

_SPARE_ROWS = 7
"""On CPUs: a product waits for its weights, and some more rows find the time to be computed meanwhile."""


class ModelRunner:
    """Weights, keys and values on one device; used by one thread."""

    def __init__(self, model_dir: Path, device: str, wishes: Wishes = NO_WISHES) -> None:
        check(model_dir)
        self.device = open_device(device)
        about = Architecture.of(model_dir)
        adapters, refused = find(wishes.adapters, model_dir)
        self.adapters, self.refused = tuple(adapter.name for adapter in adapters), tuple(refused)
        num_adapter_weights = sum(adapter.num_weights for adapter in adapters)
        self.plan: Plan = make_plan(
            about, model_dir, self.device, context_length(model_dir), wishes, num_adapter_weights
        )
        try:
            with torch.inference_mode():
                self._decoder = Decoder(model_dir, self.device, self.plan.format, self.plan.context_length, adapters)
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(f"The weights in {model_dir.name} do not fit their config.json.") from error
        self.vocab_size = about.vocab_size
        self.memory = KVCache(
            about.num_attention_layers,
            about.num_kv_heads,
            about.head_dim,
            self.plan.pages,
            self.plan.kv_dtype,
            self.device,
        )
        self.states = self._make_states(about)
        # What a hybrid's state has taken in can't be taken back; in other formats a row depends on its neighbours.
        self.num_spare_rows = _SPARE_ROWS if self.plan.format == "row8" and not self.states else 0
        self._attention = self._make_attention(about)
        self._rule = self._make_rule(about)
        # In 8 bits experts are computed one after another, by what was picked: no graph can replay that.
        is_steady = not about.num_experts or self.plan.format != "fp8"
        can_capture = self.device.type == "cuda" and is_steady
        self._graphs = DecodeGraphs(self._run, self.plan, self.device) if can_capture else None
        self._warm_up()

    @torch.inference_mode()
    def forward(self, tokens: Sequence[Tokens], spans: Sequence[Span], wanted: Sequence[int]) -> torch.Tensor:
        """Compute the tokens of each span; the logits [rows, vocabulary] after as many last tokens as are wanted."""
        if self._graphs and self._graphs.can_replay(spans):
            return self._graphs.replay(tokens, spans)[torch.tensor(wanted, dtype=torch.bool)]
        ends = accumulate(span.num_tokens for span in spans)
        rows = [row for end, num in zip(ends, wanted, strict=True) for row in range(end - num, end)]
        return self._forward(tokens, spans, torch.tensor(rows, dtype=torch.long))

    @torch.inference_mode()
    def score(self, tokens: Tokens) -> torch.Tensor:
        """The logits [tokens, vocabulary] after each token of a text, in memory of its own; not beside other work."""
        extent = self.memory.allocate(num_pages(len(tokens)))
        assert extent, "there is no memory for the text"
        slots = [self.states.take() or WASTE for _ in "ab"] if self.states else [WASTE, WASTE]
        scores, source = [], NOTHING
        for number, start in enumerate(range(0, len(tokens), CHUNK)):
            piece, target = tokens[start : start + CHUNK], slots[number % 2]
            span = Span(extent.offset, start, len(piece), source=source, target=target)
            scores.append(self._forward([piece], [span], torch.arange(len(piece))))
            source = target
        self.memory.release(extent)
        if self.states:
            self.states.drop_all(slots)
        return torch.cat(scores)

    def _forward(self, tokens: Sequence[Tokens], spans: Sequence[Span], wanted: torch.Tensor) -> torch.Tensor:
        places = torch.cat([torch.arange(span.start, span.end) for span in spans])
        offsets = torch.tensor([span.offset for span in spans])
        lengths = torch.tensor([span.num_tokens for span in spans])
        inputs = Inputs(
            ids=torch.tensor([token for span_tokens in tokens for token in span_tokens]).to(self.device),
            positions=places.to(self.device),
            slots=(places + offsets.repeat_interleave(lengths)).to(self.device),
            wanted=wanted.to(self.device),
        )
        self._begin(spans)
        return self._run(inputs)

    def _begin(self, spans: Sequence[Span]) -> None:
        self._attention.begin(spans)
        self._decoder.adapters.begin(spans)
        if self._rule:
            self._rule.begin(spans)

    def _run(self, inputs: Inputs) -> torch.Tensor:
        return self._decoder.forward(inputs, self.memory.keys_values, self._attention, self._rule)

    def _make_states(self, about: Architecture) -> StatePool | None:
        if not about.delta:
            return None
        shape = (about.num_delta_layers, self.plan.num_states)
        return StatePool(about.delta.state, about.delta.inputs, *shape, self._decoder.dtype, self.device)

    def _make_rule(self, about: Architecture) -> DeltaRule | None:
        if not about.delta or not self.states:
            return None
        return DeltaRule(about.delta, self.states, self.plan.num_slots + 1, self.device)

    def _make_attention(self, about: Architecture) -> Attention:
        length = self.plan.context_length
        if self.device.type == "cuda":
            return CudaAttention(length, self.plan.pages, self.plan.num_slots + 1, self.device)
        return CpuAttention(about.num_heads, about.num_kv_heads, about.head_dim, length, self.plan.kv_dtype)

    def _warm_up(self) -> None:
        """The first forward reads the weights from disk; nobody's reply should wait for that."""
        extent = self.memory.allocate(1)
        assert extent
        self.forward([[0, 0]], [Span(extent.offset, 0, 2)], [True])
        if self._graphs:
            # The page stays theirs: rows that fill up a graph write into it.
            self._graphs.capture(self._begin, extent)
        else:
            self.memory.release(extent, is_tainted=True)


def end_tokens(model_dir: Path) -> set[int]:
    """The tokens that end a reply, as its configuration files say."""
    ends: set[int] = set()
    for name in ("config.json", "generation_config.json"):
        if (model_dir / name).exists():
            whole = read_json(model_dir / name)
            for config in (whole, text_part(whole)):
                listed = config.get("eos_token_id")
                ends |= set(listed if isinstance(listed, list) else [listed]) - {None}
    return ends


def num_cpus() -> int:
    """The CPUs this process may use, a container's quota included."""
    available = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return min(available, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        return available


def open_device(name: str) -> torch.device:
    """ModelError for one that is not on this machine; on CPUs torch takes no more threads than there are."""
    kind, _, index = name.partition(":")
    if name == "cpu":
        torch.set_num_threads(max(1, min(torch.get_num_threads(), num_cpus())))
        return torch.device(name)
    if kind == "cuda" and f"{index or 0}".isdigit() and int(index or 0) < torch.cuda.device_count():
        return torch.device(name)
    raise ModelError(f"There is no device {name} on this machine.")
