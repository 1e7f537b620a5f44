"""Shared links in Django's admin: who shares with whom and until when. What is shared is not shown here."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from chat.models import ShareLink


@admin.register(ShareLink)
class ShareLinkAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("owner", "audience", "created_at", "expires_at", "has_password", "num_views", "revoked_at")
    list_filter = ("audience", ("revoked_at", admin.EmptyFieldListFilter))
    list_select_related = ("owner",)
    search_fields = ("owner__email", "owner__name")
    ordering = ("-created_at",)
    fields = (
        "owner",
        "audience",
        "people",
        "groups",
        "created_at",
        "expires_at",
        "has_password",
        "num_views",
        "revoked_at",
    )
    actions = ("revoke", "revoke_all_of_the_owners")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: ShareLink | None = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return self.has_delete_permission(request)

    @admin.display(description=_("password"), boolean=True)
    def has_password(self, link: ShareLink) -> bool:
        return bool(link.password)

    @admin.action(description=_("Revoke the selected links"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, links: QuerySet[ShareLink]) -> None:
        self._revoke(request, links)

    @admin.action(description=_("Revoke all links of the selected links' owners"), permissions=["revoke"])
    def revoke_all_of_the_owners(self, request: HttpRequest, links: QuerySet[ShareLink]) -> None:
        self._revoke(request, ShareLink.objects.filter(owner__in=links.values("owner")))

    def _revoke(self, request: HttpRequest, links: QuerySet[ShareLink]) -> None:
        number = ShareLink.objects.filter(id__in=links.values("id")).revoke()
        words = ngettext("%(number)d link was revoked.", "%(number)d links were revoked.", number)
        self.message_user(request, words % {"number": number})
