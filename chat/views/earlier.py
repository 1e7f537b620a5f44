"""What stands above the part of a long conversation that the page opened with."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from chat import access
from chat.models import Refused
from chat.views.signed_in import Request, signed_in


@require_safe
@signed_in
def earlier(request: Request, conversation_id: UUID, message_id: UUID) -> HttpResponse:
    """The messages before one, as far up as `start` if that is given; 409 when it is not on the branch any more."""
    conversation = access.conversation(request.user, conversation_id)
    try:
        window = conversation.window(message_id, _uuid(request.GET.get("start", "")))
    except Refused as refused:
        return HttpResponse(str(refused), status=409, content_type="text/plain")
    context = {"conversation": conversation, "messages": window.messages, "earlier": window.earlier}
    return render(request, "chat/_window.html", context)


def _uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None
