"""Fitting a conversation into the context window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from inference.contract import ChatMessage
from inference.errors import PromptTooLong

Messages = Sequence[ChatMessage]

REPLY_TOKENS = 1024
# With more characters for each token that fits, it is all but sure that the oldest turns are left out.
_MOST_CHARACTERS = 8


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids ready for the model, and how many of the oldest messages had to be left out.

    The last `num_prefix_tokens` ids are the beginning of the reply, which people have seen already.
    """

    ids: list[int]
    num_dropped_messages: int = 0
    num_prefix_tokens: int = 0

    @property
    def num_prompt_tokens(self) -> int:
        return len(self.ids) - self.num_prefix_tokens


class ChatPrompter(Protocol):
    """Counts and builds prompts for one model."""

    @property
    def context_length(self) -> int: ...

    @property
    def max_prompt_tokens(self) -> int:
        """The longest prompt an engine takes: the window less room for a reply."""

    def count(self, messages: Messages) -> int:
        """The exact number of prompt tokens of these messages, chat template included."""

    def build(
        self, messages: Messages, enable_thinking: bool | None = None, max_prompt_tokens: int | None = None
    ) -> Prompt:
        """Drop the oldest turns until the rest fits; raise PromptTooLong when the newest turn alone does not."""


def prompt_limit(context_length: int) -> int:
    return context_length - min(REPLY_TOKENS, context_length // 4)


def fit(messages: Messages, limit: int, encode: Callable[[Messages], list[int]]) -> Prompt:
    """The longest tail of whole turns, system messages kept, whose prompt has at most `limit` tokens.

    Of a conversation that is far longer, only the end is encoded: if not all of that fits, nothing before it does.
    """
    num_system = next((i for i, message in enumerate(messages) if message.role != "system"), len(messages))
    starts = [i for i in range(num_system + 1, len(messages)) if messages[i].role == "user"]
    near = _near(messages, starts, _MOST_CHARACTERS * limit)
    if near:
        end = [*messages[:num_system], *messages[near:]]
        prompt = _fit(end, num_system, [start - near + num_system for start in starts if start > near], limit, encode)
        if prompt.num_dropped_messages:
            return replace(prompt, num_dropped_messages=prompt.num_dropped_messages + near - num_system)
    return _fit(messages, num_system, starts, limit, encode)


def _near(messages: Messages, starts: list[int], most_characters: int) -> int:
    """Where the last turns begin that together are about so long; 0 when there is no more than that."""
    num_characters, end = 0, len(messages)
    for start in reversed(starts):
        num_characters += sum(len(message.content) for message in messages[start:end])
        if num_characters > most_characters:
            return start
        end = start
    return 0


def _fit(
    messages: Messages, num_system: int, starts: list[int], limit: int, encode: Callable[[Messages], list[int]]
) -> Prompt:
    ids = encode(messages)
    if len(ids) <= limit:
        return Prompt(ids)

    def tail(start: int) -> list[int]:
        return encode([*messages[:num_system], *messages[start:]])

    best = tail(starts[-1]) if starts else ids
    if len(best) > limit:
        raise PromptTooLong(len(best), limit)
    # The count falls with every dropped turn, so the first start that fits is found by halving.
    low, high = 0, len(starts) - 1
    while low < high:
        middle = (low + high) // 2
        shorter = tail(starts[middle])
        if len(shorter) <= limit:
            best, high = shorter, middle
        else:
            low = middle + 1
    return Prompt(best, starts[high] - num_system)
