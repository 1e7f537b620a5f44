from __future__ import annotations

import hashlib
import secrets

from django.db import models, transaction

from chat.models.user import User


class SetupLink(models.Model):
    """The one-time link that makes the first administrator; at most one exists, and only its hash is kept."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    token_hash = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (models.CheckConstraint(condition=models.Q(id=1), name="setup_link_is_single"),)

    def __str__(self) -> str:
        return f"setup link of {self.created_at:%Y-%m-%d %H:%M}"

    @classmethod
    def renew(cls) -> str | None:
        """A fresh token, which replaces the last one; None when there is an administrator already."""
        if User.objects.filter(is_superuser=True).exists():
            return None
        token = secrets.token_urlsafe(32)
        cls.objects.update_or_create(id=1, defaults={"token_hash": _hash(token)})
        return token

    @classmethod
    def is_valid(cls, token: str) -> bool:
        return cls.objects.filter(token_hash=_hash(token)).exists()

    @classmethod
    def redeem(cls, token: str, *, email: str, name: str, password: str) -> User | None:
        """Make the administrator and burn the link in one transaction; None when the link is not, or no longer, good.

        The delete locks the row: of many parallel uses one deletes it, the others wait and find nothing.
        """
        with transaction.atomic():
            num_deleted, _ = cls.objects.filter(token_hash=_hash(token)).delete()
            if not num_deleted or User.objects.filter(is_superuser=True).exists():
                return None
            return User.objects.create_superuser(email, password, name=name)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
