"""Breaking the glass: the only way for an administrator to read what somebody wrote."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from chat.models import GlassBreak, User


class GlassBreakForm(forms.ModelForm):  # type: ignore[type-arg]
    minutes = forms.TypedChoiceField(label=_("For how long"), coerce=int)

    class Meta:
        model = GlassBreak
        fields = ("person", "conversation_id", "reason")
        widgets = {"reason": forms.Textarea({"rows": 3})}
        help_texts = {
            "conversation_id": _("The last part of its address; empty is all chats of this person."),
            "reason": _("The person reads it, and the audit log keeps it."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "minutes" in self.fields:
            choices = [(minutes, _lasting(minutes)) for minutes in GlassBreak.MINUTES]
            self.fields["minutes"].choices = choices  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or self.cleaned_data
        person, conversation_id = values.get("person"), values.get("conversation_id")
        if person and conversation_id and not person.conversations.filter(id=conversation_id).exists():
            raise ValidationError({"conversation_id": _("This person has no such chat.")})
        return values


def _lasting(minutes: int) -> str:
    if minutes < 60:
        return ngettext("%(number)d minute", "%(number)d minutes", minutes) % {"number": minutes}
    return ngettext("%(number)d hour", "%(number)d hours", minutes // 60) % {"number": minutes // 60}


@admin.register(GlassBreak)
class GlassBreakAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Who was given the right to read whose chats, and why. Auditors see this list; nobody changes it."""

    form = GlassBreakForm
    list_display = ("created_at", "reader_name", "person", "scope", "reason", "expires_at", "ended_at", "knows", "open")
    list_select_related = ("person",)
    list_filter = (("acknowledged_at", admin.EmptyFieldListFilter),)
    search_fields = ("reader_name", "person__email", "reason")
    ordering = ("-created_at",)
    autocomplete_fields = ("person",)
    fields = ("person", "conversation_id", "reason", "minutes")

    def get_fields(self, request: HttpRequest, obj: GlassBreak | None = None) -> Any:
        return self.list_display[:-1] if obj else self.fields

    def has_change_permission(self, request: HttpRequest, obj: GlassBreak | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: GlassBreak | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: GlassBreak, form: Any, change: bool) -> None:
        obj.begin(cast(User, request.user), form.cleaned_data["minutes"], request)

    def response_add(self, request: HttpRequest, obj: GlassBreak, post_url_continue: str | None = None) -> HttpResponse:
        return redirect("glass_break", obj.id)

    def get_list_display(self, request: HttpRequest) -> Any:
        self.reader = request.user
        return self.list_display

    @admin.display(description=_("scope"))
    def scope(self, glass: GlassBreak) -> str:
        return str(glass.conversation_id or _("all chats"))

    @admin.display(description=_("the person knows since"), empty_value="–")
    def knows(self, glass: GlassBreak) -> Any:
        return glass.acknowledged_at

    @admin.display(description=_("read"))
    def open(self, glass: GlassBreak) -> str:
        if not glass.is_open:
            return str(_("over"))
        return format_html('<a href="{}">{}</a>', reverse("glass_break", args=[glass.id]), _("open"))
