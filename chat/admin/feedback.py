"""What people think of replies, without what was written."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from chat.admin.values import Values
from chat.models import Feedback


@admin.register(Feedback)
class FeedbackAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Votes with their reasons, to be read only."""

    list_display = ("created_at", "value", "made_by", "preferred_to", "reasons", "comment")
    list_filter = ("value", ("message__generation__model", Values))
    fields = list_display
    readonly_fields = list_display

    @admin.display(description=_("Model"))
    def made_by(self, feedback: Feedback) -> str:
        return feedback.message.generation.model

    @admin.display(description=_("Preferred to"))
    def preferred_to(self, feedback: Feedback) -> str:
        """The model whose reply was beside it and was not chosen."""
        return feedback.over.generation.model if feedback.over else ""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Feedback]:
        return super().get_queryset(request).select_related("message__generation", "over__generation")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Feedback | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Feedback | None = None) -> bool:
        return False
