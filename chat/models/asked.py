from __future__ import annotations

from typing import Any

from django.db import models

from chat.models.preset import CHOICE

# What another reply that is made in the same way is asked with.
ASKED = (
    "asked_model",
    "enable_thinking",
    "thinking_budget",
    "system_prompt",
    "asked_sampling",
    "preset_id",
    "preset_name",
)


class Asked(models.Model):
    """What was asked of the model for a reply.

    A preset is copied here at the moment of asking: a change of it, or its end, changes no reply. Of sampling there is
    only what was asked for; with the rest, as it was used, it stands in `sampling` when the reply has ended.
    """

    asked_model = models.CharField(max_length=200, blank=True, default="", db_default="")
    enable_thinking = models.BooleanField(null=True, blank=True)
    thinking_budget = models.PositiveIntegerField(null=True, blank=True)
    system_prompt = models.TextField(blank=True, default="", db_default="")
    asked_sampling = models.JSONField(default=dict, blank=True, db_default={})
    preset_id = models.UUIDField(null=True, blank=True)
    preset_name = models.CharField(max_length=120, blank=True, default="", db_default="")

    class Meta:
        abstract = True

    @property
    def preset_choice(self) -> str:
        """What stands for its preset among the models to choose from; empty without one."""
        return f"{CHOICE}{self.preset_id}" if self.preset_id else ""

    def again(self, **changed: Any) -> dict[str, Any]:
        """The fields of a generation that is made like this one, but for what is changed."""
        return {name: getattr(self, name) for name in ASKED} | changed
