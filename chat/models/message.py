from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from django.db import models
from django.utils import timezone
from django.utils.translation import get_language

from chat import markdown
from chat.models.ids import uuid7

if TYPE_CHECKING:
    from chat.models.generation import Generation


class Message(models.Model):
    """One node of a conversation's tree: what a person wrote, or a reply; `html` is the stored rendering of `text`."""

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

    if TYPE_CHECKING:
        generation: Generation
        parent_id: UUID | None
        conversation_id: UUID

    def __str__(self) -> str:
        return f"{self.role} message {self.id}"

    @property
    def shown_html(self) -> str:
        """The rendering as it is shown to who reads it now."""
        return markdown.in_language(self.html, get_language())

    @property
    def shown_reasoning_html(self) -> str:
        return markdown.in_language(self.reasoning_html, get_language())
