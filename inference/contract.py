"""What may be asked of an engine and what it answers; nothing here needs torch, Django or Valkey."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "cancelled", "error"]
ErrorCode = Literal["prompt_too_long", "deadline", "shutdown", "out_of_memory", "engine"]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the next token is chosen.

    `temperature` 0 is greedy. `top_k` 0, `top_p` 1 and `min_p` 0 switch that filter off.
    `max_tokens` None means as many as the context window leaves. `seed` None lets the engine draw one; it is reported.
    Nonsense raises ValueError here, so that nothing downstream has to check again.
    """

    temperature: float = 0.7
    top_p: float = 0.8
    top_k: int = 20
    min_p: float = 0.0
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= 2:
            raise ValueError("temperature must be between 0 and 2")
        if not 0 < self.top_p <= 1:
            raise ValueError("top_p must be above 0 and at most 1")
        if self.top_k < 0:
            raise ValueError("top_k must be 0 (off) or more")
        if not 0 <= self.min_p <= 1:
            raise ValueError("min_p must be between 0 and 1")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ValueError("max_tokens must be at least 1")
        if len(self.stop) > 16 or not all(self.stop):
            raise ValueError("stop takes at most 16 strings, none of them empty")
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise ValueError("seed must be between 0 and 2^63 - 1")


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One reply to be made. `deadline_s` counts from submission; `enable_thinking` None is the template's default."""

    id: str
    messages: tuple[ChatMessage, ...]
    sampling: SamplingParams = SamplingParams()
    enable_thinking: bool | None = None
    deadline_s: float | None = None


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


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """`completion_tokens` includes `reasoning_tokens`; `prompt_tokens` includes `cached_tokens`."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds by the engine's monotonic clock: waiting, computing the prompt, making tokens; device seconds."""

    queue_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0
    device_s: float = 0.0


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


class Run(Protocol):
    """One submitted request."""

    def __iter__(self) -> Iterator[Event]:
        """Events in order, ending with the one Finished; to be iterated once, from one thread."""

    def cancel(self) -> None:
        """End the run within one step; safe from any thread, at any time, any number of times."""


class Engine(Protocol):
    @property
    def info(self) -> EngineInfo: ...

    def submit(self, request: GenerationRequest) -> Run:
        """Never blocks and never raises for a bad request: that ends as Finished('error')."""

    def is_healthy(self) -> bool:
        """Whether the loop that makes tokens moved lately; read by the heartbeat, so a stuck device counts as dead."""

    def shutdown(self) -> None:
        """End all runs (Finished 'error', code 'shutdown') and release the device."""
