from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from chat.admin.audited import Audited
from chat.models import Banner


@admin.register(Banner)
class BannerAdmin(Audited):
    """Words above every page, for a time."""

    list_display = ("text", "level", "audience", "starts_at", "ends_at")
    list_filter = ("level", "audience")
    ordering = ("-starts_at",)
    fields = ("level", "text", "audience", "starts_at", "ends_at")

    def save_model(self, request: HttpRequest, obj: Banner, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if {"text", "level"} & set(form.changed_data):
            obj.show_again()
