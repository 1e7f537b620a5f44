from __future__ import annotations

from copy import copy
from datetime import timedelta
from typing import TYPE_CHECKING, Self
from uuid import UUID, uuid4

from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import get_language

from chat import markdown
from chat.models.ids import uuid7
from chat.models.tree import Siblings

if TYPE_CHECKING:
    from chat.models.conversation import Conversation
    from chat.models.feedback import Feedback
    from chat.models.generation import Generation


class Message(models.Model):
    """One node of a conversation's tree: what a person wrote, or a reply; `html` is the stored rendering of `text`.

    One that is deleted is gone for people at once, and from the table when it can't be brought back any more.
    """

    # The rest is longer than any request takes: what brings a message back, or comes in below it, is there to be seen.
    RESTORABLE = timedelta(seconds=30)
    KEPT_DELETED = timedelta(seconds=60)

    class Role(models.TextChoices):
        USER = "user"
        ASSISTANT = "assistant"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    conversation = models.ForeignKey("Conversation", on_delete=models.CASCADE, related_name="messages")
    parent = models.ForeignKey("self", on_delete=models.CASCADE, null=True, blank=True, related_name="children")
    role = models.CharField(max_length=9, choices=Role)
    text = models.TextField(blank=True)
    reasoning = models.TextField(blank=True)
    html = models.TextField(blank=True)
    reasoning_html = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True, blank=True)

    siblings: Siblings | None = None
    """Its place among its versions, where that was looked up."""
    is_unanswered = False
    """Whether nothing is below it, where that was looked up."""
    rival: Message | None = None
    """The reply that it is shown beside, where that was looked up."""

    if TYPE_CHECKING:
        feedback: Feedback
        generation: Generation
        parent_id: UUID | None
        conversation_id: UUID

    class Meta:
        indexes = (
            models.Index(fields=["deleted_at"], name="message_deleted", condition=models.Q(deleted_at__isnull=False)),
        )

    def __str__(self) -> str:
        return f"{self.role} message {self.id}"

    @property
    def fresh_client_id(self) -> str:
        """For the next form of this message that asks for a reply."""
        return str(uuid4())

    @property
    def pair(self) -> list[Message]:
        """It and its rival, the older one first."""
        return sorted([self, self.rival], key=lambda reply: reply.id) if self.rival else [self]

    @property
    def shown_html(self) -> str:
        """The rendering as it is shown to who reads it now."""
        return markdown.in_language(self.html, get_language())

    @property
    def shown_reasoning_html(self) -> str:
        return markdown.in_language(self.reasoning_html, get_language())

    def copied(self, conversation: Conversation, below: Message | None) -> Self:
        """This message as a new row of another conversation, not saved yet."""
        twin = copy(self)
        twin.id, twin.conversation, twin.parent = uuid7(), conversation, below
        twin._state.adding = True
        return twin

    @classmethod
    def finish_deletions(cls) -> int:
        """Remove for good what was deleted a while ago; how many rows that were.

        What has a living message below it comes back: that one was accepted, so it must not be lost. A conversation
        in which a deleted reply is still being written has time: its worker must be able to enter what it used.
        """
        deleted = cls.objects.filter(deleted_at__isnull=False)
        living = cls.objects.filter(parent=models.OuterRef("id"), deleted_at=None)
        while deleted.filter(models.Exists(living)).update(deleted_at=None):
            pass
        being_written = deleted.filter(generation__status__in=["queued", "running"]).values("conversation")
        gone = deleted.filter(deleted_at__lt=Now() - cls.KEPT_DELETED).exclude(conversation__in=being_written)
        return gone.delete()[0]
