"""How long what somebody is about to send is, in the model's own tokens."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from chat import access
from chat.context_window import measure
from chat.forms import MessageForm
from chat.models import Conversation, Worker
from chat.prompt import Read, Texts
from chat.text import clean_text
from chat.views.messages import valid
from chat.views.pages import placed
from chat.views.signed_in import Request, signed_in
from inference.contract import ChatMessage


@require_POST
@signed_in
def prompt_measure(request: Request, conversation_id: UUID | None = None) -> HttpResponse:
    """The composer's form, measured with the branch that it would be sent below; 204 where it can't be known."""
    conversation = access.conversation(request.user, conversation_id) if conversation_id else None
    form = MessageForm(request.POST)
    fields = valid(form)
    how = form.how
    offer = Worker.answering(how.get("asked_model", ""))
    if offer is None:
        return HttpResponse(status=204)
    system, read = _above(request, conversation, fields["parent"])
    draft = ChatMessage("user", clean_text(fields["text"]).strip())
    messages = [*system, *(each.said for each in read), draft]
    measured = measure(messages, offer.base, offer.context_length, enable_thinking=how.get("enable_thinking"))
    if measured is None:
        return HttpResponse(status=204)
    kept = [] if measured.is_too_long else read[measured.num_dropped_messages :]
    context = {"measured": measured, "first": kept[0].id if kept else "draft"}
    return render(request, "chat/_measured.html", context)


def _above(
    request: Request, conversation: Conversation | None, parent: UUID | None
) -> tuple[list[ChatMessage], list[Read]]:
    """The system prompt, and the branch that the draft would be sent below."""
    if conversation is None:
        folder = placed(request)["folder"]
        return [ChatMessage("system", folder.system_prompt)] if folder and folder.system_prompt else [], []
    texts = Texts(conversation.id)
    return texts.system, texts.branch(parent if parent in texts else conversation.active_leaf_id)
