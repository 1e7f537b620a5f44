from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Self
from uuid import UUID

from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.audit import Audit
from chat.models.conversation import Conversation
from chat.models.ids import uuid7
from chat.models.user import User


class GlassBreakQuerySet(models.QuerySet["GlassBreak"]):
    def open(self) -> Self:
        return self.filter(ended_at=None, expires_at__gt=Now(), reader__is_active=True, reader__is_superuser=True)


class GlassBreak(models.Model):
    """An administrator's right to read what one person wrote: one chat or all, for a reason and a while.

    It begins and is used in the sight of all: the person is told until they say that they know, and the audit log has
    its beginning, each chat that was opened, and its end.
    """

    REASON_LENGTH = 500
    MINUTES = (15, 60, 240, 1440)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    reader = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    reader_name = models.CharField(_("reader"), max_length=254)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    # No foreign key: when the chat is deleted, nothing is left to read, and the person is still told.
    conversation_id = models.UUIDField(_("chat"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=REASON_LENGTH)
    created_at = models.DateTimeField(_("from"), default=timezone.now)
    expires_at = models.DateTimeField(_("until"))
    ended_at = models.DateTimeField(_("ended"), null=True)
    acknowledged_at = models.DateTimeField(_("the person knows since"), null=True)

    objects = GlassBreakQuerySet.as_manager()

    if TYPE_CHECKING:
        person_id: UUID

    class Meta:
        verbose_name = _("reading of chats")
        verbose_name_plural = _("reading of chats")
        indexes = (
            models.Index(fields=["person"], name="glass_break_untold", condition=models.Q(acknowledged_at=None)),
        )

    def __str__(self) -> str:
        return f"reading of chats {self.id}"

    @property
    def is_open(self) -> bool:
        return self.ended_at is None and self.expires_at > timezone.now()

    @property
    def conversations(self) -> models.QuerySet[Conversation]:
        """What may be read while it is open; ask chat.access whether it is."""
        theirs = Conversation.objects.filter(owner=self.person_id)
        return theirs.filter(id=self.conversation_id) if self.conversation_id else theirs

    def begin(self, reader: User, minutes: int, request: HttpRequest) -> None:
        self.reader, self.reader_name = reader, f"{reader.name} ({reader.email})"
        self.created_at = timezone.now()
        self.expires_at = self.created_at + timedelta(minutes=minutes)
        with transaction.atomic():
            self.save(force_insert=True)
            self._enter(reader, "begun", request, reason=self.reason, until=self.expires_at.isoformat())

    def read(self, reader: User, conversation: Conversation, request: HttpRequest) -> None:
        """Somebody is about to be shown this chat: no audit entry, no chat."""
        self._enter(reader, "read", request, read=str(conversation.id))

    def end(self, reader: User, request: HttpRequest) -> None:
        if type(self).objects.filter(id=self.id, ended_at=None).update(ended_at=Now()):
            self._enter(reader, "ended", request)

    def acknowledge(self, request: HttpRequest) -> None:
        """The person has seen it."""
        if type(self).objects.filter(id=self.id, acknowledged_at=None).update(acknowledged_at=Now()):
            self._enter(self.person, "acknowledged", request)

    def _enter(self, actor: User, verb: str, request: HttpRequest, **details: str) -> None:
        scope = str(self.conversation_id) if self.conversation_id else "all chats"
        Audit.enter(actor, f"glassbreak.{verb}", self.person, request, glassbreak=str(self.id), scope=scope, **details)
