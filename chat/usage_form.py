"""What a page of usage shows, as it stands in the address."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django import forms
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils.translation import gettext as _

from chat.models import UsageRecord, User
from chat.models.usage_sum import today
from chat.usage_report import Filters
from chat.usage_table import COLUMNS, TITLES

DEFAULT_DAYS = 30
MOST_DAYS = 1100


class PeriodForm(forms.Form):
    """Whole days, both included; the last 30 when nothing is said."""

    first = forms.DateField(required=False)
    last = forms.DateField(required=False)

    def add_prefix(self, field_name: str) -> str:
        return {"first": "from", "last": "to"}.get(field_name, field_name)

    def clean(self) -> None:
        super().clean()
        values = self.cleaned_data
        last = values.get("last") or today()
        first = values.get("first") or last - timedelta(days=DEFAULT_DAYS - 1)
        if first > last:
            self.add_error("first", _("The first day comes after the last."))
        elif (last - first).days >= MOST_DAYS:
            self.add_error("first", _("A review can have {most} days.").format(most=MOST_DAYS))
        values.update(first=first, last=last)


class UsageForm(PeriodForm):
    """The filters as they stand in the address; what is left out is everything, by day."""

    group = forms.CharField(required=False)
    user = forms.CharField(required=False)
    model = forms.CharField(required=False)
    source = forms.ChoiceField(required=False, choices=[("", ""), *UsageRecord.Source.choices])
    by = forms.ChoiceField(required=False, choices=[("", ""), *TITLES.items()])
    sort = forms.ChoiceField(
        required=False,
        choices=[(sign + name, name) for name in ("", "name", *(c.name for c in COLUMNS)) for sign in ("", "-")],
    )

    def clean_group(self) -> int | None:
        """A group by its name, or its number."""
        value = self.cleaned_data["group"]
        if not value:
            return None
        by_number = Q(id=int(value)) if value.isascii() and value.isdigit() and len(value) < 10 else Q()
        found = Group.objects.filter(Q(name=value) | by_number if by_number else Q(name=value)).first()
        if found is None:
            raise ValidationError(_("There is no such group."))
        return found.id

    def clean_user(self) -> UUID | None:
        """A person by the address or the id; the id also of one who is gone."""
        value = self.cleaned_data["user"].strip()
        if not value:
            return None
        try:
            return UUID(value)
        except ValueError:
            found = User.objects.filter(email__iexact=value).first()
        if found is None:
            raise ValidationError(_("Nobody here has this address."))
        return found.id

    def filters(self) -> Filters:
        names = ("first", "last", "group", "user", "model", "source")
        return Filters(**{name: self.cleaned_data[name] for name in names})
