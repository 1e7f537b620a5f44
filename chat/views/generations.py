from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from chat import access
from chat.models import Refused
from chat.views.messages import message_html, refusal
from chat.views.signed_in import Request, signed_in


@require_POST
@signed_in
def cancellation_create(request: Request, generation_id: UUID) -> HttpResponse:
    """Stop a reply; one that is over already stays as it is."""
    generation = access.generation(request.user, generation_id)
    generation.stop()
    if request.htmx:
        return HttpResponse(status=204)
    return redirect("conversation_detail", generation.message.conversation_id)


@require_POST
@signed_in
def answer_create(request: Request, generation_id: UUID) -> HttpResponse:
    """End the thinking of a reply, so that its answer comes now; one that thinks no longer stays as it is."""
    generation = access.generation(request.user, generation_id)
    generation.answer_now()
    if request.htmx:
        return HttpResponse(status=204)
    return redirect("conversation_detail", generation.message.conversation_id)


@require_POST
@signed_in
def continuation_create(request: Request, generation_id: UUID) -> HttpResponse:
    """Go on with a reply that ended too early; one that is being written already stays as it is."""
    generation = access.generation(request.user, generation_id)
    message = generation.message
    try:
        generation.resume()
    except Refused as refused:
        return refusal(request, refused, message.conversation)
    if not request.htmx:
        return redirect("conversation_detail", message.conversation_id)
    return HttpResponse(message_html(access.message(request.user, message.conversation_id, message.id)))
