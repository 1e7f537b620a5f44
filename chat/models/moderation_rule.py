from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from typing import NoReturn, Self
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat import model_check
from chat.models.audit import Audit
from chat.models.seldom import Seldom
from chat.models.user import User
from chat.refused import Refused


class ModerationRule(Seldom):
    """What is done when a pattern is found in a message before it is sent, or in a reply before it is shown.

    Without a rule nothing is looked at. The audit log says which rule did what to whose text, and never the text.
    """

    class Action(models.TextChoices):
        REFUSE = "refuse", _("Refuse: the message is not sent, the reply ends there")
        REPLACE = "replace", _("Replace what was found")
        MARK = "mark", _("Note it in the audit log alone")

    class Side(models.TextChoices):
        MESSAGES = "messages", _("Messages")
        REPLIES = "replies", _("Replies")
        BOTH = "both", _("Messages and replies")

    name = models.CharField(_("name"), max_length=60, unique=True, help_text=_("People read it when it refuses."))
    pattern = models.CharField(
        _("pattern"), max_length=500, help_text=_("A regular expression; large and small letters are the same.")
    )
    side = models.CharField(_("where"), max_length=8, choices=Side, default=Side.BOTH)
    action = models.CharField(_("what is done"), max_length=7, choices=Action, default=Action.MARK)
    replacement = models.CharField(_("replacement"), max_length=100, blank=True, default="***")
    is_active = models.BooleanField(_("active"), default=True)

    class Meta:
        verbose_name = _("moderation rule")
        verbose_name_plural = _("moderation rules")
        ordering = ("id",)

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        try:
            is_empty = bool(re.compile(self.pattern).match(""))
        except re.error as error:
            raise ValidationError({"pattern": _("This is no regular expression: %s.") % error}) from None
        if is_empty:
            raise ValidationError({"pattern": _("This is found in every text.")})

    @cached_property
    def expression(self) -> re.Pattern[str]:
        return re.compile(self.pattern, re.IGNORECASE)

    @classmethod
    def active(cls, side: Side) -> list[Self]:
        """The rules for one side; none, and no query, where the server has none."""
        return [] if cls.are_none() else list(cls.objects.filter(is_active=True, side__in=[side, cls.Side.BOTH]))

    @classmethod
    def checked_message(cls, text: str, author_id: UUID) -> str:
        """A message as it may be sent; raises Refused when it may not."""
        found = [rule for rule in cls.active(cls.Side.MESSAGES) if rule.expression.search(text)]
        cls.note(found, author_id, "message")
        for rule in found:
            if rule.action == cls.Action.REFUSE:
                rule._refuse()
            if rule.action == cls.Action.REPLACE:
                text = rule.expression.sub(lambda _, rule=rule: rule.replacement, text)  # type: ignore[misc]
        if settings.MODERATION_URL:
            cls._ask_model(text, author_id)
        return text

    @classmethod
    def _ask_model(cls, text: str, author_id: UUID) -> None:
        """Raise Refused for a message that the model of the setting flags, or says nothing about."""
        categories = model_check.flagged(text)
        if categories is not None:
            cls.note([cls.of_model()], author_id, "message", categories=", ".join(categories))
            raise Refused(gettext("This message does not pass the check of this server. Change it and try again."))

    @classmethod
    def of_model(cls) -> Self:
        """What the model's check is called in the audit log, beside the rules."""
        return cls(name="model", action=cls.Action.REFUSE)

    def _refuse(self) -> NoReturn:
        words = gettext(
            "A rule of this server (“{rule}”) does not let this message through. Change it and send it again."
        )
        raise Refused(words.format(rule=self.name))

    @classmethod
    def note(cls, found: Iterable[ModerationRule], person_id: UUID, kind: str, **details: str) -> None:
        """Enter into the audit log what rules did to a person's message, or to a reply to them."""
        for rule in found:
            person = User.objects.filter(id=person_id).first()
            Audit.enter(None, f"moderation.{rule.action}", person, None, rule=rule.name, where=kind, **details)
