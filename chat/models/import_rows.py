"""A chat that was read from a file, as rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from django.utils import timezone

from chat import markdown
from chat.models.conversation import Conversation
from chat.models.feedback import Feedback
from chat.models.generation import Generation
from chat.models.ids import uuid7
from chat.models.message import Message
from chat.text import clean_text
from chat.transfer.chats import ImportedChat, ImportedMessage, number_in, text_in

ROWS_AT_ONCE = 500
CHARACTERS_AT_ONCE = 500_000


class Rows(NamedTuple):
    """A chat with its tree, times and judgements as a new one of its owner, not stored yet.

    It is as old as the file says, so it does not come between the chats of today, and nothing in it is unread.
    """

    conversation: Conversation
    messages: list[Message]
    generations: list[Generation]
    judgements: list[Feedback]
    leaf: Message | None

    @classmethod
    def of(cls, owner_id: UUID, chat: ImportedChat) -> Rows:
        """Make the rows, with the rendering of each reply: that takes time, so no transaction waits for it."""
        now = timezone.now()
        times = list(_times(chat, now))
        last_active_at = chat.last_active_at or max(times, default=now)
        conversation = Conversation(
            owner_id=owner_id,
            title=chat.title[: Conversation.TITLE_LENGTH],
            has_manual_title=chat.has_manual_title,
            created_at=chat.created_at or min(times, default=last_active_at),
            last_active_at=last_active_at,
            read_at=now,
            pinned_at=now if chat.is_pinned else None,
            archived_at=now if chat.is_archived else None,
        )
        messages = _messages(conversation, chat, times)
        replies = [(row, told) for row, told in zip(messages, chat.messages, strict=True) if told.role == "assistant"]
        judgements = [_feedback(row, told.feedback) for row, told in replies]
        return cls(
            conversation,
            messages,
            [_generation(owner_id, row, told, chat.source) for row, told in replies],
            [row for row in judgements if row],
            messages[-1 if chat.leaf is None else chat.leaf] if messages else None,
        )

    def store(self) -> None:
        """Call it in a transaction."""
        self.conversation.save(force_insert=True)
        for some in _at_once(self.messages):
            Message.objects.bulk_create(some)
        Generation.objects.bulk_create(self.generations, batch_size=ROWS_AT_ONCE)
        Feedback.objects.bulk_create(self.judgements)
        self.conversation.active_leaf = self.leaf
        self.conversation.save(update_fields=["active_leaf"])


def _at_once(messages: list[Message]) -> Iterator[list[Message]]:
    """So many that Postgres can take them in, and make them searchable, in one statement and in time."""
    some: list[Message] = []
    num_characters = 0
    for message in messages:
        if len(some) == ROWS_AT_ONCE or num_characters > CHARACTERS_AT_ONCE:
            yield some
            some, num_characters = [], 0
        some.append(message)
        num_characters += len(message.text) + len(message.reasoning)
    if some:
        yield some


def _times(chat: ImportedChat, now: datetime) -> Iterator[datetime]:
    """When each message was written; where the file does not say, when the one before it was."""
    last = chat.created_at or chat.last_active_at or now
    for message in chat.messages:
        last = message.created_at or last
        yield last


def _messages(conversation: Conversation, chat: ImportedChat, times: Iterable[datetime]) -> list[Message]:
    rows: list[Message] = []
    last_ms = 0
    for told, at in zip(chat.messages, times, strict=True):
        # Versions of a message stand in the order of their ids, and search shows the newest first.
        last_ms = max(last_ms + 1, int(at.timestamp() * 1000))
        row = Message(id=uuid7(last_ms), conversation=conversation, role=told.role, text=told.text, created_at=at)
        row.parent = None if told.parent is None else rows[told.parent]
        if told.role == Message.Role.ASSISTANT:
            row.reasoning = told.reasoning
            row.html, row.reasoning_html = markdown.render(told.text), markdown.render(told.reasoning)
        rows.append(row)
    return rows


def _generation(owner_id: UUID, row: Message, told: ImportedMessage, source: str) -> Generation:
    """The end of a run that was not made here."""
    reason = text_in(told.said, "finish_reason")
    return Generation(
        message=row,
        requested_by_id=owner_id,
        client_id=str(uuid4()),
        status=told.status,
        finish_reason=reason if reason in {"stop", "length", "cancelled", "error"} else "",
        error_text=text_in(told.said, "error_text")[:500],
        reasoning_ms=number_in(told.said, "reasoning_ms"),
        imported={"from": source, **told.said},
        queued_at=row.created_at,
        ended_at=row.created_at,
    )


def _feedback(row: Message, told: dict[str, Any]) -> Feedback | None:
    if told.get("value") not in Feedback.Value.values:
        return None
    reasons = told.get("reasons")
    known = [reason for reason in Feedback.Reason.values if isinstance(reasons, list) and reason in reasons]
    comment = told.get("comment")
    text = clean_text(comment)[: Feedback.COMMENT_LENGTH] if isinstance(comment, str) else ""
    return Feedback(message=row, value=told["value"], reasons=known, comment=text)
