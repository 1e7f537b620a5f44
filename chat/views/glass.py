"""What an administrator reads behind the glass. Who has not broken it finds nothing here."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.contrib.admin import site
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chat import access
from chat.models import User

CHATS_SHOWN = 100
MESSAGES_SHOWN = 200


@require_safe
@never_cache
def glass_break(request: HttpRequest, glass_break_id: UUID) -> HttpResponse:
    """The chats that may be read, those begun last first."""
    glass = access.glass_break(cast(User, request.user), glass_break_id)
    chats = access.conversations_behind(glass).order_by("-id")
    if before := _id(request, "before"):
        chats = chats.filter(id__lt=before)
    context = {**site.each_context(request), **_page(list(chats[: CHATS_SHOWN + 1]), CHATS_SHOWN), "glass": glass}
    title = _("Chats of {person}").format(person=glass.person.email)
    return render(request, "admin/glass.html", {**context, "title": title})


@require_safe
@never_cache
def glass_break_chat(request: HttpRequest, glass_break_id: UUID, conversation_id: UUID) -> HttpResponse:
    """One chat with all its versions, in the order in which they were written."""
    reader = cast(User, request.user)
    glass = access.glass_break(reader, glass_break_id)
    conversation = access.conversation_behind(glass, conversation_id)
    glass.read(reader, conversation, request)
    messages = conversation.messages.select_related("generation").filter(deleted_at=None).order_by("id")
    if after := _id(request, "after"):
        messages = messages.filter(id__gt=after)
    context = _page(list(messages[: MESSAGES_SHOWN + 1]), MESSAGES_SHOWN)
    return render(request, "admin/glass_chat.html", {**context, "glass": glass, "conversation": conversation})


def glass_break_end(request: HttpRequest, glass_break_id: UUID) -> HttpResponse:
    reader = cast(User, request.user)
    access.glass_break(reader, glass_break_id).end(reader, request)
    return redirect("admin:chat_glassbreak_changelist")


def _page(rows: list[Any], most: int) -> dict[str, Any]:
    """The rows of a page, and the id after which the next one begins, if there is one."""
    return {"rows": rows[:most], "next": rows[most - 1].id if len(rows) > most else None}


def _id(request: HttpRequest, name: str) -> UUID | None:
    try:
        return UUID(request.GET.get(name, ""))
    except ValueError:
        return None
