"""Which model answers here, and whether it is ready."""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from chat.models import Worker
from chat.stages import model_notice
from chat.views.signed_in import Request, signed_in


class ModelStatus(NamedTuple):
    name: str
    notice: str
    """What stands in the way of an answer; empty when the model is ready."""


@require_safe
@signed_in
def model(request: Request) -> HttpResponse:
    """The page asks here until the model is ready."""
    return render(request, "chat/model.html", {"model": model_status(), "is_update": True})


def model_status() -> ModelStatus:
    name = Worker.live().exclude(model="").values_list("model", flat=True).first()
    return ModelStatus(name or settings.MODEL.rpartition("/")[2] or _("No model yet"), model_notice())
