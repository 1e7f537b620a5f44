"""The list of chats in the sidebar: newest first, a page at a time, grouped by the reader's days."""

from __future__ import annotations

from datetime import date, datetime, timedelta, tzinfo
from itertools import groupby
from typing import NamedTuple
from urllib.parse import unquote
from uuid import UUID
from zoneinfo import ZoneInfo

from django.core.exceptions import BadRequest
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from chat import access
from chat.models import Conversation, ShareLink
from chat.views.signed_in import Request, signed_in

PAGE_SIZE = 40
LARGEST_PAGE = 400


class ChatList(NamedTuple):
    """Conversations by group; `cursor` asks for those after them, and is empty at the end."""

    groups: list[tuple[str, list[Conversation]]]
    cursor: str


@require_safe
@signed_in
def chats(request: Request) -> HttpResponse:
    context = {"chats": chat_list(request), "conversation": {"id": open_conversation(request)}}
    return render(request, "chat/_chats.html", context)


def chat_list(request: Request) -> ChatList:
    """What the list shows: from `before` on, or as many as `size` says are on the screen already."""
    before = request.GET.get("before", "")
    size = _size(request.GET.get("size", ""))
    names = ("id", "title", "last_active_at", "pinned_at", "read_at")
    listed = Conversation.with_state(access.conversations(request.user).only(*names))
    listed = listed.annotate(is_shared=ShareLink.of_listed())
    found = listed.filter(pinned_at=None)
    last_shown = None
    if before:
        last_shown, last_id = _parsed(before)
        found = found.filter(Q(last_active_at__lt=last_shown) | Q(last_active_at=last_shown, id__lt=last_id))
    rows: list[Conversation] = list(found[: size + 1])
    cursor = f"{rows[size - 1].last_active_at.isoformat()}_{rows[size - 1].id}" if len(rows) > size else ""
    groups = _grouped(rows[:size], last_shown, _zone(request))
    pinned = [] if before else list(listed.filter(pinned_at__isnull=False).order_by("-pinned_at")[:LARGEST_PAGE])
    return ChatList([(_("Pinned"), pinned), *groups] if pinned else groups, cursor)


def _size(value: str) -> int:
    return min(max(PAGE_SIZE, int(value)), LARGEST_PAGE) if value.isascii() and value.isdigit() else PAGE_SIZE


def _parsed(cursor: str) -> tuple[datetime, UUID]:
    try:
        moment, _, last_id = cursor.partition("_")
        return datetime.fromisoformat(moment), UUID(last_id)
    except ValueError:
        raise BadRequest("This is no place in the list of chats.") from None


def _zone(request: Request) -> tzinfo:
    """The reader's time zone, as the page noted it in a cookie."""
    try:
        return ZoneInfo(unquote(request.COOKIES.get("timezone", "")))
    except (KeyError, ValueError, OSError):  # KeyError: there is no such zone
        return timezone.get_default_timezone()


def _grouped(
    rows: list[Conversation], last_shown: datetime | None, zone: tzinfo
) -> list[tuple[str, list[Conversation]]]:
    """Rows by age; a page that goes on in the group of the one before does not name it again."""
    today = timezone.now().astimezone(zone).date()

    def group(moment: datetime) -> str:
        return _group(moment.astimezone(zone).date(), today)

    groups = [(name, list(members)) for name, members in groupby(rows, lambda row: group(row.last_active_at))]
    if groups and last_shown and groups[0][0] == group(last_shown):
        groups[0] = "", groups[0][1]
    return groups


def _group(day: date, today: date) -> str:
    age = today - day
    if age < timedelta(days=1):
        return _("Today")
    if age < timedelta(days=2):
        return _("Yesterday")
    return _("Previous 7 days") if age < timedelta(days=8) else _("Older")


def open_conversation(request: Request) -> UUID | None:
    """The conversation on the page that asks."""
    path = request.htmx.current_url_abs_path or ""
    try:
        return UUID(path.rpartition("/c/")[2].partition("?")[0])
    except ValueError:
        return None
