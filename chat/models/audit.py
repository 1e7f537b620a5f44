from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.functions import Now
from django.http import HttpRequest

from chat.models.ids import uuid7
from chat.models.user import User


class Audit(models.Model):
    """One line of who did what to what, when and from where. Postgres refuses to change or delete it.

    Names are copied, as what they name may be gone by the time it is read; what people wrote never stands here.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    at = models.DateTimeField(db_default=Now(), db_index=True)
    actor_id = models.UUIDField(null=True)
    actor = models.CharField(max_length=254, blank=True)
    act = models.CharField(max_length=60, db_index=True)
    object_type = models.CharField(max_length=60, blank=True)
    object_id = models.CharField(max_length=64, blank=True)
    object_name = models.CharField(max_length=254, blank=True)
    address = models.GenericIPAddressField(null=True)
    details = models.JSONField(default=dict)

    class Meta:
        verbose_name = "audit entry"
        verbose_name_plural = "audit log"

    def __str__(self) -> str:
        return f"{self.act} by {self.actor or 'nobody'}"

    @classmethod
    def enter(
        cls,
        actor: User | None,
        act: str,
        target: models.Model | None = None,
        request: HttpRequest | None = None,
        **details: Any,
    ) -> None:
        """Write a line: `act` is noun and verb (`user.deactivated`); without an actor the server itself acted."""
        cls.objects.create(
            actor_id=actor.id if actor else None,
            actor=actor.email if actor else "",
            act=act,
            object_type=target._meta.model_name or "" if target else "",
            object_id=str(target.pk) if target else "",
            object_name=_name_of(target),
            address=request.META.get("REMOTE_ADDR") or None if request else None,
            details=details,
        )


def _name_of(target: models.Model | None) -> str:
    if target is None:
        return ""
    return (target.email if isinstance(target, User) else str(target))[:254]
