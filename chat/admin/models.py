"""Which models are for some groups only."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from chat.admin.audited import Audited
from chat.models import ModelAccess, Worker


class ModelAccessForm(forms.ModelForm):  # type: ignore[type-arg]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "model" in self.fields:
            served = ", ".join(offer.name for offer in Worker.offers())
            self.fields["model"].help_text += " " + _("Served of late: %(names)s") % {"names": served or "–"}


@admin.register(ModelAccess)
class ModelAccessAdmin(Audited):
    form = ModelAccessForm
    list_display = ("model", "of_groups")
    ordering = ("model",)
    fields = ("model", "groups")
    filter_horizontal = ("groups",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelAccess]:
        models: QuerySet[ModelAccess] = super().get_queryset(request)
        return models.prefetch_related("groups")

    @admin.display(description=_("groups"))
    def of_groups(self, access: ModelAccess) -> str:
        return ", ".join(group.name for group in access.groups.all()) or "–"
