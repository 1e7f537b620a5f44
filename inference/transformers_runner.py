"""Models that the own forward pass does not know, by that of transformers: right for all, but one reply at a time."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from inference.attention import Span
from inference.errors import ModelError
from inference.kv_cache import Extent, Pages
from inference.memory import Plan, Wishes, make_plan, plain_format
from inference.model_runner import open_device
from inference.weights import check, context_length, read_json

_NUM_SLOTS = 4
"""More at a time would only make each slower."""
_CACHES = ("past_key_values", "cache_params", "state")
"""What models call what they keep between tokens."""


class TransformersRunner:
    """A model of transformers on one device; used by one thread."""

    adapters: tuple[str, ...] = ()
    states = None
    num_spare_rows = 0

    def __init__(self, model_dir: Path, device: str, wishes: Wishes) -> None:
        check(model_dir)
        self.device = open_device(device)
        self.refused = ("Adapters are not supported beside this model.",) if wishes.adapters else ()
        config = _config(model_dir)
        self.plan = _plan(config, model_dir, self.device, wishes)
        self._model = _load(model_dir, self.plan, self.device)
        takes = inspect.signature(self._model.forward).parameters
        names = [name for name in _CACHES if name in takes]
        if not names:
            raise ModelError(f"config.json says model_type {config.model_type!r}, which can't write token by token.")
        self._cache_name = names[0]
        self._options = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
        self._takes_mask = "attention_mask" in takes
        self.vocab_size = int(config.get_text_config().vocab_size)
        self.memory = SequenceMemory(self.plan.pages)
        self._warm_up()

    @torch.inference_mode()
    def forward(self, tokens: Sequence[Sequence[int]], spans: Sequence[Span], wanted: Sequence[int]) -> torch.Tensor:
        """Compute the tokens of each span; the logits [rows, vocabulary] after the last token where one is wanted."""
        logits = [self._advance(list(ids), span) for ids, span in zip(tokens, spans, strict=True)]
        chosen = [row for row, is_wanted in zip(logits, wanted, strict=True) if is_wanted]
        return torch.cat(chosen) if chosen else torch.empty(0, self.vocab_size)

    @torch.inference_mode()
    def score(self, tokens: Sequence[int]) -> torch.Tensor:
        """The logits [tokens, vocabulary] after each token of a text."""
        logits: torch.Tensor = self._model(torch.tensor([tokens], device=self.device)).logits[0]
        return logits.float()

    def _advance(self, ids: list[int], span: Span) -> torch.Tensor:
        sequence = self.memory.sequence(span.offset)
        if sequence.logits is not None and sequence.last == (span.start, ids):
            # Another reply broke the step, and this one had its turn before.
            return sequence.logits.clone()
        sequence.cut(span.start)
        pieces = [[token] for token in ids] if span.start and not sequence.takes_many else [ids]
        sequence.is_whole = False
        for piece in pieces:
            logits = self._compute(piece, sequence)
        sequence.is_whole, sequence.last, sequence.logits = True, (span.start, ids), logits
        return logits.clone()

    def _compute(self, ids: list[int], sequence: _Sequence) -> torch.Tensor:
        inputs: dict[str, Any] = {self._cache_name: sequence.cache} if sequence.cache is not None else {}
        if self._takes_mask:
            inputs["attention_mask"] = torch.ones(1, sequence.length + len(ids), dtype=torch.long, device=self.device)
        output = self._model(torch.tensor([ids], device=self.device), use_cache=True, **inputs, **self._options)
        sequence.cache = output[self._cache_name]
        sequence.length += len(ids)
        last: torch.Tensor = output.logits[:, -1]
        return last.float()

    def _warm_up(self) -> None:
        """The first forward reads the weights from disk, and finds out whether there is one."""
        extent = self.memory.allocate(1)
        assert extent
        try:
            self.forward([[0, 0]], [Span(extent.offset, 0, 2)], [True])
            self.forward([[0]], [Span(extent.offset, 2, 1)], [True])
        except Exception as error:
            raise ModelError("The model can't be run by transformers as its config.json describes it.") from error
        self.memory.release(extent)


@dataclass
class _Sequence:
    """What transformers keeps of the first `length` tokens of a reply, in a form that it chooses itself."""

    cache: Any = None
    length: int = 0
    is_whole: bool = True
    """Not in the middle of a step, or left there by an error."""
    last: tuple[int, list[int]] = (0, [])
    """Where the last step began, and its tokens."""
    logits: torch.Tensor | None = None

    @property
    def takes_many(self) -> bool:
        """Whether the cache is of attention alone: a recurrent state is only sure to go on token by token."""
        return all(
            isinstance(layer, DynamicLayer) and not isinstance(layer, LinearAttentionCacheLayerMixin)
            for layer in self._layers
        )

    @property
    def can_be_cut(self) -> bool:
        return self.takes_many and not any(layer.is_sliding for layer in self._layers)

    @property
    def _layers(self) -> list[Any]:
        return getattr(self.cache, "layers", None) or [None]

    def cut(self, num_tokens: int) -> None:
        """Keep the first tokens only; RuntimeError where that can't be done."""
        if num_tokens == 0:
            self.cache = None
        elif self.can_be_cut:
            for layer in self._layers:
                layer.crop(min(0, num_tokens - layer.get_seq_length()))
        elif num_tokens != self.length or not self.is_whole:
            raise RuntimeError("what was computed of this reply can't be used again")
        if num_tokens != self.length:
            self.logits = None
        self.length = num_tokens


