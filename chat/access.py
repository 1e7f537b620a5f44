"""Who may see or change what: the only way to get an object for a user. What is not theirs does not exist for them."""

from __future__ import annotations

from typing import TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from django.http import Http404

from chat.models import Conversation, Generation, Message, User

Found = TypeVar("Found", bound=Model)


def conversations(user: User) -> QuerySet[Conversation]:
    return Conversation.listed(user)


def conversation(user: User, conversation_id: UUID) -> Conversation:
    return _only(Conversation.objects.filter(owner=user, id=conversation_id))


def message(user: User, conversation_id: UUID, message_id: UUID) -> Message:
    """A message looked up with its conversation and owner, never by its own id alone."""
    return _only(
        Message.objects.select_related("conversation").filter(
            conversation__owner=user, conversation=conversation_id, id=message_id
        )
    )


def generation(user: User, generation_id: UUID) -> Generation:
    return _only(
        Generation.objects.select_related("message")
        .only("status", "attempt", "requested_by", "message__conversation")
        .filter(message__conversation__owner=user, id=generation_id)
    )


def _only(found: QuerySet[Found]) -> Found:
    first = found.first()
    if first is None:
        raise Http404
    return first
