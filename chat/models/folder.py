from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext as _

from chat.models.ids import uuid7
from chat.refused import Refused
from chat.text import clean_text


class Folder(models.Model):
    """Conversations of one person that belong together; each of them begins with the folder's system prompt."""

    NAME_LENGTH = 80
    SYSTEM_PROMPT_LENGTH = 8_000

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="folders")
    name = models.CharField(max_length=NAME_LENGTH)
    system_prompt = models.TextField(blank=True)

    if TYPE_CHECKING:
        owner_id: UUID

    class Meta:
        ordering = (Lower("name"), "id")

    def __str__(self) -> str:
        return f"folder {self.id}"

    def describe(self, name: str, system_prompt: str) -> None:
        """Give it a name and a system prompt, and keep it; raises Refused for a name or prompt that can't be."""
        name, system_prompt = " ".join(clean_text(name).split()), clean_text(system_prompt).strip()
        if not name:
            raise Refused(_("A folder needs a name."))
        for text, most in ((name, self.NAME_LENGTH), (system_prompt, self.SYSTEM_PROMPT_LENGTH)):
            if len(text) > most:
                words = _("This can have {most:,} characters; it has {number:,}.")
                raise Refused(words.format(most=most, number=len(text)))
        self.name, self.system_prompt = name, system_prompt
        self.save()
