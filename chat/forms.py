"""What people may send, as forms."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from allauth.account.forms import LoginForm
from django import forms
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

from chat.models import Feedback, Generation, Invitation, Preset, User
from chat.text import clean_text


class PlainText(forms.Field):
    """Text kept as it was written; what may stand in it is for the model that stores it to say."""

    def to_python(self, value: object) -> str:
        return value if isinstance(value, str) else ""


class ReplyForm(forms.Form):
    """A wish for a reply; the client id is made where it is sent from, so that a repeat is known as one.

    `model` is the name of one, or what stands for a preset among the models to choose from.
    """

    client_id = forms.CharField(max_length=64, validators=[RegexValidator(r"\A[\w-]+\Z")])
    model = forms.CharField(max_length=200, required=False)
    thinking = forms.ChoiceField(choices=[("", ""), ("on", "on"), ("off", "off")], required=False)
    thinking_budget = forms.IntegerField(min_value=1, max_value=1_000_000, required=False)

    @property
    def how(self) -> dict[str, Any]:
        """What is asked of the model, as fields of a generation; what was not chosen is left out."""
        fields = self.cleaned_data
        thinking = {"on": True, "off": False}.get(fields["thinking"])
        chosen = {
            "asked_model": clean_text(fields["model"]) or None,
            "enable_thinking": thinking,
            "thinking_budget": fields["thinking_budget"] if thinking is not False else None,
        }
        return {name: value for name, value in chosen.items() if value is not None}

    @property
    def preset_id(self) -> UUID | None:
        """The preset that is chosen; None for a model."""
        return Preset.chosen_by(self.cleaned_data["model"])


class MessageForm(ReplyForm):
    text = PlainText(required=False)
    parent = forms.UUIDField(required=False)
    compare = forms.CharField(max_length=200, required=False)

    @property
    def how(self) -> dict[str, Any]:
        """Besides, which second model answers too, if one was chosen."""
        second = clean_text(self.cleaned_data["compare"])
        return {**super().how, "compared_with": second} if second else super().how


class VersionForm(ReplyForm):
    text = PlainText(required=False)


class AnotherReplyForm(ReplyForm):
    """Another reply instead of one that is there, and in what it shall differ; nothing given is: made the same way."""

    instead_of = forms.UUIDField(required=False)
    length = forms.ChoiceField(choices=[("", ""), *Generation.Length.choices], required=False)

    def changed(self) -> dict[str, Any]:
        """The fields of the generation in which it differs."""
        length = self.cleaned_data["length"]
        changed = self.how
        return {**changed, "length": length, "source_id": self.cleaned_data["instead_of"]} if length else changed


class VoteForm(forms.Form):
    value = forms.ChoiceField(choices=Feedback.Value.choices)


class ReasonsForm(forms.Form):
    """Why a reply was not good; all of it is optional."""

    reasons = forms.MultipleChoiceField(
        choices=Feedback.Reason.choices, required=False, widget=forms.CheckboxSelectMultiple
    )
    comment = forms.CharField(
        label=_("Anything else?"),
        max_length=Feedback.COMMENT_LENGTH,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "dir": "auto"}),
    )

    def clean_comment(self) -> str:
        return clean_text(self.cleaned_data["comment"])


class LanguageForm(forms.Form):
    """The language of the page; none is that of the browser."""

    language = forms.ChoiceField(choices=[("", ""), *settings.LANGUAGES], required=False)


class SignInForm(LoginForm):  # type: ignore[misc]
    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)
            field.help_text = ""  # allauth's link to the password reset, which the page has in its own place
        self.fields["login"].widget.attrs["autofocus"] = True


class SetupForm(forms.Form):
    """The first administrator."""

    name = forms.CharField(
        label=_("Name"),
        max_length=120,
        widget=forms.TextInput(attrs={"autocomplete": "name", "autofocus": True}),
    )
    email = forms.EmailField(label=_("E-mail"), widget=forms.EmailInput(attrs={"autocomplete": "username"}))
    password = forms.CharField(
        label=_("Password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("At least 10 characters, and nothing easy to guess."),
    )

    def clean_name(self) -> str:
        name = " ".join(clean_text(self.cleaned_data["name"]).split())
        if not name:
            raise ValidationError(_("Enter your name."))
        return name

    def clean(self) -> None:
        """Hold the password against the rules once name and address are known: it must not be like them."""
        super().clean()
        values = self.cleaned_data
        if "password" not in values:
            return
        try:
            validate_password(values["password"], User(email=values.get("email", ""), name=values.get("name", "")))
        except ValidationError as error:
            self.add_error("password", error)


class InvitationForm(SetupForm):
    """Somebody who was invited; an invitation of one address takes no other."""

    def __init__(self, invitation: Invitation, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if invitation.email:
            self.fields["email"].initial = invitation.email
            self.fields["email"].disabled = True

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"]).lower()
        if User.objects.filter(email__iexact=email).exists():
            raise ValidationError(_("There is an account with this address already: sign in with it."))
        return email


class InvitationRequestForm(forms.Form):
    """An address that may be of a domain whose people make their own accounts."""

    email = forms.EmailField(label=_("E-mail"), widget=forms.EmailInput(attrs={"autocomplete": "username"}))

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).lower()
