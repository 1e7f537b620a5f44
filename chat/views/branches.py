"""Which branch of a conversation is shown, and branches that become conversations of their own."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRedirect

from chat import access
from chat.models import Refused
from chat.views.messages import branch_from, refusal
from chat.views.signed_in import Request, signed_in


@require_POST
@signed_in
def branch_update(request: Request, conversation_id: UUID, message_id: UUID) -> HttpResponse:
    """Show the branch through a message, from now on."""
    message = access.message(request.user, conversation_id, message_id)
    message.conversation.show(message)
    return branch_from(request, message.conversation, message.parent_id)


@require_POST
@signed_in
def branch_create(request: Request, conversation_id: UUID, message_id: UUID) -> HttpResponse:
    """A new conversation that goes on from a message."""
    message = access.message(request.user, conversation_id, message_id)
    try:
        copy = message.conversation.copy_to(message)
    except Refused as refused:
        return refusal(request, refused, message.conversation)
    address = reverse("conversation_detail", args=[copy.id])
    return HttpResponseClientRedirect(address) if request.htmx else redirect(address)
