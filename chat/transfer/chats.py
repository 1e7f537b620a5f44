"""A chat as a file tells it, whoever wrote the file: checked, and in one form for all that can be imported."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from chat.refused import Refused
from chat.text import clean_text

MOST_MESSAGES = 10_000
LONGEST_TEXT = 400_000
MOST_CHARACTERS = 16_000_000
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)


@dataclass
class ImportedMessage:
    """`parent` is a place in the list of messages, before its own; `said` is what the file says of how a reply was
    made, and is not known to be true."""

    parent: int | None
    role: str
    text: str
    created_at: datetime | None = None
    reasoning: str = ""
    status: str = "completed"
    said: dict[str, Any] = field(default_factory=dict)
    feedback: dict[str, Any] = field(default_factory=dict)


@dataclass
class ImportedChat:
    """`leaf` is the place of the message that it opens on; `num_left_out` counts parts that are no text."""

    source: str
    title: str
    created_at: datetime | None = None
    last_active_at: datetime | None = None
    messages: list[ImportedMessage] = field(default_factory=list)
    leaf: int | None = None
    num_left_out: int = 0
    has_manual_title: bool = True
    is_pinned: bool = False
    is_archived: bool = False
    num_characters: int = 0

    def add(self, message: ImportedMessage) -> int:
        """Its place; raises Refused when that is more than a chat can have."""
        for text in (message.text, message.reasoning):
            if len(text) > LONGEST_TEXT:
                words = _("A message of it has {number:,} characters; {most:,} are the most.")
                raise Refused(words.format(number=len(text), most=LONGEST_TEXT))
            self.num_characters += len(text)
        if self.num_characters > MOST_CHARACTERS:
            raise Refused(
                _("All its branches together have more than {most:,} characters.").format(most=MOST_CHARACTERS)
            )
        self.messages.append(message)
        refuse_too_many(len(self.messages))
        return len(self.messages) - 1


def refuse_too_many(number: int) -> None:
    if number > MOST_MESSAGES:
        raise Refused(_("It has more than {most:,} messages.").format(most=MOST_MESSAGES))


def in_order(parents: Mapping[str, str | None]) -> list[str]:
    """Keys in the order given, but each after its parent; raises Refused when they go in circles."""
    order: dict[str, None] = {}
    for key in parents:
        chain: dict[str, None] = {}
        above: str | None = key
        while above is not None and above in parents and above not in order:
            if above in chain:
                raise Refused(_("Its messages go in circles: one of them is below itself."))
            chain[above] = None
            above = parents[above]
        order.update(dict.fromkeys(reversed(chain)))
    return list(order)


def text_in(values: Mapping[str, Any], name: str) -> str:
    """The text there, as it can be stored; empty when there is none."""
    value = values.get(name)
    return clean_text(value) if isinstance(value, str) else ""


def mapping_in(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = values.get(name)
    return value if isinstance(value, dict) else {}


def number_in(values: Mapping[str, Any], name: str, most: float = 1e12) -> float:
    """The number there, or 0 for what is none or can't be one here."""
    value = values.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number and 0 <= value <= most else 0.0  # type: ignore[operator,arg-type]


def time_in(values: Mapping[str, Any], name: str) -> datetime | None:
    """The moment there, in Unix seconds or as ISO 8601; None for one that can't have been."""
    value = values.get(name)
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
        elif isinstance(value, int | float):
            moment = datetime.fromtimestamp(value, tz=UTC)
        else:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC) if EARLIEST <= moment <= timezone.now() else None
    except (ValueError, OverflowError, OSError):
        return None
