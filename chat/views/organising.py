"""Keeping chats in order: on top, out of the way, seen, gone; one by one and many at once."""

from __future__ import annotations

from uuid import UUID

from django.core.exceptions import BadRequest
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from chat import access
from chat.models import Conversation
from chat.views.conversations import done
from chat.views.signed_in import Request, signed_in

MOST_MANAGED = 500


@require_safe
@signed_in
def shortcuts(request: Request) -> HttpResponse:
    keys = [
        ("Ctrl+K", _("Search and commands")),
        ("Ctrl+Shift+O", _("New chat")),
        ("Shift+Esc", _("Go to the message field")),
        ("Ctrl+Shift+C", _("Copy the last reply")),
        ("Ctrl+Shift+;", _("Copy the last block of code")),
        ("Ctrl+Shift+S", _("Show or hide the sidebar")),
        ("Ctrl+Shift+Backspace", _("Delete this chat")),
        ("F2", _("Rename a chat in the list")),
        ("Esc", _("Stop the reply, or close what is open")),
        ("Ctrl+/", _("This list")),
    ]
    context = {"keys": keys, "dialog": "chat/_shortcuts.html"}
    return render(request, "chat/_shortcuts.html" if request.htmx else "chat/dialog.html", context)


@require_POST
@signed_in
def pin(request: Request, conversation_id: UUID) -> HttpResponse:
    access.conversation(request.user, conversation_id).pin(request.POST.get("is_on") == "1")
    return done(request, "/")


@require_POST
@signed_in
def archival(request: Request, conversation_id: UUID) -> HttpResponse:
    access.conversation(request.user, conversation_id).archive(request.POST.get("is_on") == "1")
    return done(request, "/archive/")


@require_POST
@signed_in
def reading(request: Request, conversation_id: UUID) -> HttpResponse:
    access.conversation(request.user, conversation_id).read()
    return HttpResponse(status=204)


@require_POST
@signed_in
def closing(request: Request, conversation_id: UUID) -> HttpResponse:
    access.conversation(request.user, conversation_id).close()
    return HttpResponse(status=204)


@require_safe
@signed_in
def archive(request: Request) -> HttpResponse:
    """The archived chats, to be opened or put back."""
    archived = access.archived(request.user).only("id", "title", "archived_at")[:MOST_MANAGED]
    return render(request, "chat/archive.html", {"archived": archived})


@require_http_methods(["GET", "POST"])
@signed_in
def manage(request: Request) -> HttpResponse:
    """Archive or delete what was selected; delete everything for who typed the word."""
    if request.method == "GET":
        return _managed(request)
    act = request.POST.get("act")
    if act == "delete-all":
        if not _has_word(request):
            return _managed(request, refusal=_("Nothing was deleted: type the word as it stands there."))
        Conversation.remove_all_of(request.user)
        return redirect("manage")
    for conversation in Conversation.objects.filter(owner=request.user, id__in=_ids(request)):
        if act == "archive":
            conversation.archive(True)
        elif act == "delete":
            conversation.remove()
    return redirect("manage")


@require_http_methods(["GET", "POST"])
@signed_in
def deletion(request: Request) -> HttpResponse:
    """Delete everything for who typed the word."""
    is_refused = request.method == "POST" and not _has_word(request)
    mine = Conversation.objects.filter(owner=request.user)
    if request.method == "POST" and not is_refused:
        Conversation.remove_all_of(request.user)
    number = mine.count()
    context = {
        "number": number,
        "is_done": request.method == "POST" and not is_refused,
        "count": ngettext("{number} chat", "{number} chats", number).format(number=number),
        "word": _("delete"),
        "refusal": _("Nothing was deleted: type the word as it stands there.") if is_refused else "",
    }
    return render(request, "chat/deletion.html", context, status=422 if is_refused else 200)


def _has_word(request: Request) -> bool:
    return request.POST.get("word", "").strip().lower() == _("delete").lower()


def _managed(request: Request, refusal: str = "") -> HttpResponse:
    chats = access.conversations(request.user).only("id", "title", "last_active_at")[:MOST_MANAGED]
    number = len(chats)
    context = {
        "chats": chats,
        "refusal": refusal,
        "count": ngettext("{number} chat", "{number} chats", number).format(number=number),
        "word": _("delete"),
    }
    return render(request, "chat/manage.html", context, status=422 if refusal else 200)


def _ids(request: Request) -> list[UUID]:
    try:
        return [UUID(value) for value in request.POST.getlist("chat")[:MOST_MANAGED]]
    except ValueError:
        raise BadRequest("This form was not sent by the page.") from None
