"""Asking an engine and reading what it answered."""

from __future__ import annotations

from inference.contract import ChatMessage, Event, Finished, GenerationRequest, ReasoningDelta, TextDelta


def ask(text: str = "hello", **settings: object) -> GenerationRequest:
    return GenerationRequest("r", (ChatMessage("user", text),), **settings)  # type: ignore[arg-type]


def answer(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def reasoning(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, ReasoningDelta))


def end(events: list[Event]) -> Finished:
    assert isinstance(events[-1], Finished)
    assert sum(isinstance(event, Finished) for event in events) == 1
    return events[-1]
