"""What may be asked of an engine and what it answers; nothing here needs torch, Django or Valkey."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "cancelled", "error"]
ErrorCode = Literal["prompt_too_long", "bad_request", "overloaded", "deadline", "shutdown", "out_of_memory", "engine"]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the next token is chosen.

    `temperature` 0 is greedy. `top_k` 0, `top_p` 1 and `min_p` 0 switch that filter off. `repetition_penalty` divides
    the scores of tokens that stand in prompt or reply (1 is off); `presence_penalty` is taken off the score of each
    token that stands in the reply, `frequency_penalty` as often as it stands there; `logit_bias` holds pairs of token
    id and what is added to its score.
    `max_tokens` bounds the whole reply, a prefix included; None means as many as the context window leaves.
    `seed` None lets the engine draw one; it is reported. `stop_ids` end the reply like the model's own end tokens,
    which `ignore_end` makes ordinary ones (for benchmarks).
    Nonsense raises ValueError here, so that nothing downstream has to check again.
    """

    temperature: float = 0.7
    top_p: float = 0.8
    top_k: int = 20
    min_p: float = 0.0
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    stop_ids: tuple[int, ...] = ()
    logit_bias: tuple[tuple[int, float], ...] = ()
    ignore_end: bool = False

    def __post_init__(self) -> None:
        for is_sound, rule in (
            (0 <= self.temperature <= 2, "temperature must be between 0 and 2"),
            (0 < self.top_p <= 1, "top_p must be above 0 and at most 1"),
            (self.top_k >= 0, "top_k must be 0 (off) or more"),
            (0 <= self.min_p <= 1, "min_p must be between 0 and 1"),
            (self.max_tokens is None or self.max_tokens >= 1, "max_tokens must be at least 1"),
            (len(self.stop) <= 16 and all(self.stop), "stop takes at most 16 strings, none of them empty"),
            (self.seed is None or 0 <= self.seed < 2**63, "seed must be between 0 and 2^63 - 1"),
            (0 < self.repetition_penalty <= 10, "repetition_penalty must be above 0 and at most 10"),
            (-2 <= self.presence_penalty <= 2, "presence_penalty must be between -2 and 2"),
            (-2 <= self.frequency_penalty <= 2, "frequency_penalty must be between -2 and 2"),
            (all(-100 <= bias <= 100 for _, bias in self.logit_bias), "logit_bias must be between -100 and 100"),
        ):
            if not is_sound:
                raise ValueError(rule)


@dataclass(frozen=True, slots=True)
class Guide:
    """What the answer must look like: a JSON schema (as JSON text) or a regular expression."""

    kind: Literal["json_schema", "regex"]
    text: str


@dataclass(frozen=True, slots=True)
class Prefix:
    """What of the reply people have seen already; the engine goes on from exactly there. Text closes the reasoning."""

    text: str = ""
    reasoning: str = ""

    def __bool__(self) -> bool:
        return bool(self.text or self.reasoning)


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One reply to be made.

    `deadline_s` counts from submission; `enable_thinking` None is the template's default; after `thinking_budget`
    tokens of reasoning the engine closes it and goes on to the answer. `model` names an adapter of the engine, "" is
    the model itself. Deltas carry only what comes after `prefix`.
    """

    id: str
    messages: tuple[ChatMessage, ...]
    sampling: SamplingParams = SamplingParams()
    enable_thinking: bool | None = None
    deadline_s: float | None = None
    thinking_budget: int | None = None
    prefix: Prefix = Prefix()
    guide: Guide | None = None
    model: str = ""


@dataclass(frozen=True, slots=True)
class Started:
    """The prompt is computed and the first token comes next; at most once, before any delta."""

    prompt_tokens: int
    cached_tokens: int
    num_dropped_messages: int
    """Oldest messages left out because the conversation is longer than the context window."""
    seed: int


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    text: str
    num_tokens: int = field(default=0, compare=False)
    """How many tokens the run has made, those of this delta included."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str
    num_tokens: int = field(default=0, compare=False)
    """As in ReasoningDelta; tokens of the reasoning count too."""


@dataclass(frozen=True, slots=True)
class Usage:
    """`completion_tokens` includes `reasoning_tokens`, not a prefix; `prompt_tokens` includes `cached_tokens`."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds by the engine's monotonic clock: waiting, computing the prompt, making tokens.

    `device_s` is this run's share of the device: a step's time is shared by the tokens each row had in it. `energy_j`
    is shared likewise; None where the device does not tell.
    """

    queue_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0
    device_s: float = 0.0
    energy_j: float | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run ended with `error`; `message` is one sentence for people, without paths, addresses or library words."""

    code: ErrorCode
    message: str
    is_retryable: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """The terminal event: exactly one per run, on every path, and nothing after it."""

    reason: FinishReason
    usage: Usage = Usage()
    timings: Timings = Timings()
    failure: Failure | None = None


Event = Started | ReasoningDelta | TextDelta | Finished


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What a worker shows of its engine."""

    model: str
    revision: str
    device: str
    dtype: str
    context_length: int
    num_slots: int
    """Replies it computes at the same time; more may be submitted and wait inside."""
    has_thinking: bool
    sampling: SamplingParams = SamplingParams()
    """What the model's makers recommend; used where a request asks for nothing else."""
    plan: str = ""
    """How the device is used, in a sentence for the operator: format, memory, how many replies of what length fit."""
    adapters: tuple[str, ...] = ()
    """Models of their own that the engine serves beside the base model."""


@dataclass(frozen=True, slots=True)
class EngineStats:
    """What an engine is doing; counters count from its start, rates and times are of the last minute."""

    num_waiting: int = 0
    num_running: int = 0
    kv_tokens: int = 0
    """Tokens whose keys and values are held, those of finished replies included."""
    kv_capacity_tokens: int = 0
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    """Prompt tokens that were not computed, as their keys and values were there."""
    num_completion_tokens: int = 0
    num_preemptions: int = 0
    busy_s: float = 0.0
    prefill_tokens_per_s: float = 0.0
    decode_tokens_per_s: float = 0.0
    ttft_p50_ms: float = 0.0
    itl_p50_ms: float = 0.0
    step_p50_ms: float = 0.0
    energy_j: float | None = None


class Run(Protocol):
    """One submitted request."""

    @property
    def prompt_tokens(self) -> int:
        """How long its prompt is; known once it is submitted, 0 for a request that was refused."""

    def __iter__(self) -> Iterator[Event]:
        """Events in order, ending with the one Finished; to be iterated once, from one thread."""

    def cancel(self) -> None:
        """End the run within one step; safe from any thread, at any time, any number of times."""

    def answer_now(self) -> None:
        """Close the reasoning and go on to the answer; as safe as cancel, and nothing to a run that does not reason."""


class Engine(Protocol):
    @property
    def info(self) -> EngineInfo: ...

    def submit(self, request: GenerationRequest) -> Run:
        """Never blocks and never raises for a bad request: that ends as Finished('error')."""

    def stats(self) -> EngineStats: ...

    def is_healthy(self) -> bool:
        """Whether the loop that makes tokens moved lately; read by the heartbeat, so a stuck device counts as dead."""

    def shutdown(self) -> None:
        """End all runs (Finished 'error', code 'shutdown') and release the device."""
