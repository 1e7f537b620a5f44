from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.ids import uuid7

if TYPE_CHECKING:
    from chat.models.user import User


class BannerQuerySet(models.QuerySet["Banner"]):
    def shown_to(self, user: User) -> Self:
        """Those that stand on this person's pages now, whether dismissed or not."""
        started = self.filter(starts_at__lte=Now()).exclude(ends_at__lte=Now())
        return started if user.is_staff else started.filter(audience=Banner.Audience.EVERYONE)


class Banner(models.Model):
    """Some words of the administrator that stand above every page for a time; see chat/notices.py.

    Whoever dismisses it does not see it again. An error stays until its end.
    """

    class Level(models.TextChoices):
        INFO = "info", _("Information")
        WARNING = "warning", _("Warning")
        ERROR = "error", _("Error: nobody can dismiss it")

    class Audience(models.TextChoices):
        EVERYONE = "everyone", _("Everyone")
        ADMINS = "admins", _("Administrators and auditors")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    level = models.CharField(_("level"), max_length=7, choices=Level, default=Level.INFO)
    text = models.TextField(_("text"), max_length=1000, help_text=_("Plain text; addresses become links."))
    audience = models.CharField(_("who sees it"), max_length=8, choices=Audience, default=Audience.EVERYONE)
    starts_at = models.DateTimeField(_("start"), default=timezone.now)
    ends_at = models.DateTimeField(_("end"), null=True, blank=True, help_text=_("Empty: until it is deleted."))
    dismissed_by = models.ManyToManyField(settings.AUTH_USER_MODEL, editable=False, related_name="+")

    objects = BannerQuerySet.as_manager()

    class Meta:
        verbose_name = _("banner")
        verbose_name_plural = _("banners")
        constraints = (
            models.CheckConstraint(
                condition=models.Q(ends_at=None) | models.Q(ends_at__gt=models.F("starts_at")),
                name="banner_ends_after_its_start",
                violation_error_message=_("The end comes before the start."),
            ),
        )

    def __str__(self) -> str:
        return f"{self.level}: {self.text[:60]}"

    def dismiss(self, user: User) -> None:
        self.dismissed_by.add(user)

    def show_again(self) -> None:
        """To all who dismissed it: it says something else now."""
        self.dismissed_by.clear()
