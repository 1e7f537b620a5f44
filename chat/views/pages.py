"""The page itself: a new chat, or a conversation."""

from __future__ import annotations

from typing import TypedDict
from uuid import UUID, uuid4

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from chat import access
from chat.models import Conversation, Folder, Message, Window
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


class Placed(TypedDict):
    """Where a conversation is: in a folder, or nowhere and for a while."""

    is_temporary: bool
    folder: Folder | None


@require_safe
@signed_in
def new_chat(request: Request) -> HttpResponse:
    """The page without a conversation; `text` is what a suggestion puts into the composer."""
    return page(request, text=request.GET.get("text", ""))


@require_safe
@signed_in
def conversation_detail(request: Request, conversation_id: UUID) -> HttpResponse:
    """The conversation; with `at`, on the branch that has this message."""
    conversation = access.conversation(request.user, conversation_id)
    if place := _id_in(request, "at"):
        conversation.open_at(place)
    return page(request, conversation)


def _id_in(request: Request, name: str) -> UUID | None:
    """The id that a part of the address is; None where it is none."""
    try:
        return UUID(request.GET.get(name, ""))
    except ValueError:
        return None


def placed(request: Request, conversation: Conversation | None = None) -> Placed:
    """Where the conversation is; for a new one, where the address says that it is to be."""
    if conversation:
        return {"is_temporary": conversation.is_temporary, "folder": conversation.folder}
    try:
        folder = access.folder(request.user, UUID(request.GET["folder"])) if "folder" in request.GET else None
    except ValueError:
        raise BadRequest("This is no folder.") from None
    return {"is_temporary": "temporary" in request.GET, "folder": folder}


def _just_deleted(conversation: Conversation | None, message_id: UUID | None) -> Message | None:
    """The message that a page without script offers to bring back."""
    if not conversation or not message_id:
        return None
    return conversation.messages.filter(id=message_id, deleted_at__isnull=False).first()


def page(
    request: Request, conversation: Conversation | None = None, *, text: str = "", refusal: str = ""
) -> HttpResponse:
    """The page with a conversation, or a new chat; with what was typed and why it was refused, if it was."""
    window = Window([], None)
    if conversation:  # "all" is for who has no script to fetch the rest with
        is_whole = "all" in request.GET
        window = Window(conversation.branch(), None) if is_whole else conversation.window(start=_id_in(request, "at"))
    last = getattr(window.messages[-1], "generation", None) if window.messages else None
    context = {
        **placed(request, conversation),
        "conversation": conversation,
        "messages": window.messages,
        "earlier": window.earlier,
        "chats": chat_list(request),
        "model": model_status(last or Conversation.last_asked(request.user), request.user),
        "suggestions": SUGGESTIONS,
        "unsent": Message(role=Message.Role.USER),
        "client_id": uuid4(),
        "text": text,
        "refusal": refusal,
        "is_branch": "branched" in request.GET,
        "deleted": _just_deleted(conversation, _id_in(request, "deleted")),
        "modules": MODULES,
    }
    return render(request, "chat/page.html", context, status=422 if refusal else 200)
