"""A conversation as a thing: its title, its end."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods
from django_htmx.http import HttpResponseClientRedirect, trigger_client_event

from chat import access
from chat.models import Conversation, Refused
from chat.views.signed_in import Request, signed_in


@require_http_methods(["GET", "POST"])
@signed_in
def conversation_rename(request: Request, conversation_id: UUID) -> HttpResponse:
    conversation = access.conversation(request.user, conversation_id)
    if request.method == "GET":
        return dialog(request, "chat/_rename.html", conversation, title=conversation.title)
    title = request.POST.get("title", "")
    try:
        conversation.rename(title)
    except Refused as refused:
        return dialog(request, "chat/_rename.html", conversation, title=title, refusal=str(refused))
    return done(request, reverse("conversation_detail", args=[conversation_id]))


@require_http_methods(["GET", "POST"])
@signed_in
def conversation_delete(request: Request, conversation_id: UUID) -> HttpResponse:
    """Ask first (GET), then delete."""
    conversation = access.conversation(request.user, conversation_id)
    if request.method == "GET":
        return dialog(request, "chat/_delete.html", conversation)
    conversation.remove()
    if request.htmx.current_url_abs_path == reverse("conversation_detail", args=[conversation_id]):
        return HttpResponseClientRedirect(reverse("new_chat"))
    return done(request, reverse("new_chat"))


def dialog(request: Request, template: str, conversation: Conversation, **shown: object) -> HttpResponse:
    """The dialog's content; a page of its own where there is no script to open it."""
    context = {"conversation": conversation, "dialog": template, **shown}
    status = 422 if "refusal" in shown else 200
    return render(request, template if request.htmx else "chat/dialog.html", context, status=status)


def done(request: Request, address: str) -> HttpResponse:
    if not request.htmx:
        return redirect(address)
    response = HttpResponse(status=204)
    trigger_client_event(response, "dialog:close")
    return trigger_client_event(response, "chats:changed")
