"""Chats as files to keep, to read elsewhere, or to print."""

from __future__ import annotations

import json
from uuid import UUID

from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.utils.translation import get_language, ngettext
from django.views.decorators.http import require_safe

from chat import access
from chat.transfer.archive import archive
from chat.transfer.as_markdown import as_markdown
from chat.transfer.file_names import file_name
from chat.transfer.own import written
from chat.views.chats import open_conversation
from chat.views.conversations import dialog
from chat.views.signed_in import Request, signed_in

# What the menu of the page does with the chat that is open on it.
ACTS = {"rename": "conversation_rename", "move": "move", "export": "export", "delete": "conversation_delete"}


@require_safe
@signed_in
def here(request: Request, act: str) -> HttpResponse:
    """To a dialog of the chat that is open: a page that began as a new chat does not know its address."""
    conversation_id = open_conversation(request)
    if conversation_id is None or act not in ACTS:
        raise Http404
    return redirect(ACTS[act], access.conversation(request.user, conversation_id).id)


@require_safe
@signed_in
def export(request: Request, conversation_id: UUID) -> HttpResponse:
    return dialog(request, "chat/_export.html", access.conversation(request.user, conversation_id))


@require_safe
@signed_in
def markdown_file(request: Request, conversation_id: UUID) -> HttpResponse:
    """The branch that is open."""
    conversation = access.conversation(request.user, conversation_id)
    text = as_markdown(conversation, conversation.branch())
    return _file(text, "text/markdown; charset=utf-8", file_name(conversation.title, ".md"))


@require_safe
@signed_in
def json_file(request: Request, conversation_id: UUID) -> HttpResponse:
    """The whole tree."""
    conversation = access.conversation(request.user, conversation_id)
    text = json.dumps(written(conversation), ensure_ascii=False, indent=1)
    return _file(text, "application/json", file_name(conversation.title, ".json"))


@require_safe
@signed_in
def print_view(request: Request, conversation_id: UUID) -> HttpResponse:
    """The branch that is open, for paper."""
    conversation = access.conversation(request.user, conversation_id)
    context = {"conversation": conversation, "messages": conversation.branch()}
    return render(request, "chat/print.html", context)


@require_safe
@signed_in
def all_chats(request: Request) -> HttpResponse:
    number = access.kept(request.user).count()
    count = ngettext("{number} chat", "{number} chats", number).format(number=number)
    return render(request, "chat/export_all.html", {"number": number, "count": count})


@require_safe
@signed_in
def zip_file(request: Request) -> HttpResponseBase:
    """Every chat, made while it is sent."""
    parts = archive(access.kept(request.user), get_language() or "en")
    response = StreamingHttpResponse(parts, content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="qwenweb-{timezone.now():%Y-%m-%d}.zip"'
    return response


def _file(text: str, content_type: str, name: str) -> HttpResponse:
    disposition = content_disposition_header(True, name) or "attachment"
    return HttpResponse(text, content_type=content_type, headers={"Content-Disposition": disposition})
