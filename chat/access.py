"""Who may see or change what: the only way to get an object for a user. What is not theirs does not exist for them."""

from __future__ import annotations

from typing import TypeVar
from uuid import UUID

from django.core.signing import BadSignature, TimestampSigner
from django.db.models import Model, QuerySet
from django.http import Http404

from chat.models import Conversation, Generation, Message, User

TICKET_S = 60
_signer = TimestampSigner(salt="chat.access.ticket")

Found = TypeVar("Found", bound=Model)


def conversations(user: User) -> QuerySet[Conversation]:
    return Conversation.listed(user)


def conversation(user: User, conversation_id: UUID) -> Conversation:
    return _only(Conversation.objects.filter(owner=user, id=conversation_id))


def message(user: User, conversation_id: UUID, message_id: UUID) -> Message:
    """A message looked up with its conversation and owner, never by its own id alone."""
    return _only(_messages(user, conversation_id, message_id).filter(deleted_at=None))


def deleted_message(user: User, conversation_id: UUID, message_id: UUID) -> Message:
    """A message that can still be brought back."""
    return _only(_messages(user, conversation_id, message_id).filter(deleted_at__isnull=False))


def reply(user: User, conversation_id: UUID, message_id: UUID) -> Message:
    """A message that is a reply, with its generation and feedback."""
    found = _messages(user, conversation_id, message_id).select_related(
        "conversation", "parent", "generation", "feedback"
    )
    return _only(found.filter(role=Message.Role.ASSISTANT, deleted_at=None))


def _messages(user: User, conversation_id: UUID, message_id: UUID) -> QuerySet[Message]:
    return Message.objects.select_related("conversation").filter(
        conversation__owner=user, conversation=conversation_id, id=message_id
    )


def generation(user: User, generation_id: UUID) -> Generation:
    return _only(
        Generation.objects.select_related("message")
        .only("status", "attempt", "requested_by", "message__conversation")
        .filter(message__conversation__owner=user, message__deleted_at=None, id=generation_id)
    )


def ticket(generation: Generation) -> str:
    """For the page of whoever asked for a reply: it shows for a minute whose that is, without a look into Postgres."""
    return _signer.sign(_owned(generation.requested_by_id, generation.id)).rpartition("/")[2]


def holds_ticket(user_id: UUID, generation_id: UUID, ticket: object) -> bool:
    """Whether this is a ticket of that user to that reply. One that is not proves nothing: look the reply up."""
    try:
        _signer.unsign(f"{_owned(user_id, generation_id)}{ticket}", max_age=TICKET_S)
    except BadSignature:
        return False
    return True


def _owned(user_id: UUID, generation_id: UUID) -> str:
    return f"{user_id}/{generation_id}/"


def _only(found: QuerySet[Found]) -> Found:
    first = found.first()
    if first is None:
        raise Http404
    return first
