from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from chat.models.ids import uuid7


class UsageRecord(models.Model):
    """One line of the ledger, written once with the end of a generation and never changed.

    It stands apart from messages: deleting a chat or a user deletes no usage. Durations are milliseconds and seconds.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    generation_id = models.UUIDField(unique=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="usage_records"
    )
    user_pseudonym = models.UUIDField()
    model = models.CharField(max_length=200)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    reasoning_tokens = models.PositiveIntegerField(default=0)
    cached_tokens = models.PositiveIntegerField(default=0)
    device_s = models.FloatField(default=0)
    queue_ms = models.FloatField(default=0)
    ttft_ms = models.FloatField(null=True)
    status = models.CharField(max_length=11)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    def __str__(self) -> str:
        return f"usage of generation {self.generation_id}"
