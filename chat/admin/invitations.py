"""Invitations: made here, shown once, taken back by deleting them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from chat.admin.audited import Audited
from chat.models import Invitation, User


@admin.register(Invitation)
class InvitationAdmin(Audited):
    list_display = ("to", "role", "group", "created_by", "created_at", "expires_at", "state")
    list_select_related = ("group", "created_by")
    list_filter = ("role", "group")
    search_fields = ("email",)
    ordering = ("-created_at",)
    fields = ("email", "role", "group", "expires_at")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"expires_at": timezone.now() + Invitation.LASTS, **super().get_changeform_initial_data(request)}

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Invitation, form: Any, change: bool) -> None:
        """Show the link, now and never again, and mail it if there is an address."""
        assert isinstance(request.user, User)
        obj.email = obj.email.lower()
        obj.created_by = request.user
        token = obj.renew()
        super().save_model(request, obj, form, change)
        address = request.build_absolute_uri(reverse("invitation", args=[token]))
        words = _("Hand this link over; it is shown only now:")
        self.message_user(request, format_html("{} <code>{}</code>", words, address), "success")
        if obj.email:
            self._send(request, obj, address)

    def _send(self, request: HttpRequest, invitation: Invitation, address: str) -> None:
        try:
            invitation.send(address)
        except OSError:
            self.message_user(request, _("The letter could not be sent."), "warning")

    @admin.display(description=gettext_lazy("to"), ordering="email")
    def to(self, invitation: Invitation) -> str:
        return invitation.email or _("Whoever has the link")

    @admin.display(description=gettext_lazy("state"))
    def state(self, invitation: Invitation) -> str:
        if invitation.used_at:
            return _("used")
        return _("open") if invitation.expires_at > timezone.now() else _("expired")
