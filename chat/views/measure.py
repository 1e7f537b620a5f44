"""How long what somebody is about to send is, in the model's own tokens."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from chat import access
from chat.context_window import measure
from chat.forms import MessageForm
from chat.models import Conversation, Refused, Worker
from chat.prompt import Read, Texts, system
from chat.text import clean_text
from chat.views.messages import asked, valid
from chat.views.pages import placed
from chat.views.signed_in import Request, signed_in
from inference.contract import ChatMessage


@require_POST
@signed_in
def measured(request: Request, conversation_id: UUID | None = None) -> HttpResponse:
    """The composer's form, measured with the branch that it would be sent below; 204 where it can't be known."""
    conversation = access.conversation(request.user, conversation_id) if conversation_id else None
    form = MessageForm(request.POST)
    fields = valid(form)
    try:
        how = asked(request, form)
    except Refused:
        return HttpResponse(status=204)
    offer = Worker.answering(how.get("asked_model", ""), request.user.id)
    if offer is None:
        return HttpResponse(status=204)
    above, read = _above(request, conversation, fields["parent"], how.get("system_prompt", ""))
    draft = ChatMessage("user", clean_text(fields["text"]).strip())
    messages = [*above, *(each.said for each in read), draft]
    found = measure(messages, offer.base, offer.context_length, enable_thinking=how.get("enable_thinking"))
    if found is None:
        return HttpResponse(status=204)
    kept = [] if found.is_too_long else read[found.num_dropped_messages :]
    context = {"measured": found, "first": kept[0].id if kept else "draft"}
    return render(request, "chat/_measured.html", context)


def _above(
    request: Request, conversation: Conversation | None, parent: UUID | None, preset: str
) -> tuple[list[ChatMessage], list[Read]]:
    """The system prompt, and the branch that the draft would be sent below."""
    if conversation is None:
        folder = placed(request)["folder"]
        return system(folder.system_prompt if folder else "", preset), []
    texts = Texts(conversation.id)
    return texts.system(preset), texts.branch(parent if parent in texts else conversation.active_leaf_id)
