from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from chat.models.library import LibraryItem

CHOICE = "preset:"
# The presets that every server begins with, by the name under which they are stored.
STARTERS = {
    "Coding and debugging": _("Coding and debugging"),
    "Writing and SEO": _("Writing and SEO"),
    "Summarising documents": _("Summarising documents"),
    "Explaining and tutoring": _("Explaining and tutoring"),
    "Translation": _("Translation"),
    "Data extraction to a table": _("Data extraction to a table"),
}


class Preset(LibraryItem):
    """A way to ask under a name: which model, under which system prompt, with which sampling and how much thinking.

    What it leaves open, the model's makers or the person who asks decide.
    """

    KIND = "preset"
    SYSTEM_PROMPT_LENGTH = 8_000
    ICON_LENGTH = 16
    SAMPLING = ("temperature", "top_p", "max_tokens")

    icon = models.CharField(_("Icon"), max_length=ICON_LENGTH, blank=True)
    model = models.CharField(_("Model"), max_length=200, blank=True)
    system_prompt = models.TextField(_("System prompt"), blank=True, max_length=SYSTEM_PROMPT_LENGTH)
    enable_thinking = models.BooleanField(_("Thinking"), null=True, blank=True)
    thinking_budget = models.PositiveIntegerField(
        _("Tokens of thinking at most"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(1_000_000)],
    )
    temperature = models.FloatField(
        _("Temperature"), null=True, blank=True, validators=[MinValueValidator(0), MaxValueValidator(2)]
    )
    top_p = models.FloatField(
        _("Top p"), null=True, blank=True, validators=[MinValueValidator(0.01), MaxValueValidator(1)]
    )
    max_tokens = models.PositiveIntegerField(
        _("Tokens of a reply at most"), null=True, blank=True, validators=[MinValueValidator(1)]
    )

    @property
    def label(self) -> str:
        """Its icon and name, that of a starter in the reader's language."""
        return f"{self.icon} {self.title}".strip()

    @property
    def title(self) -> str:
        return str(STARTERS.get(self.name, self.name) if self.is_for_all else self.name)

    @property
    def choice(self) -> str:
        """What stands for it among the models to choose from."""
        return f"{CHOICE}{self.id}"

    @staticmethod
    def chosen_by(choice: str) -> UUID | None:
        """The id of the preset that stands there as `choice`; None for a model."""
        try:
            return UUID(choice.removeprefix(CHOICE)) if choice.startswith(CHOICE) else None
        except ValueError:
            return None

    @property
    def sampling(self) -> dict[str, float]:
        """The sampling parameters that it sets; a reply never gets longer than this server allows."""
        set_here = {name: getattr(self, name) for name in self.SAMPLING if getattr(self, name) is not None}
        if "max_tokens" in set_here:
            set_here["max_tokens"] = min(set_here["max_tokens"], settings.MAX_TOKENS)
        return set_here

    @property
    def how(self) -> dict[str, Any]:
        """What it asks of the model, as fields of a generation; thinking only where it does not leave that open."""
        thinking = {"enable_thinking": self.enable_thinking, "thinking_budget": self.thinking_budget}
        return {
            "asked_model": self.model,
            "system_prompt": self.system_prompt,
            "asked_sampling": self.sampling,
            "preset_id": self.id,
            "preset_name": self.label,
            **(thinking if self.enable_thinking is not None else {}),
        }
