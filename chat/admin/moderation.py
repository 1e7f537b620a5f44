from __future__ import annotations

from django.contrib import admin

from chat.admin.audited import Audited
from chat.models import ModerationRule


@admin.register(ModerationRule)
class ModerationRuleAdmin(Audited):
    """What must not be sent or shown; see chat/models/moderation_rule.py."""

    list_display = ("name", "pattern", "side", "action", "is_active")
    list_filter = ("action", "side", "is_active")
    search_fields = ("name", "pattern")
    fields = ("name", "pattern", "side", "action", "replacement", "is_active")
