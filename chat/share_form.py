"""The wish to share a chat, as its dialog sends it."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from chat.models import Message, ShareLink, User
from chat.models.snapshot import Draft, Selection
from chat.text import clean_text

LEAST_PASSWORD = 8


class ShareForm(forms.Form):
    """What of a draft is shared, with whom and for how long. Tick: it is shared."""

    audience = forms.ChoiceField(choices=ShareLink.Audience.choices, initial=ShareLink.Audience.MEMBERS)
    people = forms.CharField(required=False, max_length=5000)
    groups = forms.ModelMultipleChoiceField(Group.objects.none(), required=False, widget=forms.CheckboxSelectMultiple)
    thinking = forms.BooleanField(required=False)
    models = forms.BooleanField(required=False, initial=True)
    author = forms.BooleanField(required=False)
    messages = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)
    keep = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)
    live = forms.BooleanField(required=False)
    days = forms.IntegerField(min_value=1)
    password = forms.CharField(required=False, max_length=200, strip=False)
    digest = forms.CharField(required=False, max_length=32)

    def __init__(self, draft: Draft, data: Any = None) -> None:
        shown = [str(message.id) for message in draft.branch]
        days = min(ShareLink.DEFAULT_DAYS, settings.LINK_DAYS)
        super().__init__(data, initial={"messages": shown, "days": days})
        self.draft = draft
        self.fields["groups"].queryset = draft.owner.groups.order_by("name")  # type: ignore[attr-defined]
        self.found = {_key(part): part for part in draft.found}
        for name, choices in (("messages", shown), ("keep", self.found)):
            self.fields[name].choices = [(each, each) for each in choices]  # type: ignore[attr-defined]

    @property
    def selection(self) -> Selection:
        """What is ticked, whether the rest of the form is right or not."""
        ticked = set(self._values("messages"))
        return Selection(
            has_thinking=bool(self["thinking"].value()),
            has_models=bool(self["models"].value()),
            has_author=bool(self["author"].value()),
            left_out=[str(each.id) for each in self.draft.branch if str(each.id) not in ticked],
            kept=[part for _, part, is_kept in self.finds if is_kept],
        )

    def _values(self, name: str) -> list[str]:
        return list(self[name].value() or [])

    @property
    def is_live(self) -> bool:
        return self.draft.running is not None and bool(self["live"].value())

    @property
    def rows(self) -> list[tuple[Message, bool]]:
        """The messages that can be left out, and whether each is shared."""
        ticked = self._values("messages")
        return [(each, str(each.id) in ticked) for each in self.draft.branch]

    @property
    def finds(self) -> list[tuple[str, str, bool]]:
        """The private parts, each with the value of its box and whether it is kept."""
        kept = self._values("keep")
        return [(key, part, key in kept) for key, part in self.found.items()]

    def clean_days(self) -> int:
        days: int = self.cleaned_data["days"]
        if days > settings.LINK_DAYS:
            raise ValidationError(_("A link can last %(most)s days at most."), params={"most": settings.LINK_DAYS})
        return days

    def clean_password(self) -> str:
        password = clean_text(self.cleaned_data["password"])
        if password and len(password) < LEAST_PASSWORD:
            raise ValidationError(_("Use at least %(least)s characters."), params={"least": LEAST_PASSWORD})
        return password

    def clean(self) -> None:
        super().clean()
        values = self.cleaned_data
        values["people"] = self._people(values.get("people", ""))
        is_named = values["people"] or values.get("groups") or self.has_error("people")
        if values.get("audience") == ShareLink.Audience.NAMED and not is_named:
            self.add_error("people", _("Name at least one person."))
        if values.get("digest") != self.draft.digest:
            self.add_error(None, _("This chat has changed since it was shown here. Look again at what will be shared."))

    def _people(self, text: str) -> list[User]:
        """Those whose addresses were given; an address of nobody is an error, or a slip would go unseen."""
        addresses = {address.lower() for address in re.split(r"[\s,;]+", clean_text(text)) if address}
        by_address = User.objects.annotate(address=Lower("email")).filter(address__in=addresses, is_active=True)
        people = {user.email.lower(): user for user in by_address}
        if unknown := sorted(addresses - set(people)):
            words = _("Nobody here has this address: %(addresses)s")
            self.add_error("people", ValidationError(words, params={"addresses": ", ".join(unknown[:5])}))
        return list(people.values())


def _key(part: str) -> str:
    """A name for a private part that a form brings back unchanged, whatever lines it has."""
    return hashlib.sha256(part.encode()).hexdigest()[:16]
