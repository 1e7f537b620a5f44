"""Groups of people: whose use is added up, who shares a quota, and what holds for their members."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import FilteredSelectMultiple
from django.contrib.auth.models import Group
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from chat.admin.audited import Audited
from chat.models import GroupRule, User

admin.site.unregister(Group)

RULES = ("weight", "keep_days")


def field(name: str, **how: Any) -> Any:
    """A rule's own field for the form of its group; left empty, it is the rule's default."""
    known: Any = GroupRule._meta.get_field(name)
    return known.formfield(required=False, **how)


class GroupForm(forms.ModelForm):  # type: ignore[type-arg]
    members = forms.ModelMultipleChoiceField(
        label=_("Members"),
        queryset=User.objects.order_by("email"),
        required=False,
        widget=FilteredSelectMultiple(_("members"), is_stacked=False),
    )

    weight = field("weight", min_value=GroupRule.LEAST_WEIGHT)
    keep_days = field("keep_days", min_value=1)

    class Meta:
        model = Group
        fields = ("name",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            rule = GroupRule.objects.filter(group=self.instance).first() or GroupRule()
            self.fields["members"].initial = self.instance.user_set.all()
            for name in RULES:
                self.fields[name].initial = getattr(rule, name)


@admin.register(Group)
class GroupAdmin(Audited):
    form = GroupForm
    ordering = ("name",)
    search_fields = ("name",)
    list_display = ("name", "num_members")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        groups: QuerySet[Group] = super().get_queryset(request)
        return groups.annotate(num_members=Count("user"))

    @admin.display(description=_("members"), ordering="num_members")
    def num_members(self, group: Any) -> int:
        return int(group.num_members)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        form.instance.user_set.set(form.cleaned_data["members"])
        default = GroupRule()
        values = {name: form.cleaned_data[name] or getattr(default, name) for name in RULES}
        GroupRule.objects.update_or_create(group=form.instance, defaults=values)
