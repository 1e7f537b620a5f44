from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.db import models
from django.utils.translation import gettext as _

from chat.models.asked import Asked
from chat.models.message import Message
from chat.models.worker import Worker
from chat.refused import Refused

SAMPLED_BY = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "max_tokens",
    "stop",
)
NUM_SHOWN = 40


class Difference(NamedTuple):
    """A few characters of a reply before it differs from another one, and a few from there on."""

    before: str
    after: str


class Again(Asked):
    """What a generation has to do with other replies to the same message: made from one, or repeating one."""

    class Length(models.TextChoices):
        """How long a reply shall be beside the one that it is made from, its `source`."""

        SHORTER = "shorter"
        LONGER = "longer"

    length = models.CharField(max_length=7, choices=Length, blank=True, default="", db_default="")
    source = models.ForeignKey(Message, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    repeats = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    rival = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    """The other of two that are compared, until one is preferred."""
    first_difference = models.PositiveIntegerField(null=True, blank=True)

    if TYPE_CHECKING:
        id: UUID
        message: Message
        message_id: UUID
        source_id: UUID | None
        repeats_id: UUID | None
        rival_id: UUID | None
        status: str
        attempt: int
        model: str
        asked_model: str
        requested_by_id: UUID
        seed: int | None
        sampling: dict[str, Any]

    class Meta:
        abstract = True

    @property
    def settings_used(self) -> list[tuple[str, object]]:
        """How each token was chosen, for who looks into it."""
        return [(name, self.sampling[name]) for name in SAMPLED_BY if self.sampling.get(name) not in (None, [])]

    @property
    def can_repeat(self) -> bool:
        """Whether one seed tells how the whole reply was made."""
        is_whole = self.status == "completed" and self.attempt == 1 and self.seed is not None
        return is_whole and not (self.length and self.source_id is None)

    @property
    def other_models(self) -> list[str]:
        """The models online now that could make this reply in place of the one that did."""
        return [name for name in Worker.online(self.requested_by_id) if name != (self.model or self.asked_model)]

    def exactly_again(self) -> dict[str, Any]:
        """The fields of a generation that does what this one did, with the same seed.

        Raises Refused for a reply that was not made in one piece.
        """
        if not self.can_repeat:
            raise Refused(_("Only a reply that was written in one piece can be run again exactly."))
        return self.again(
            model=self.model,
            sampling={**self.sampling, "seed": self.seed},
            length=self.length,
            source_id=self.source_id,
            repeats_id=self.id,
        )

    @property
    def difference(self) -> Difference:
        """The text around the first difference from the repeated reply."""
        at, text = self.first_difference or 0, self.message.text
        return Difference(text[max(0, at - NUM_SHOWN) : at], text[at : at + NUM_SHOWN])

    def difference_from_repeated(self, text: str) -> int | None:
        """From which character on the text is not that of the reply it repeats; None when there is no difference."""
        was = Message.objects.filter(generation=self.repeats_id).values_list("text", flat=True).first()
        if was is None or was == text:
            return None
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(was, text, strict=False)))
