from __future__ import annotations

from uuid import UUID

from django.contrib.auth.models import Group
from django.db import models
from django.utils.translation import gettext_lazy as _

from chat.models.seldom import Seldom


class ModelAccess(Seldom):
    """A model that only the members of some groups may ask. What is not named here is for everybody."""

    model = models.CharField(_("model"), max_length=200, unique=True, help_text=_("Its name, as people choose it."))
    groups = models.ManyToManyField(
        Group, verbose_name=_("groups"), blank=True, related_name="+", help_text=_("Without any, nobody may ask it.")
    )

    class Meta:
        verbose_name = _("model for some groups")
        verbose_name_plural = _("models for some groups")

    def __str__(self) -> str:
        return self.model

    @classmethod
    def closed_to(cls, user_id: UUID) -> frozenset[str]:
        """The models that this person may not ask."""
        if cls.are_none():
            return frozenset()
        return frozenset(cls.objects.exclude(groups__user=user_id).values_list("model", flat=True))