class SequenceMemory(Pages):
    """Pages that count only: what is computed of a reply stands in its cache, found by where its extent begins."""

    def __init__(self, pages: int) -> None:
        super().__init__(pages)
        self._sequences: dict[int, _Sequence] = {}

    def sequence(self, offset: int) -> _Sequence:
        return self._sequences.setdefault(offset, _Sequence())

    def release(self, extent: Extent, *, is_tainted: bool = False) -> None:
        self._sequences.pop(extent.offset, None)
        super().release(extent)

    def reusable(self, extent: Extent, num_tokens: int) -> int:
        sequence = self.sequence(extent.offset)
        return num_tokens if sequence.can_be_cut or num_tokens == sequence.length else 0

    @torch.inference_mode()
    def copy(self, source: Extent, target: Extent, num_tokens: int) -> None:
        copied = copy.deepcopy(self.sequence(source.offset))
        copied.cut(num_tokens)
        self._sequences[target.offset] = copied


@dataclass(frozen=True)
class _Sizes:
    """A guess from above: keys and values of all heads in all layers, as most models have them."""

    config: Any
    longest_attention: int | None = field(default=None, init=False)

    def kv_bytes_per_token(self, dtype: torch.dtype) -> int:
        config = self.config.get_text_config()
        num_heads = config.num_attention_heads
        num_kv_heads = getattr(config, "num_key_value_heads", None) or num_heads
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // num_heads
        return int(config.num_hidden_layers * 2 * num_kv_heads * head_dim * dtype.itemsize)

    def state_bytes(self, dtype: torch.dtype) -> int:
        return 0


def _config(model_dir: Path) -> Any:
    model_type = read_json(model_dir / "config.json").get("model_type")
    try:
        config = AutoConfig.from_pretrained(model_dir, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise ModelError(f"config.json says model_type {model_type!r}, which is not supported.") from error
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ModelError(f"config.json says model_type {model_type!r}, which does not write text.")
    return config


def _plan(config: Any, model_dir: Path, device: torch.device, wishes: Wishes) -> Plan:
    format_ = wishes.format or plain_format(device)
    if format_ not in ("bf16", "fp32"):
        raise ModelError(f"QWENWEB_FORMAT is {format_!r}; {config.model_type} models can be bf16 or fp32.")
    wishes = replace(wishes, format=format_, num_slots=wishes.num_slots or _NUM_SLOTS)
    return make_plan(_Sizes(config), model_dir, device, context_length(model_dir), wishes)


def _load(model_dir: Path, plan: Plan, device: torch.device) -> Any:
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            model_dir,
            dtype=torch.bfloat16 if plan.format == "bf16" else torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:
        raise ModelError(f"The weights in {model_dir.name} do not fit their config.json.") from error
    model, info = loaded
    if lacking := sorted(info["missing_keys"]):
        raise ModelError(f"The weights in {model_dir.name} do not fit their config.json: {lacking[0]} is not there.")
    return model.eval().to(device)
