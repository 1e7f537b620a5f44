from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from django.db import IntegrityError, models, transaction
from django.utils import timezone

from chat import hints
from chat.models.conversation import Conversation
from chat.models.generation import Generation
from chat.models.ids import uuid7
from chat.models.message import Message
from chat.models.snapshot import SharedMessage, Snapshot

if TYPE_CHECKING:
    from chat.models.user import User


class ShareRevision(models.Model):
    """What a shared link shows, from one update to the next: a copy that no later message or edit changes."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    link = models.ForeignKey("ShareLink", on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    title = models.CharField(max_length=Conversation.TITLE_LENGTH, blank=True)
    author = models.CharField(max_length=120, blank=True)
    content = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["link", "number"], name="share_revision_once"),)

    def __str__(self) -> str:
        return f"revision {self.number} of shared link {self.link_id}"

    if TYPE_CHECKING:
        link_id: UUID

    @classmethod
    def add(cls, link_id: UUID, snapshot: Snapshot) -> ShareRevision:
        """The next revision of a link; the caller holds the link's row, or has just made it."""
        newest = cls.objects.filter(link=link_id).aggregate(newest=models.Max("number"))["newest"] or 0
        title, author, content = snapshot.title[: Conversation.TITLE_LENGTH], snapshot.author, snapshot.content
        return cls.objects.create(link_id=link_id, number=newest + 1, title=title, author=author, content=content)

    @property
    def messages(self) -> list[SharedMessage]:
        return [SharedMessage(**message) for message in self.content]

    @property
    def model_names(self) -> list[str]:
        return sorted({message.model for message in self.messages} - {""})

    def copy_for(self, reader: User, client_id: str) -> UUID:
        """A conversation of the reader's own with these messages; its id. The same `client_id` again gives the same."""
        made = Generation.objects.filter(requested_by=reader, client_id=f"{client_id}-0")
        try:
            with transaction.atomic():
                conversation = self._copy(reader, client_id)
        except IntegrityError:
            first = made.select_related("message").first()
            if first is None:
                raise
            return first.message.conversation_id
        hints.conversation_changed(reader.id, conversation.id)
        return conversation.id

    def _copy(self, reader: User, client_id: str) -> Conversation:
        conversation = Conversation.objects.create(owner=reader, title=self.title)
        messages: list[Message] = []
        generations: list[Generation] = []
        for shared in self.messages:
            parent = messages[-1] if messages else None
            message = Message(conversation=conversation, parent=parent, role=shared.role, text=shared.text)
            message.html, message.reasoning = shared.html, shared.reasoning
            message.reasoning_html = shared.reasoning_html
            messages.append(message)
            if shared.role == Message.Role.ASSISTANT:
                generations.append(_ended(message, shared, reader, f"{client_id}-{len(generations)}"))
        Message.objects.bulk_create(messages)
        Generation.objects.bulk_create(generations)
        conversation.active_leaf = messages[-1]
        conversation.save(update_fields=["active_leaf"])
        return conversation


def _ended(message: Message, shared: SharedMessage, reader: User, client_id: str) -> Generation:
    """The generation of a copied reply. It cost nothing here, so no usage is entered for it."""
    return Generation(
        message=message,
        requested_by=reader,
        client_id=client_id or str(uuid4()),
        status=shared.status,
        finish_reason=shared.finish_reason,
        model=shared.model,
        reasoning_ms=shared.reasoning_ms,
        num_dropped_messages=shared.num_dropped_messages,
        ended_at=timezone.now(),
    )
