from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from chat.models.ids import uuid7
from chat.models.user import User


class LibraryItem(models.Model):
    """Something that a person keeps for themselves, or an administrator for everybody: then it has no owner."""

    KIND: ClassVar[str]
    MOST = 100
    NAME_LENGTH = 80

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True)
    name = models.CharField(_("Name"), max_length=NAME_LENGTH)

    if TYPE_CHECKING:
        owner_id: UUID | None

    class Meta:
        abstract = True
        ordering = ("owner_id", Lower("name"), "id")  # those for everybody come last

    def __str__(self) -> str:
        # What somebody calls their own is read by nobody else, administrators and logs included.
        return self.name if self.is_for_all else f"{self.KIND} {self.id}"

    @property
    def is_for_all(self) -> bool:
        return self.owner_id is None

    @classmethod
    def used_by(cls, user: User) -> models.QuerySet[Self]:
        """Their own, and those for everybody."""
        return cls._default_manager.filter(Q(owner=user) | Q(owner=None))

    @classmethod
    def kept_by(cls, user: User) -> models.QuerySet[Self]:
        """What a person may change: their own, and as an administrator those for everybody."""
        return cls.used_by(user) if user.role == User.Role.ADMIN else cls._default_manager.filter(owner=user)

    def is_kept_by(self, user: User) -> bool:
        return user.role == User.Role.ADMIN if self.is_for_all else self.owner_id == user.id

    def has_room(self) -> bool:
        """Whether its shelf, the owner's or that for everybody, takes one more."""
        others = type(self)._default_manager.filter(owner=self.owner_id).exclude(id=self.id)
        return others.count() < self.MOST
