from __future__ import annotations

import json
from collections.abc import Iterator

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import URLPattern, path

from chat.admin.values import Values
from chat.models import Audit
from chat.spreadsheet import Cell, csv_file


@admin.register(Audit)
class AuditAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """The audit log: to be read, filtered and exported, by nobody to be changed."""

    list_display = ("at", "actor", "act", "object_type", "object_name", "address", "details")
    list_filter = ("act", ("object_type", Values), ("at", admin.DateFieldListFilter))
    search_fields = ("actor", "act", "object_name", "object_id")
    ordering = ("-at", "-id")
    show_full_result_count = False
    list_per_page = 50
    change_list_template = "admin/audit.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Audit | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Audit | None = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        export = self.admin_site.admin_view(self.export)
        return [path("export.csv", export, name="chat_audit_export"), *super().get_urls()]

    def export(self, request: HttpRequest) -> StreamingHttpResponse:
        """All lines that the same filters show on the page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = self.get_changelist_instance(request).get_queryset(request)
        return csv_file("audit.csv", [*self.list_display, "object_id"], _rows(found.iterator()))


def _rows(lines: Iterator[Audit]) -> Iterator[list[Cell]]:
    for line in lines:
        details = json.dumps(line.details, ensure_ascii=False) if line.details else ""
        names = (line.actor, line.act, line.object_type, line.object_name, line.address or "", details, line.object_id)
        yield [line.at.isoformat(), *names]
