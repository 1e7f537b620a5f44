from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.widgets import AdminSplitDateTime
from django.db.models import DateTimeField, Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from chat.models import Audit, User


class DateAndTime(AdminSplitDateTime):
    """Two fields, each with a name for who does not see the words before them."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs)
        for widget, name in zip(self.widgets, (_("Date"), _("Time")), strict=True):
            widget.attrs["aria-label"] = name


class Audited(admin.ModelAdmin):  # type: ignore[type-arg]
    """A part of the admin whose every change stands in the audit log too."""

    formfield_overrides = {DateTimeField: {"widget": DateAndTime}}

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> LogEntry:
        self._enter(request, "added", obj)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> LogEntry:
        parts = message if isinstance(message, list) else []
        fields = [name for part in parts for name in part.get("changed", {}).get("fields", [])]
        self._enter(request, "changed", obj, fields=[str(name) for name in fields])
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Model]) -> list[LogEntry]:
        for row in queryset:
            self._enter(request, "deleted", row)
        return super().log_deletions(request, queryset)

    def _enter(self, request: HttpRequest, act: str, row: Model, **details: Any) -> None:
        Audit.enter(cast(User, request.user), f"{row._meta.model_name}.{act}", row, request, **details)
