"""A chat to be read anywhere: the branch that is open, as one Markdown file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from chat.models import Conversation, Message

_FENCE = re.compile(r"(?m)^\s*(`{3,}|~{3,})")


def as_markdown(conversation: Conversation, branch: Sequence[Message]) -> str:
    """Title, time, and each message under a heading that says whose it is; thinking is quoted before the answer."""
    date = conversation.created_at.strftime("%Y-%m-%d %H:%M %Z")
    parts = [f"# {_in_one_line(conversation.title)}", f"*{date}*"]
    for message in branch:
        generation = getattr(message, "generation", None)
        model = f" ({generation.shown_model})" if generation and generation.shown_model else ""
        parts.append(f"## {_('Reply') + model if generation else _('You')}")
        if message.reasoning:
            parts.append(_quoted(message.reasoning))
        parts.append(_closed(message.text))
    return "\n\n".join(parts) + "\n"


def _in_one_line(text: str) -> str:
    return " ".join(text.split())


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in _closed(text).splitlines())


def _closed(text: str) -> str:
    """A text whose last block of code has its end, so that it does not swallow what comes after it."""
    open_fence = ""
    for fence in _FENCE.findall(text):
        if not open_fence:
            open_fence = fence
        elif fence[0] == open_fence[0] and len(fence) >= len(open_fence):
            open_fence = ""
    return f"{text}\n{open_fence}" if open_fence else text
