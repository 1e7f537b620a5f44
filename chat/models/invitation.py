from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.mail import send_mail
from django.db import models, transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from chat.models.ids import uuid7
from chat.models.user import User


class Invitation(models.Model):
    """A link with which one person makes an account, once, until it expires. Only the hash of its token is kept.

    With an address only that address can be used; the role is what the person gets. One that nobody made was asked for
    by the owner of an address whose domain may sign up, and went there by mail.
    """

    LASTS = timedelta(days=7)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    email = models.EmailField(_("e-mail"), blank=True, help_text=_("Empty: whoever has the link, with any address."))
    role = models.CharField(_("role"), max_length=7, choices=User.Role, default=User.Role.MEMBER)
    group = models.ForeignKey(
        Group, on_delete=models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("group")
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        related_name="invitations",
        editable=False,
        verbose_name=_("made by"),
    )
    created_at = models.DateTimeField(_("made"), db_default=Now(), editable=False)
    expires_at = models.DateTimeField(_("expires"))
    used_at = models.DateTimeField(_("used"), null=True, editable=False)
    used_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+", editable=False
    )

    if TYPE_CHECKING:
        created_by_id: UUID | None

    def __str__(self) -> str:
        return f"invitation of {self.email or 'anybody'}"

    def renew(self) -> str:
        """A fresh token, which ends the one before; to be shown once, as only its hash is kept. Saves nothing."""
        token = secrets.token_urlsafe(32)
        self.token_hash = _hash(token)
        return token

    @classmethod
    def open(cls) -> models.QuerySet[Self]:
        """Those that can be used. Whoever made one must still be an administrator."""
        by_admin = models.Q(created_by__is_active=True, created_by__is_superuser=True)
        return cls.objects.filter(by_admin | models.Q(created_by=None), used_at=None, expires_at__gt=timezone.now())

    @classmethod
    def find(cls, token: str) -> Invitation | None:
        return cls.find_hashed(_hash(token))

    @classmethod
    def find_hashed(cls, token_hash: str) -> Invitation | None:
        """The same for who kept the hash alone."""
        return cls.open().filter(token_hash=token_hash).first()

    def redeem(self, user: User, save: Callable[[], object]) -> bool:
        """Use the link up for somebody new, whom `save` writes, in one transaction; whether it was still good.

        The update locks the row: of many uses at once one gets it, the others wait and find it used.
        """
        with transaction.atomic():
            # Asked of the row alone: after a wait Postgres looks again at its own columns, and at nothing joined to it.
            unused = Invitation.objects.filter(id=self.id, token_hash=self.token_hash, used_at=None)
            if not unused.update(used_at=Now()):
                return False
            user.email = (self.email or user.email).lower()
            user.set_role(self.role)
            save()
            if self.group:
                user.groups.add(self.group)
            Invitation.objects.filter(id=self.id).update(used_by=user)
            return True

    def send(self, address: str) -> None:
        """Mail the link, which is `address`; raises OSError when no mail server takes it."""
        words = _("Somebody at {site} invites you to make an account. The link works once, until {day}:")
        site = urlsplit(address).netloc
        body = f"{words.format(site=site, day=date_format(self.expires_at, 'DATE_FORMAT'))}\n\n{address}\n"
        send_mail(_("Your account at {site}").format(site=site), body, None, [self.email])


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
