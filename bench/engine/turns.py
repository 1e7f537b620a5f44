"""Turn ten of a growing conversation: the time to its first token with what was computed before, and without."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from bench.engine.figures import Reply
from bench.engine.ours import ask, exactly
from bench.engine.workload import Messages, opening, questions
from inference.contract import ChatMessage, Engine, SamplingParams

NUM_CONVERSATIONS = 3
_REPLY_TOKENS = 36


@dataclass(frozen=True)
class TenthTurn:
    with_reuse_ms: float
    without_ms: float
    prompt_tokens: int
    cached_tokens: int

    @property
    def ratio(self) -> float:
        return self.with_reuse_ms / self.without_ms

    def __str__(self) -> str:
        return (
            f"Turn 10, {self.prompt_tokens} tokens of prompt, {self.cached_tokens} of them reused: first token after "
            f"{self.with_reuse_ms:,.0f} ms, without reuse after {self.without_ms:,.0f} ms: {self.ratio:.3f} of it "
            f"(wanted: at most {1 / 9:.3f})."
        )


def tenth_turn(engine: Engine) -> TenthTurn:
    """Medians of three conversations; without reuse is the same prompt with other words at its beginning."""
    with_reuse, without = [], []
    for _ in range(NUM_CONVERSATIONS):
        messages, reply = _talk(engine)
        with_reuse.append(reply)
        without.append(ask(engine, (opening(), *messages[1:]), exactly(1)))
    return TenthTurn(
        median(reply.ttft_ms for reply in with_reuse),
        median(reply.ttft_ms for reply in without),
        with_reuse[0].prompt_tokens,
        with_reuse[0].cached_tokens,
    )


def _talk(engine: Engine) -> tuple[Messages, Reply]:
    """Ten turns; the prompt of the tenth, and its reply."""
    messages: Messages = (opening(),)
    for question in questions():
        prompt = (*messages, ChatMessage("user", question))
        reply = ask(engine, prompt, SamplingParams(temperature=0, max_tokens=_REPLY_TOKENS))
        messages = (*prompt, ChatMessage("assistant", reply.text))
    return prompt, reply
