"""Which models answer here, what they can do, and whether they are ready."""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from chat import access
from chat.models import Generation, Preset, User, Worker
from chat.models.worker import Offer
from chat.stages import Stage, obstacle
from chat.views.signed_in import Request, signed_in

THINKING_BUDGETS = (512, 2048, 8192)


class PresetOption(NamedTuple):
    preset: Preset
    has_thinking: bool
    """Whether it leaves it to the person how much is thought, and its model can."""


class ModelStatus(NamedTuple):
    """The models and presets to choose from, and what is chosen; `default` is what answers when none is named."""

    obstacle: Stage | None
    """What stands in the way of an answer; None when a model is ready."""
    offers: list[Offer]
    default: str
    presets: list[PresetOption]
    chosen: str
    """The name of a model, or what stands for a preset; empty is the default."""
    enable_thinking: bool | None
    thinking_budget: int | None
    budgets: tuple[int, ...] = THINKING_BUDGETS

    @property
    def has_thinking(self) -> bool:
        """Whether the person may say how much is thought."""
        for preset, has_thinking in self.presets:
            if preset.choice == self.chosen:
                return has_thinking
        return _can_think(self.offers, self.chosen)

    @property
    def default_has_thinking(self) -> bool:
        """Whether one of the models thinks that may answer where none is named."""
        return _can_think(self.offers, "")

    @property
    def can_compare(self) -> bool:
        """Whether two models are online."""
        return sum(offer.is_online for offer in self.offers) > 1

    @property
    def is_one_for_all(self) -> bool:
        """Whether the default is one model and not whichever is free."""
        return len({offer.base for offer in self.offers}) == 1


@require_safe
@signed_in
def model(request: Request) -> HttpResponse:
    """The page asks here until the model is ready; it says what is chosen on it."""
    status = model_status(request.user, None, request.GET.get("model", ""))
    return render(request, "chat/model.html", {"model": status, "is_update": True})


def model_status(user: User, last: Generation | None, chosen: str = "") -> ModelStatus:
    """What a person may choose from: with this chosen, or else set as the reply `last` was asked for."""
    offers = Worker.offers(user.id)
    presets = [_option(preset, offers) for preset in access.library(user, Preset)]
    names = {offer.name for offer in offers}
    name = next((offer.base for offer in offers if offer.is_online), settings.MODEL.rpartition("/")[2])
    if len({offer.base for offer in offers}) > 1:
        name = _("Whichever is free")
    thinking = {preset.choice: has_thinking for preset, has_thinking in presets}
    wished = (chosen, last.preset_choice, last.asked_model) if last else (chosen,)
    # How much a preset had the model think is not what the person said of it.
    by_hand = last if last and thinking.get(last.preset_choice, not last.preset_id) else None
    return ModelStatus(
        obstacle=obstacle(),
        offers=offers,
        default=name or _("No model yet"),
        presets=presets,
        chosen=next((choice for choice in wished if choice in thinking or choice in names), ""),
        enable_thinking=by_hand.enable_thinking if by_hand else None,
        thinking_budget=by_hand.thinking_budget if by_hand else None,
    )


def _option(preset: Preset, offers: list[Offer]) -> PresetOption:
    return PresetOption(preset, preset.enable_thinking is None and _can_think(offers, preset.model))


def _can_think(offers: list[Offer], model: str) -> bool:
    """Whether this model thinks, or for "" one of those that may answer."""
    return any(offer.has_thinking for offer in offers if model in {"", offer.name})
