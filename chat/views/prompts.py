"""Prompts as the composer offers them behind a slash."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from chat import access
from chat.models import Prompt
from chat.views.signed_in import Request, signed_in


@require_safe
@signed_in
def choices(request: Request) -> HttpResponse:
    """The options of the menu: only a script has a use for them."""
    if not request.htmx:
        return redirect("prompts")
    return render(request, "chat/_prompt_choices.html", {"prompts": access.library(request.user, Prompt)})


@require_safe
@signed_in
def filling(request: Request, item_id: UUID) -> HttpResponse:
    """The dialog that asks for the variables of a prompt; it is a script that puts them into the message."""
    prompt = access.prompt(request.user, item_id)
    if not request.htmx:
        return redirect("prompts")
    return render(request, "chat/_prompt_filling.html", {"prompt": prompt})
