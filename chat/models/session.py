from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from chat.device import in_words


class Session(AbstractBaseSession):
    """A session of Django's, with what its owner wants to know of it: on which device, and when it was last used."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="sessions", editable=False
    )
    user_agent = models.CharField(max_length=200, blank=True, default="", db_default="", editable=False)
    used_at = models.DateTimeField(_("last used"), db_default=Now(), editable=False)

    if TYPE_CHECKING:
        user_id: UUID | None

    @classmethod
    def get_session_store_class(cls) -> type[SessionBase]:
        return SessionStore

    @property
    def password_hash(self) -> str:
        """That of the password with which it was made: with another one the session is over."""
        return str(self.get_decoded().get(HASH_SESSION_KEY, ""))

    @property
    def mark(self) -> str:
        """What a page may name it by: the key itself would open it."""
        return hashlib.sha256(self.session_key.encode()).hexdigest()[:32]

    @property
    def device(self) -> str:
        return in_words(self.user_agent)
