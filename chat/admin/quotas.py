from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from chat.admin.audited import Audited
from chat.models import Quota


@admin.register(Quota)
class QuotaAdmin(Audited):
    list_display = ("quota", "user", "group", "is_pool", "model")
    list_select_related = ("user", "group")
    list_filter = ("measure", "period", "group")
    search_fields = ("user__email", "group__name")
    autocomplete_fields = ("user", "group")
    fields = ("most", "measure", "period", "user", "group", "is_pool", "model")

    @admin.display(description=_("quota"), ordering="most")
    def quota(self, quota: Any) -> str:
        return str(quota)
