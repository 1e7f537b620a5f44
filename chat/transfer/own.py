"""The form in which a chat leaves and comes back whole: JSON, with a version that grows when a reader must know more.

    {"format": "qwenweb.chat", "version": 1, "title": …, "created_at": …, "last_active_at": …, "active_leaf": id,
     "messages": [{"id": …, "parent": id or null, "role": "user" or "assistant", "text": …, "reasoning": …,
                   "created_at": …, "generation": {…}, "feedback": {…}}]}

Messages stand in the order in which they were written; several with one parent are versions of each other. Times are
ISO 8601 in UTC, durations milliseconds. `generation` is there for replies, `feedback` where somebody judged one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from chat.markdown import title_from
from chat.refused import Refused
from chat.text import clean_text
from chat.transfer.chats import (
    ImportedChat,
    ImportedMessage,
    in_order,
    mapping_in,
    refuse_too_many,
    text_in,
    time_in,
)

if TYPE_CHECKING:
    from chat.models import Conversation, Generation, Message

FORMAT = "qwenweb.chat"
VERSION = 1
SOURCE = "qwenweb"

# What is told of how a reply was made, by the names of the fields.
MADE = (
    *(
        "model",
        "revision",
        "device",
        "dtype",
        "sampling",
        "seed",
        "enable_thinking",
        "thinking_budget",
        "system_prompt",
    ),
    *("prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens", "num_dropped_messages", "attempt"),
    *("queue_ms", "prefill_ms", "decode_ms", "ttft_ms", "reasoning_ms", "finish_reason", "error_text"),
)
LARGEST_SAID = 20_000
OVER = {"completed", "stopped", "failed", "interrupted"}


def written(conversation: Conversation) -> dict[str, Any]:
    """A chat with all its branches, as plain values; what is deleted is not in it."""
    messages = whole_tree(conversation)
    return {
        "format": FORMAT,
        "version": VERSION,
        "title": conversation.title,
        "has_manual_title": conversation.has_manual_title,
        "created_at": conversation.created_at.isoformat(),
        "last_active_at": conversation.last_active_at.isoformat(),
        "is_pinned": conversation.pinned_at is not None,
        "is_archived": conversation.archived_at is not None,
        "active_leaf": str(conversation.active_leaf_id) if conversation.active_leaf_id else None,
        "messages": [_message(message) for message in messages],
    }


def whole_tree(conversation: Conversation) -> list[Message]:
    """All messages but the deleted ones, the oldest first, with all that is told of them."""
    rows = conversation.messages.filter(deleted_at=None).select_related("generation", "feedback")
    return list(rows.defer("html", "reasoning_html").order_by("id"))


def _message(message: Message) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": str(message.id),
        "parent": str(message.parent_id) if message.parent_id else None,
        "role": message.role,
        "text": message.text,
        "created_at": message.created_at.isoformat(),
    }
    if generation := getattr(message, "generation", None):
        told |= {"reasoning": message.reasoning, "generation": _generation(generation)}
    if feedback := getattr(message, "feedback", None):
        told["feedback"] = {"value": feedback.value, "reasons": feedback.reasons, "comment": feedback.comment}
    return told


def _generation(generation: Generation) -> dict[str, Any]:
    told: dict[str, Any] = {"status": generation.status}
    if generation.imported is not None:
        return told | {"imported": generation.imported}
    return told | {name: getattr(generation, name) for name in MADE}


def read(document: Mapping[str, Any]) -> ImportedChat:
    """What `written` made. Raises Refused, in words, for what is not that."""
    if document.get("version") != VERSION:
        raise Refused(_("It was written by a newer version of qwenweb than this one."))
    rows = _rows(document)
    title = " ".join(text_in(document, "title").split())
    chat = ImportedChat(
        source=SOURCE,
        title=title or title_from(next((text_in(row, "text") for row in rows.values()), "")),
        created_at=time_in(document, "created_at"),
        last_active_at=time_in(document, "last_active_at"),
        has_manual_title=document.get("has_manual_title") is True,
        is_pinned=document.get("is_pinned") is True,
        is_archived=document.get("is_archived") is True,
    )
    places: dict[str, int] = {}
    for key in in_order({key: text_in(row, "parent") or None for key, row in rows.items()}):
        places[key] = chat.add(_read_message(rows[key], places.get(text_in(rows[key], "parent"))))
    chat.leaf = places.get(text_in(document, "active_leaf"))
    return chat


def _rows(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The messages by their ids."""
    listed = document.get("messages")
    if not isinstance(listed, list) or not all(isinstance(row, dict) for row in listed):
        raise Refused(_("Its list of messages is damaged."))
    refuse_too_many(len(listed))
    rows = {text_in(row, "id"): row for row in listed}
    is_known = all(row.get("role") in {"user", "assistant"} for row in listed)
    if len(rows) != len(listed) or "" in rows or not is_known:
        raise Refused(_("Its list of messages is damaged."))
    return rows


def _read_message(row: Mapping[str, Any], parent: int | None) -> ImportedMessage:
    made = mapping_in(row, "generation")
    status = text_in(made, "status")
    return ImportedMessage(
        parent=parent,
        role=text_in(row, "role"),
        text=text_in(row, "text"),
        created_at=time_in(row, "created_at"),
        reasoning=text_in(row, "reasoning"),
        # One that was being written was never finished here.
        status=status if status in OVER else "interrupted",
        said=_plain(mapping_in(made, "imported")) or _said(made),
        feedback=mapping_in(row, "feedback"),
    )


def _said(made: Mapping[str, Any]) -> dict[str, Any]:
    return _plain({name: made[name] for name in MADE if made.get(name) not in (None, "", {}, [])})


def _plain(said: dict[str, Any]) -> dict[str, Any]:
    """What is told of a reply, if it can be stored and is not more than that can be."""
    try:
        text = json.dumps(said, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        return {}
    is_storable = len(text) <= LARGEST_SAID and "\\u0000" not in text and clean_text(text) == text
    return said if is_storable else {}
