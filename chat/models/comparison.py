"""Two replies to one message by two models, side by side until one is preferred or the conversation goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from chat.models.generation import Generation
from chat.models.ids import uuid7
from chat.models.message import Message
from chat.models.worker import Worker

if TYPE_CHECKING:
    from chat.models.tree import Tree

# What makes the second client id out of the first, so that a repeat is known as one.
SECOND = UUID("6f0d1b0e-6f3c-5b5e-9d53-0b1f5a2c7e44")


def generations(message: Message, client_id: str, how: dict[str, Any], compared_with: str) -> list[Generation]:
    """The run that answers a message with its empty reply; two, each the other's rival, where a second model is named.

    Raises Refused when there are no such models.
    """
    if not compared_with:
        Worker.refuse_unknown(how.get("asked_model", ""), message.conversation.owner_id)
        return [_generation(message, uuid7(), client_id, how)]
    models = Worker.rivals(how.get("asked_model", ""), compared_with, message.conversation.owner_id)
    ids = uuid7(), uuid7()
    client_ids = client_id, str(uuid5(SECOND, client_id))
    pair = [
        _generation(message, id_, client_id, how | {"asked_model": model})
        for id_, client_id, model in zip(ids, client_ids, models, strict=True)
    ]
    for each, other in (pair, pair[::-1]):
        each.rival, each.message.rival = other, other.message
    return pair


def _generation(message: Message, reply_id: UUID, client_id: str, how: dict[str, Any]) -> Generation:
    reply = Message(id=reply_id, conversation=message.conversation, parent=message, role=Message.Role.ASSISTANT)
    owner_id = message.conversation.owner_id
    return Generation(message=reply, requested_by_id=owner_id, client_id=client_id, **how)


def rival_of(leaf: Message, tree: Tree) -> Message | None:
    """The reply that a leaf is shown beside: its rival, while there is nothing below either of them."""
    if leaf.role != Message.Role.ASSISTANT or not leaf.generation.rival_id or tree.has_replies(leaf.id):
        return None
    found = Message.objects.select_related("generation", "feedback")
    rival = found.filter(generation=leaf.generation.rival_id, deleted_at=None).first()
    if rival is None or tree.has_replies(rival.id):
        return None
    rival.siblings = tree.siblings(rival.id)
    return rival
