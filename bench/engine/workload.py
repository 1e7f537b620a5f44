"""What is asked: sixteen fixed prompts of about 195 tokens, in English, code and Chinese, and a long conversation."""

from __future__ import annotations

from functools import cache
from itertools import count
from pathlib import Path

from inference.contract import ChatMessage

Messages = tuple[ChatMessage, ...]

TEXTS = Path(__file__).resolve().parent.parent / "texts"
_numbers = count()


@cache
def prompts() -> tuple[str, ...]:
    return tuple(text.strip() for text in (TEXTS / "prompts.txt").read_text(encoding="utf-8").split("\n===\n"))


@cache
def questions() -> tuple[str, ...]:
    """What the person asks in ten turns of one conversation; with replies of 36 tokens it grows to about 1,000."""
    return tuple((TEXTS / "questions.txt").read_text(encoding="utf-8").splitlines())


def fresh(text: str) -> Messages:
    """A conversation that begins as none before it did, so that nothing computed earlier can be used for it."""
    return opening(), ChatMessage("user", text)


def opening() -> ChatMessage:
    # Each digit is a token of its own, so every number is equally long; backwards, as the first digit tells most.
    number = f"{next(_numbers):04}"[::-1]
    text = f"{number} is the number of this conversation. Answer thoroughly, with examples and in full sentences."
    return ChatMessage("system", text)


def burst(num_replies: int) -> list[Messages]:
    """The first `num_replies` prompts, each in a fresh conversation."""
    return [fresh(text) for text in prompts()[:num_replies]]


def long_prompt() -> Messages:
    """A prompt of about 1,000 tokens."""
    return fresh("\n\n".join(prompts()[:6]))
