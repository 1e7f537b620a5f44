"""The people of the team: who they are, what they may do, and the end of it."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.core.exceptions import ValidationError
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import FileResponse, Http404, HttpRequest
from django.utils.translation import gettext_lazy as _

from chat import access, personal_data
from chat.admin.audited import Audited
from chat.models import UsageRecord, User


class PersonCreationForm(AdminUserCreationForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields = ("email", "name")


class PersonForm(UserChangeForm):  # type: ignore[type-arg]
    role = forms.ChoiceField(label=_("Role"), choices=User.Role, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "role" in self.fields:
            self.fields["role"].initial = self.instance.role

    def clean(self) -> dict[str, Any]:
        """Somebody has to be left who can come in here."""
        values: dict[str, Any] = super().clean() or self.cleaned_data
        stays = values.get("is_active") and values.get("role") == User.Role.ADMIN
        if self.instance.is_last_admin() and not stays:
            raise ValidationError(_("This is the only active administrator. Make another one first."))
        return values

    def save(self, commit: bool = True) -> User:
        self.instance.set_role(self.cleaned_data.get("role") or User.Role.MEMBER)
        return cast(User, super().save(commit))


class RoleFilter(admin.SimpleListFilter):
    title = _("role")
    parameter_name = "role"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(User.Role.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        value = self.value()
        return queryset.filter(**User.rights_of(value)) if value in User.Role.values else queryset


@admin.register(User)
class PersonAdmin(Audited, UserAdmin):  # type: ignore[type-arg]
    form = PersonForm
    add_form = PersonCreationForm
    ordering = ("email",)
    list_display = (
        "email",
        "name",
        "role_name",
        "is_active",
        "has_second_factor",
        "last_used_at",
        "last_login",
        "date_joined",
    )
    list_filter = (RoleFilter, "is_active", "has_second_factor", "groups")
    search_fields = ("email", "name")
    readonly_fields = ("last_login", "date_joined")
    filter_horizontal = ("groups",)
    actions = ("deactivate", "activate", "forget_second_factor", "export")
    fieldsets = (
        (None, {"fields": ("email", "name", "password")}),
        (_("Rights"), {"fields": ("is_active", "role", "groups")}),
        (_("Dates"), {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "name", "usable_password", "password1", "password2")}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        used = UsageRecord.objects.filter(user_pseudonym=OuterRef("pk")).order_by("-created_at")
        people: QuerySet[User] = super().get_queryset(request)
        return people.annotate(last_used_at=Subquery(used.values("created_at")[:1]))

    @admin.display(description=_("role"))
    def role_name(self, person: User) -> str:
        return str(person.role.label)

    @admin.display(description=_("last active"), ordering="last_used_at")
    def last_used_at(self, person: Any) -> Any:
        return person.last_used_at

    @admin.action(description=_("Deactivate: end their sessions, pages and running replies"), permissions=["change"])
    def deactivate(self, request: HttpRequest, people: QuerySet[User]) -> None:
        for person in people.filter(is_active=True):
            if person.is_last_admin():
                self.message_user(request, _("The only active administrator stays."), "error")
            else:
                person.deactivate()
                self._enter(request, "deactivated", person)

    @admin.action(description=_("Export all data of one person, for whom the glass is broken"), permissions=["change"])
    def export(self, request: HttpRequest, people: QuerySet[User]) -> FileResponse | None:
        """The file holds what they wrote, so it is behind the same glass."""
        if len(people) != 1:
            self.message_user(request, _("Choose one person."), "error")
            return None
        try:
            person = access.all_of(cast(User, request.user), people[0])
        except Http404:
            self.message_user(request, _("Break the glass first, for all chats of this person."), "error")
            return None
        self._enter(request, "exported", person)
        return FileResponse(personal_data.export(person), as_attachment=True, filename=f"{person.id}.zip")

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        *found, protected = super().get_deleted_objects(objs, request)
        kept = [_("The only active administrator stays.") for person in objs if person.is_last_admin()]
        return *found, [*protected, *kept]

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[LogEntry]:
        """Without a line of its own in the audit log: that of the erasure is there, and names nobody."""
        return super(Audited, self).log_deletions(request, queryset)

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        personal_data.erase(obj, cast(User, request.user), request)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for person in queryset:
            personal_data.erase(person, cast(User, request.user), request)

    @admin.action(description=_("Activate"), permissions=["change"])
    def activate(self, request: HttpRequest, people: QuerySet[User]) -> None:
        for person in people.filter(is_active=False):
            person.activate()
            self._enter(request, "activated", person)

    @admin.action(description=_("Forget the second factor of somebody who lost it"), permissions=["change"])
    def forget_second_factor(self, request: HttpRequest, people: QuerySet[User]) -> None:
        for person in people.filter(has_second_factor=True):
            person.forget_second_factor()
            self._enter(request, "second_factor_forgotten", person)
