from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.generation import Generation
from chat.models.ids import uuid7
from chat.models.message import Message

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID


class Feedback(models.Model):
    """What a person thinks of a reply. The reply itself is not in it: whoever reads feedback reads no chat."""

    COMMENT_LENGTH = 1000

    class Value(models.TextChoices):
        UP = "up"
        DOWN = "down"

    class Reason(models.TextChoices):
        WRONG = "wrong", _("Not right")
        INCOMPLETE = "incomplete", _("Not complete")
        UNASKED = "unasked", _("Not what I asked for")
        STYLE = "style", _("Too long, too short, or the wrong tone")
        UNSAFE = "unsafe", _("Harmful or unsafe")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    message = models.OneToOneField(Message, on_delete=models.CASCADE, related_name="feedback")
    value = models.CharField(max_length=4, choices=Value)
    over = models.ForeignKey(Message, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    """The reply that this one was preferred to, when both were compared."""
    reasons = models.JSONField(default=list, blank=True)
    comment = models.CharField(max_length=COMMENT_LENGTH, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    if TYPE_CHECKING:
        message_id: UUID

    class Meta:
        verbose_name_plural = "feedback"
        indexes = (models.Index(fields=["created_at"], name="feedback_by_time"),)

    def __str__(self) -> str:
        return f"thumbs {self.value} for message {self.message_id}"

    @classmethod
    def vote(cls, message: Message, value: str) -> Feedback | None:
        """Take a vote on a reply; the same vote again takes it back, and then there is none."""
        if cls.objects.filter(message=message, value=value).delete()[0]:
            return None
        fresh: dict[str, Any] = {"value": value, "over": None, "reasons": [], "comment": ""}
        return cls.objects.update_or_create(message=message, defaults=fresh)[0]

    @classmethod
    def prefer(cls, reply: Message) -> None:
        """Take a reply to be better than its rival, which ends their comparison; nothing when that is over already."""
        rival = reply.generation.rival
        with transaction.atomic():
            compared = Generation.objects.filter(id=reply.generation.id, rival__isnull=False)
            if rival is None or not compared.update(rival=None):
                return
            Generation.objects.filter(id=rival.id).update(rival=None)
            better: dict[str, Any] = {"value": cls.Value.UP, "over_id": rival.message_id}
            cls.objects.update_or_create(message=reply, defaults=better)

    def explain(self, reasons: Sequence[str], comment: str) -> None:
        """Say why, in the person's own words if they want to."""
        self.reasons, self.comment = list(reasons), comment
        self.save(update_fields=["reasons", "comment"])
