"""The page itself: a new chat, or a conversation."""

from __future__ import annotations

from uuid import UUID, uuid4

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from chat import access
from chat.models import Conversation, Message, Window
from chat.views.chats import chat_list
from chat.views.model import model_status
from chat.views.signed_in import Request, signed_in

# All are named in the page's head, so that a browser fetches them at once and not one import after another.
MODULES = sorted(
    f"js/{path.name}" for path in (settings.BASE_DIR / "static" / "js").glob("*.js") if path.stem != "early"
)


@require_safe
@signed_in
def new_chat(request: Request) -> HttpResponse:
    return page(request)


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
    window = Window([], None)
    if conversation:  # "all" is for who has no script to fetch the rest with
        window = Window(conversation.branch(), None) if "all" in request.GET else conversation.window()
    context = {
        "conversation": conversation,
        "messages": window.messages,
        "earlier": window.earlier,
        "chats": chat_list(request),
        "model": model_status(),
        "unsent": Message(role=Message.Role.USER),
        "client_id": uuid4(),
        "text": text,
        "refusal": refusal,
        "is_branch": "branched" in request.GET,
        "deleted": _just_deleted(conversation, request.GET.get("deleted", "")),
        "modules": MODULES,
    }
    return render(request, "chat/page.html", context, status=422 if refusal else 200)
