"""Which models answer here, what they can do, and whether they are ready."""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from chat.models import Generation, User, Worker
from chat.models.worker import Offer
from chat.stages import model_notice
from chat.views.signed_in import Request, signed_in

THINKING_BUDGETS = (512, 2048, 8192)


class ModelStatus(NamedTuple):
    """The models to choose from, and what is chosen; `default` is what answers when none is named."""

    notice: str
    """What stands in the way of an answer; empty when a model is ready."""
    offers: list[Offer]
    default: str
    chosen: str
    enable_thinking: bool | None
    thinking_budget: int | None
    budgets: tuple[int, ...] = THINKING_BUDGETS

    @property
    def has_thinking(self) -> bool:
        """Whether the chosen model thinks."""
        chosen = [offer.has_thinking for offer in self.offers if offer.name == self.chosen]
        return any(chosen) if self.chosen else self.default_has_thinking

    @property
    def default_has_thinking(self) -> bool:
        """Whether one of the models thinks that may answer where none is named."""
        return any(offer.has_thinking for offer in self.offers)

    @property
    def is_one_for_all(self) -> bool:
        """Whether the default is one model and not whichever is free."""
        return len({offer.base for offer in self.offers}) == 1


@require_safe
@signed_in
def model(request: Request) -> HttpResponse:
    """The page asks here until the model is ready; it says what is chosen on it."""
    status = model_status(None, request.user)._replace(chosen=request.GET.get("model", ""))
    return render(request, "chat/model.html", {"model": status, "is_update": True})


def model_status(last: Generation | None, user: User) -> ModelStatus:
    """The models as the page shows them to a person, set as the reply `last` was asked for."""
    offers = Worker.offers(user.id)
    name = next((offer.base for offer in offers if offer.is_online), settings.MODEL.rpartition("/")[2])
    if len({offer.base for offer in offers}) > 1:
        name = _("Whichever is free")
    asked = last.asked_model if last else ""
    return ModelStatus(
        notice=model_notice(),
        offers=offers,
        default=name or _("No model yet"),
        chosen=asked if asked in {offer.name for offer in offers} else "",
        enable_thinking=last.enable_thinking if last else None,
        thinking_budget=last.thinking_budget if last else None,
    )
