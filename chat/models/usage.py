from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.ids import uuid7


class UsageRecord(models.Model):
    """One line of the ledger, written once with the end of an attempt at a generation and never changed.

    A reply that is continued, or that another worker went on with, has a line for each time. The ledger stands apart
    from messages: deleting a chat or a user deletes no usage. Durations are milliseconds and seconds; what was not
    measured is null. `user_pseudonym` is the id that the person has, or had.
    """

    HANDED_OVER = "handed_over"
    """The status of an attempt after which another worker went on."""

    class Source(models.TextChoices):
        PAGE = "page", _("Page")
        API = "api", "API"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    generation_id = models.UUIDField()
    attempt = models.PositiveIntegerField(db_default=1)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="usage_records"
    )
    user_pseudonym = models.UUIDField()
    model = models.CharField(max_length=200)
    source = models.CharField(max_length=4, choices=Source, default=Source.PAGE, db_default=Source.PAGE)
    worker_id = models.UUIDField(null=True)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    reasoning_tokens = models.PositiveIntegerField(default=0)
    cached_tokens = models.PositiveIntegerField(default=0)
    device_s = models.FloatField(null=True)
    energy_j = models.FloatField(null=True)
    queue_ms = models.FloatField(default=0)
    ttft_ms = models.FloatField(null=True)
    status = models.CharField(max_length=11)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["generation_id", "attempt"], name="usage_once_per_attempt"),)
        indexes = (models.Index(fields=["user_pseudonym", "created_at"], name="usage_of_a_person"),)

    def __str__(self) -> str:
        return f"usage of generation {self.generation_id}"
