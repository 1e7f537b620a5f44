from __future__ import annotations

import time
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.auth.models import Group
from django.db import models
from django.utils.translation import gettext_lazy as _


class ModelAccess(models.Model):
    """A model that only the members of some groups may ask. What is not named here is for everybody."""

    # Most servers close nothing, and every message would ask; so that is known for a while.
    ALL_OPEN_FOR_S = 5.0
    _all_open_until: ClassVar[float] = 0.0

    model = models.CharField(_("model"), max_length=200, unique=True, help_text=_("Its name, as people choose it."))
    groups = models.ManyToManyField(
        Group, verbose_name=_("groups"), blank=True, related_name="+", help_text=_("Without any, nobody may ask it.")
    )

    class Meta:
        verbose_name = _("model for some groups")
        verbose_name_plural = _("models for some groups")

    def __str__(self) -> str:
        return self.model

    def save(self, *args: Any, **kwargs: Any) -> None:
        super().save(*args, **kwargs)
        type(self)._all_open_until = 0.0

    @classmethod
    def closed_to(cls, user_id: UUID) -> frozenset[str]:
        """The models that this person may not ask."""
        if time.monotonic() < cls._all_open_until:
            return frozenset()
        closed = frozenset(cls.objects.exclude(groups__user=user_id).values_list("model", flat=True))
        if not closed and not cls.objects.exists():
            cls._all_open_until = time.monotonic() + cls.ALL_OPEN_FOR_S
        return closed
