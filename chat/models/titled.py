from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from django.db import models
from django.utils.translation import gettext as _

from chat import hints
from chat.markdown import title_from
from chat.refused import Refused
from chat.text import clean_text

if TYPE_CHECKING:
    from chat.models.message import Message


class Titled(models.Model):
    """The title of a conversation: the first words of the question, then the heading of the answer, then what its owner
    says it is."""

    TITLE_LENGTH = 200

    title = models.CharField(max_length=TITLE_LENGTH, blank=True)
    has_manual_title = models.BooleanField(default=False)

    if TYPE_CHECKING:
        id: UUID
        owner_id: UUID

    class Meta:
        abstract = True

    def rename(self, title: str) -> None:
        title = " ".join(clean_text(title).split())
        if not title:
            raise Refused(_("A title needs at least one character."))
        if len(title) > self.TITLE_LENGTH:
            words = _("A title can have {most} characters; this one has {number}.")
            raise Refused(words.format(most=self.TITLE_LENGTH, number=len(title)))
        self.title, self.has_manual_title = title, True
        self.save(update_fields=["title", "has_manual_title"])
        hints.conversation_changed(self.owner_id, self.id)

    def improve_title(self, reply: Message, heading: str) -> None:
        """Take the heading of a reply to the first question, where the title is still that question's first words."""
        question = reply.parent
        if question and not question.parent_id and self.title == title_from(question.text):
            unnamed = type(self)._base_manager.filter(pk=self.pk, has_manual_title=False, title=self.title)
            unnamed.update(title=heading)
