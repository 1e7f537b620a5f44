from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from chat import access
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
