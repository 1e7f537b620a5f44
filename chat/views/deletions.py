"""A message with all below it, deleted and brought back."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.http import require_POST

from chat import access
from chat.models import Refused
from chat.views.messages import branch_from, refusal
from chat.views.signed_in import Request, signed_in


@require_POST
@signed_in
def message_delete(request: Request, conversation_id: UUID, message_id: UUID) -> HttpResponse:
    """Delete at once; the answer offers to undo it."""
    message = access.message(request.user, conversation_id, message_id)
    message.conversation.delete_message(message)
    if not request.htmx:
        return redirect(f"{reverse('conversation_detail', args=[conversation_id])}?deleted={message_id}")
    undo = render_to_string("chat/_undo.html", {"deleted": message})
    return branch_from(request, message.conversation, message.parent_id, undo)


@require_POST
@signed_in
def message_restore(request: Request, conversation_id: UUID, message_id: UUID) -> HttpResponse:
    message = access.deleted_message(request.user, conversation_id, message_id)
    try:
        message.conversation.restore_message(message)
    except Refused as refused:
        return refusal(request, refused, message.conversation)
    return branch_from(request, message.conversation, None)
