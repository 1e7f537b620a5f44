"""How a reply was made, and making it again in the same way."""

from __future__ import annotations

from uuid import UUID, uuid4

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe

from chat import access
from chat.forms import ReplyForm
from chat.models import Refused
from chat.views.messages import branch_from, refusal, valid
from chat.views.signed_in import Request, signed_in


@require_safe
@signed_in
def reply_details(request: Request, conversation_id: UUID, message_id: UUID) -> HttpResponse:
    message = access.reply(request.user, conversation_id, message_id)
    context = {
        "message": message,
        "generation": message.generation,
        "client_id": uuid4(),
        "conversation": message.conversation,
        "dialog": "chat/_details.html",
    }
    return render(request, "chat/_details.html" if request.htmx else "chat/dialog.html", context)


@require_POST
@signed_in
def repetition_create(request: Request, conversation_id: UUID, message_id: UUID) -> HttpResponse:
    """Run the model again with the same seed, sampling and prompt: the same text is to be expected."""
    reply = access.reply(request.user, conversation_id, message_id)
    form = valid(ReplyForm(request.POST))
    if reply.parent is None:
        raise Http404
    try:
        turn = reply.conversation.reply_again(reply.parent, form["client_id"], **reply.generation.exactly_again())
    except Refused as refused:
        return refusal(request, refused, reply.conversation)
    return branch_from(request, turn.reply.conversation, reply.parent_id)
