"""A person's message in other words, beside the ones it had."""

from __future__ import annotations

from uuid import UUID, uuid4

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from chat import access
from chat.forms import VersionForm
from chat.models import Message, Refused
from chat.views.messages import branch_from, refusal, valid
from chat.views.signed_in import Request, signed_in


@require_http_methods(["GET", "POST"])
@signed_in
def version_create(request: Request, conversation_id: UUID, message_id: UUID) -> HttpResponse:
    """The form (GET), then the version and a reply to it."""
    message = access.message(request.user, conversation_id, message_id)
    if message.role != Message.Role.USER:
        raise Http404
    if request.method == "GET":
        return _form(request, message, message.text)
    form = valid(VersionForm(request.POST))
    try:
        turn = message.conversation.edit(message, form["text"], form["client_id"])
    except Refused as refused:
        if request.htmx:
            return refusal(request, refused, message.conversation)
        return _form(request, message, form["text"], str(refused))
    return branch_from(request, turn.reply.conversation, message.parent_id)


def _form(request: Request, message: Message, text: str, words: str = "") -> HttpResponse:
    """In place of the message; on a page of its own where there is no script to put it there."""
    context = {"message": message, "text": text, "refusal": words, "client_id": uuid4(), "dialog": "chat/_version.html"}
    template = "chat/_version.html" if request.htmx else "chat/dialog.html"
    return render(request, template, {**context, "conversation": message.conversation}, status=422 if words else 200)
