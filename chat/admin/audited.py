from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from chat.models import Audit, User


class Audited(admin.ModelAdmin):  # type: ignore[type-arg]
    """A part of the admin whose every change stands in the audit log too."""

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
