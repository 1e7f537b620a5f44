"""The page itself: a new chat, or a conversation."""

from __future__ import annotations

from uuid import UUID, uuid4

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from chat import access
from chat.models import Conversation, Message
from chat.views.chats import chat_list
from chat.views.model import model_status
from chat.views.signed_in import Request, signed_in

# What a chat may begin with: a few words on the card, and the text for the composer, which ends where one goes on.
SUGGESTIONS = (
    (_("Find a mistake in code"), _("Find the mistake in this code, explain it and correct it:\n\n")),
    (_("Summarise a text"), _("Summarise this text in five points, with figures and names:\n\n")),
    (_("Explain something"), _("Explain this step by step, with an example, to somebody who is new to it: ")),
    (_("Translate a text"), _("Translate this text into English and keep its layout:\n\n")),
)

# All are named in the page's head, so that a browser fetches them at once and not one import after another.
MODULES = sorted(
    f"js/{path.name}" for path in (settings.BASE_DIR / "static" / "js").glob("*.js") if path.stem != "early"
)


@require_safe
@signed_in
def new_chat(request: Request) -> HttpResponse:
    """The page without a conversation; `text` is what a suggestion puts into the composer."""
    return page(request, text=request.GET.get("text", ""))


@require_safe
@signed_in
def conversation_detail(request: Request, conversation_id: UUID) -> HttpResponse:
    return page(request, access.conversation(request.user, conversation_id))


def _just_deleted(conversation: Conversation | None, message_id: str) -> Message | None:
    """The message that a page without script offers to bring back."""
    try:
        wanted = UUID(message_id)
    except ValueError:
        return None
    deleted = conversation.messages.filter(id=wanted, deleted_at__isnull=False) if conversation else None
    return deleted.first() if deleted else None


def page(
    request: Request, conversation: Conversation | None = None, *, text: str = "", refusal: str = ""
) -> HttpResponse:
    """The page with a conversation, or a new chat; with what was typed and why it was refused, if it was."""
    messages = conversation.branch() if conversation else []
    context = {
        "conversation": conversation,
        "messages": messages,
        "chats": chat_list(request),
        "model": model_status(messages[-1].generation if messages else Conversation.last_asked(request.user)),
        "suggestions": SUGGESTIONS,
        "unsent": Message(role=Message.Role.USER),
        "client_id": uuid4(),
        "text": text,
        "refusal": refusal,
        "is_branch": "branched" in request.GET,
        "deleted": _just_deleted(conversation, request.GET.get("deleted", "")),
        "modules": MODULES,
    }
    return render(request, "chat/page.html", context, status=422 if refusal else 200)
