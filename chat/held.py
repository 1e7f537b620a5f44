"""A reply that a model looks at before anybody reads it: all of it stays back until it is whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from chat import model_check
from chat.refused import Refused
from inference.contract import Event, Failure, Finished, Prefix, ReasoningDelta, TextDelta

FLAGGED = Failure("bad_request", "This reply does not pass the check of this server, so it is not shown.")
UNCHECKED = Failure("overloaded", "This reply could not be checked, so it is not shown.", is_retryable=True)


class Held:
    """The events of a run with all its words at the end, or none of them; `before` is what was shown already.

    `categories` says for what the model flagged them, None when it did not.
    """

    def __init__(self, events: Iterable[Event], before: Prefix) -> None:
        self.categories: list[str] | None = None
        self._events = events
        self._before = before
        self._deltas: list[TextDelta | ReasoningDelta] = []

    def __iter__(self) -> Iterator[Event]:
        for event in self._events:
            if isinstance(event, TextDelta | ReasoningDelta):
                self._deltas.append(event)
            elif isinstance(event, Finished):
                yield from self._end(event)
            else:
                yield event

    def _end(self, finished: Finished) -> Iterator[Event]:
        """What was stopped or cut short is looked at as far as it is; an end of its own stays what it was."""
        failure = self._failure() if self._deltas else None
        if failure is None:
            yield from self._joined()
        is_well = failure is None or finished.failure
        yield finished if is_well else replace(finished, reason="error", failure=failure)

    def _failure(self) -> Failure | None:
        """Why the words cannot be shown; the model reads them with those that they go on from."""
        reasoning, text = (
            "".join(delta.text for delta in self._deltas if isinstance(delta, kind))
            for kind in (ReasoningDelta, TextDelta)
        )
        try:
            self.categories = model_check.flagged(
                f"{self._before.reasoning}{reasoning}\n\n{self._before.text}{text}".strip()
            )
        except Refused:
            return UNCHECKED
        return None if self.categories is None else FLAGGED

    def _joined(self) -> Iterator[Event]:
        for _, deltas in groupby(self._deltas, type):
            *earlier, last = deltas
            yield replace(last, text="".join(delta.text for delta in [*earlier, last]))
