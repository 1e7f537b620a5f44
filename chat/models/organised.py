from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from chat import hints
from chat.models.folder import Folder


class Organised(models.Model):
    """Where a conversation stands among the others of its owner. A temporary one stands nowhere and has an end."""

    TEMPORARY_FOR = timedelta(hours=24)
    # A page that is loaded again closes first; it has this long to come back.
    KEPT_CLOSED = timedelta(seconds=30)

    pinned_at = models.DateTimeField(null=True, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    read_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    folder = models.ForeignKey(Folder, on_delete=models.SET_NULL, null=True, blank=True, related_name="conversations")

    if TYPE_CHECKING:
        id: UUID
        owner_id: UUID
        folder_id: UUID | None

    class Meta:
        abstract = True

    @property
    def is_temporary(self) -> bool:
        return self.expires_at is not None

    @property
    def state(self) -> str:
        """What the list says of it (it was asked for with its state): that it is being written, or is unread."""
        status, ended_at = getattr(self, "reply_status", None), getattr(self, "reply_ended_at", None)
        if status in {"queued", "running"}:
            return "running"
        is_unread = ended_at is not None and (self.read_at is None or ended_at > self.read_at)
        return "unread" if is_unread else ""

    def pin(self, is_pinned: bool) -> None:
        self._place(pinned_at=timezone.now() if is_pinned else None)

    def archive(self, is_archived: bool) -> None:
        """Take it out of the list, or put it back; it is still found."""
        self._place(archived_at=timezone.now() if is_archived else None)

    def move_to(self, folder: Folder | None) -> None:
        self._place(folder=folder)

    def read(self) -> None:
        """The owner sees it now: nothing in it is unread, and a temporary one is open."""
        mine = type(self)._base_manager.filter(pk=self.pk)
        unread = models.Q(read_at=None) | models.Q(active_leaf__generation__ended_at__gt=models.F("read_at"))
        is_news = mine.filter(unread).exists()
        if is_news:
            mine.update(read_at=Now())
        if self.is_temporary:
            mine.update(expires_at=models.F("created_at") + self.TEMPORARY_FOR)
        if is_news:
            hints.conversation_changed(self.owner_id, self.id)

    def close(self) -> None:
        """The page of a temporary conversation was left."""
        if self.is_temporary:
            type(self)._base_manager.filter(pk=self.pk).update(expires_at=Now() + self.KEPT_CLOSED)

    def _place(self, **where: object) -> None:
        for name, value in where.items():
            setattr(self, name, value)
        self.save(update_fields=list(where))
        hints.conversation_changed(self.owner_id, self.id)
