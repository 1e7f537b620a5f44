from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from chat.database import execute
from chat.models.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Sequence

    from allauth.mfa.models import Authenticator
    from django.db.models.fields.related_descriptors import RelatedManager

    from chat.models.session import Session


_found: ContextVar[tuple[Any, ...] | None] = ContextVar("found", default=None)


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        if not email:
            raise ValueError("A user needs an e-mail address.")
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, **{"is_staff": True, "is_superuser": True, **fields})

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username)

    def by_id(self, user_id: object) -> User | None:
        """Asked once a request, and so prepared; not asked at all right after the session brought the row along."""
        row = _found.get()
        _found.set(None)
        if row is None or str(row[self.columns.index("id")]) != str(user_id):
            row = execute(f"SELECT {', '.join(self.columns)} FROM chat_user WHERE id = %s", [user_id]).fetchone()
        return self.model.from_db(self.db, self.columns, row) if row else None

    def found(self, row: Sequence[Any]) -> None:
        """Somebody's row, its fields in the order of `columns`, has just been read: good for one question after it."""
        _found.set(tuple(row))

    @cached_property
    def columns(self) -> list[str]:
        return [field.attname for field in self.model._meta.concrete_fields]


class User(AbstractBaseUser, PermissionsMixin):
    """A person of the team; the e-mail address is the name to sign in with.

    The role is what Django's two marks say: administrators are superusers, auditors staff without being one.
    """

    class Role(models.TextChoices):
        MEMBER = "member", _("Member")
        AUDITOR = "auditor", _("Auditor: sees use and records, changes nothing")
        ADMIN = "admin", _("Administrator")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(_("e-mail"), unique=True)
    name = models.CharField(_("name"), max_length=120)
    is_staff = models.BooleanField(_("administrator"), default=False)
    is_active = models.BooleanField(_("active"), default=True)
    language = models.CharField(_("language"), max_length=10, blank=True, default="", db_default="")
    has_second_factor = models.BooleanField(_("second factor"), default=False, db_default=False, editable=False)
    date_joined = models.DateTimeField(_("joined"), default=timezone.now, editable=False)

    if TYPE_CHECKING:
        authenticator_set: RelatedManager[Authenticator]
        sessions: RelatedManager[Session]

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]

    objects: ClassVar[UserManager] = UserManager()

    class Meta:
        constraints = (models.UniqueConstraint(Lower("email"), name="user_email_unique"),)

    def __str__(self) -> str:
        return self.name or self.email

    def clean(self) -> None:
        """Addresses are kept in small letters: that is how they are looked up at sign-in."""
        super().clean()
        self.email = self.email.lower()

    @property
    def role(self) -> Role:
        if self.is_superuser:
            return self.Role.ADMIN
        return self.Role.AUDITOR if self.is_staff else self.Role.MEMBER

    @classmethod
    def rights_of(cls, role: str) -> dict[str, bool]:
        return {"is_superuser": role == cls.Role.ADMIN, "is_staff": role != cls.Role.MEMBER}

    def set_role(self, role: str) -> None:
        for name, value in self.rights_of(role).items():
            setattr(self, name, value)

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Auditors may look at every record of the admin; none of them shows what people write."""
        is_look = perm.partition(".")[2].startswith("view_") and self.role == self.Role.AUDITOR
        return (self.is_active and is_look) or super().has_perm(perm, obj)  # type: ignore[arg-type]

    def has_module_perms(self, app_label: str) -> bool:
        return (self.is_active and self.role == self.Role.AUDITOR) or super().has_module_perms(app_label)

    @property
    def lacks_second_factor(self) -> bool:
        """Whether this person must set up a second factor before anything else (QWENWEB_SECOND_FACTOR)."""
        is_needed = settings.SECOND_FACTOR == "everybody" or (settings.SECOND_FACTOR == "admins" and self.is_staff)
        return is_needed and not self.has_second_factor

    def is_last_admin(self) -> bool:
        """Whether nobody could administer this server without this person."""
        others = type(self).objects.filter(is_superuser=True, is_active=True).exclude(id=self.id)
        return self.is_superuser and self.is_active and not others.exists()

    def deactivate(self) -> None:
        """Nobody comes in as this person any more; open pages and running replies end, see chat.signals."""
        self.is_active = False
        self.save(update_fields=["is_active"])

    def activate(self) -> None:
        self.is_active = True
        self.save(update_fields=["is_active"])

    def choose_language(self, code: str) -> None:
        """The language of the page for this person from now on; "" is that of the browser."""
        self.language = code
        self.save(update_fields=["language"])

    def open_sessions(self, most: int = 50) -> list[Session]:
        """Where this person is signed in, the last used first."""
        found = self.sessions.filter(expire_date__gt=timezone.now()).order_by("-used_at")[:most]
        return [session for session in found if session.password_hash == self.get_session_auth_hash()]

    def end_session(self, mark: str) -> bool:
        """Sign out in one session, by its mark; False when there is no such session any more."""
        ended = [session.delete() for session in self.open_sessions() if session.mark == mark]
        return bool(ended)

    def forget_second_factor(self) -> None:
        """For somebody who has lost theirs: it is not asked for any more, and whoever is signed in so is out."""
        for factor in self.authenticator_set.all():
            factor.delete()
        self.end_other_sessions("")

    def end_other_sessions(self, session_key: str) -> int:
        """Sign out everywhere but in one session; how many others there were. Their open pages hear of it."""
        number = sum(session.session_key != session_key for session in self.open_sessions())
        self.sessions.exclude(session_key=session_key).delete()
        return number

    def get_full_name(self) -> str:
        return self.name

    def get_short_name(self) -> str:
        return self.name
