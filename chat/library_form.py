"""Presets and prompts as the people who keep them fill them in."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.utils.translation import gettext_lazy as _

from chat.models import Preset, Prompt, User, Worker
from chat.models.library import LibraryItem
from chat.text import clean_text


class LibraryForm(forms.ModelForm):  # type: ignore[type-arg]
    """An item of somebody's own; administrators say besides whether it is for everybody."""

    kind: ClassVar[type[LibraryItem]]
    instance: LibraryItem
    is_for_all = forms.BooleanField(label=_("For everybody"), required=False)

    def __init__(self, user: User, data: Any = None, *, instance: LibraryItem) -> None:
        super().__init__(data, instance=instance, initial={"is_for_all": instance.is_for_all})
        self.user = user
        if user.role != User.Role.ADMIN:
            del self.fields["is_for_all"]

    def clean_name(self) -> str:
        name = " ".join(clean_text(self.cleaned_data["name"]).split())
        if not name:
            raise ValidationError(_("Enter a name."))
        return name

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or self.cleaned_data
        self.instance.owner = None if values.get("is_for_all") else self.user
        if not self.instance.has_room():
            words = _("There are {number} already, and that is the most. Delete one first.")
            raise ValidationError(str(words).format(number=self.instance.MOST))
        return values


class PresetForm(LibraryForm):
    kind = Preset
    MORE = ("enable_thinking", "thinking_budget", "temperature", "top_p", "max_tokens")

    model = forms.ChoiceField(label=_("Model"), required=False)
    enable_thinking = forms.TypedChoiceField(
        label=_("Thinking"),
        choices=[("", _("As chosen each time")), ("True", _("On")), ("False", _("Off"))],
        coerce=lambda value: value == "True",
        empty_value=None,
        required=False,
    )

    class Meta:
        model = Preset
        fields = (
            *("name", "icon", "model", "system_prompt"),
            *("enable_thinking", "thinking_budget", "temperature", "top_p", "max_tokens"),
        )
        widgets = {
            "name": forms.TextInput(attrs={"dir": "auto", "autocomplete": "off"}),
            "icon": forms.TextInput(attrs={"autocomplete": "off"}),
            "system_prompt": forms.Textarea(attrs={"rows": 6, "dir": "auto"}),
        }
        help_texts = {
            "icon": _("An emoji, if you like."),
            "system_prompt": _("What the model reads first, unseen: who it is, how it is to answer."),
            "temperature": _("0 is the same each time, 2 is wild. Empty: what the model's makers recommend."),
        }

    def __init__(self, user: User, data: Any = None, *, instance: Preset) -> None:
        super().__init__(user, data, instance=instance)
        known = [offer.name for offer in Worker.offers()]
        if instance.model and instance.model not in known:
            known.append(instance.model)
        self.fields["model"].choices = [("", _("Any model")), *((name, name) for name in known)]  # type: ignore[attr-defined]
        self.fields["max_tokens"].validators.append(MaxValueValidator(settings.MAX_TOKENS))

    @property
    def has_more(self) -> bool:
        """Whether anything is said, or said wrongly, in the part that is folded."""
        return any(self[name].value() not in (None, "") or self[name].errors for name in self.MORE)

    def clean_icon(self) -> str:
        icon = clean_text(self.cleaned_data["icon"]).strip()
        if any(character.isalnum() or character.isspace() for character in icon):
            raise ValidationError(_("An icon is an emoji or another sign, not a word."))
        return icon

    def clean_system_prompt(self) -> str:
        return clean_text(self.cleaned_data["system_prompt"]).strip()

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        if values.get("thinking_budget") and values.get("enable_thinking") is not True:
            self.add_error("thinking_budget", _("A limit needs thinking to be on."))
        return values


class PromptForm(LibraryForm):
    kind = Prompt

    class Meta:
        model = Prompt
        fields = ("name", "text")
        labels = {"name": _("Title")}
        widgets = {
            "name": forms.TextInput(attrs={"dir": "auto", "autocomplete": "off"}),
            "text": forms.Textarea(attrs={"rows": 8, "dir": "auto"}),
        }
        help_texts = {
            "text": _(
                "{{topic}} is a gap, which you are asked to fill when you use the prompt; {{tone:friendly}} is one with"
                " something in it."
            ),
        }

    def __init__(self, user: User, data: Any = None, *, instance: Prompt) -> None:
        super().__init__(user, data, instance=instance)
        self.fields["text"].strip = False  # type: ignore[attr-defined]  # it may end where the message goes on

    def clean_text(self) -> str:
        text = clean_text(self.cleaned_data["text"])
        if not text.strip():
            raise ValidationError(_("Enter a text."))
        return text
